"""Charts: a panel's lines or heat map over a span of time as SVG, for console and load report."""

from observability.lib.charts.figure import svg
from observability.lib.charts.values import text

__all__ = ["svg", "text"]
