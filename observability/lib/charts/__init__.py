"""Charts: a panel's lines over a span of time as SVG, for the console and the load report."""

from observability.lib.charts.figure import svg
from observability.lib.charts.values import text

__all__ = ["svg", "text"]
