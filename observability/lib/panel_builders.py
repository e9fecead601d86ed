"""Constructors of panels by kind, with the defaults that all boards share."""

from typing import Any

from observability.lib.panels import Kind, Panel, Query, Step, Unit

AXIS_SOFT_MAX = {Unit.RATIO: 0.01}  # so that an error ratio of 0.1 % does not fill the graph
FINE_RATIO = 3  # decimals of per cent: 99.95 and 99.99 are not rounded to 100


def lines(title: str, description: str, unit: Unit, *queries: Query, **options: Any) -> Panel:
    """Return a panel of lines; `options` are fields of `Panel`."""
    settings = {"axis_soft_max": AXIS_SOFT_MAX.get(unit), **options}
    return Panel(title, description, Kind.LINES, unit, queries, **settings)


def stat(
    title: str, description: str, unit: Unit, expr: str, *steps: Step, **options: Any
) -> Panel:
    """Return a panel of one number, coloured by steps; `options` are fields of `Panel`."""
    settings = {"width": 4, "height": 4, "steps": steps, **options}
    return Panel(title, description, Kind.STAT, unit, (Query(expr, title),), **settings)


def table(title: str, description: str, unit: Unit, *queries: Query, **options: Any) -> Panel:
    """Return a panel whose columns are queries; `options` are fields of `Panel`."""
    return Panel(title, description, Kind.TABLE, unit, queries, **options)
