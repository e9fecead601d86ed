"""The data types of dashboards: boards, rows, panels and queries, with their units and colours.

In a query, `$slo` and `$route` are variables of the board; `$__rate_interval` is a window that
suits the resolution of the graph.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

# The palette of Okabe and Ito: people with any colour vision can tell these colours apart.
GOOD = "#009E73"
BAD = "#D55E00"
WARN = "#E69F00"
BLUE = "#0072B2"
SKY = "#56B4E9"
PINK = "#CC79A7"
YELLOW = "#F0E442"
GREY = "#8A8F98"
PALETTE = (BLUE, WARN, GOOD, PINK, SKY, BAD, YELLOW)

# The types of data sources.
METRICS = "prometheus"
LOGS = "loki"
TRACES = "jaeger"


Step = tuple[float, str]  # a lowest value and its colour


class Unit(StrEnum):
    """Grafana's id of the unit of a panel's values."""

    SECONDS = "s"
    RATIO = "percentunit"
    REQUESTS = "reqps"
    PER_SECOND = "suffix:/s"
    BYTES = "bytes"
    NUMBER = "short"
    TIMES = "suffix:×"
    TEXT = "string"


class Kind(StrEnum):
    """Grafana's id of a panel's visualization."""

    LINES = "timeseries"
    STAT = "stat"
    TABLE = "table"
    HEATMAP = "heatmap"
    LOGS = "logs"


@dataclass(frozen=True)
class Query:
    """One query of a panel.

    `legend` names its series; in a table it is the title of the column, and `unit`, `gauge` and
    `decimals` format the column.
    """

    expr: str
    legend: str
    unit: Unit | None = None
    gauge: bool = False
    decimals: int | None = None
    is_threshold: bool = False  # drawn as a dashed line; it does not count as data
    colour: str | None = None


@dataclass(frozen=True)
class Panel:
    """One panel of a dashboard."""

    title: str
    description: str
    kind: Kind
    unit: Unit
    queries: tuple[Query, ...]
    width: int = 12  # of 24 columns
    height: int = 8
    steps: tuple[Step, ...] = ()  # ascending
    key: str = ""  # the labels, separated by commas, that identify a row of a table
    link: str = ""  # slug of the board that the key of a row opens
    sort_by: tuple[str, ...] = ()  # columns of a table; a leading "-" sorts descending
    stacked: bool = False
    axis_max: float | None = None  # where the value axis ends
    axis_soft_max: float | None = None  # the value axis reaches at least this far
    decimals: int | None = None
    source: str = METRICS
    expects_data: bool = True  # a healthy stack with a little traffic has data here
    no_data_text: str = "no data"

    def bind(self, **values: str) -> "Panel":
        """Return the panel with variables replaced; values of `route` are regular expressions.

        Variables that `values` does not name stay.
        """

        def fill(expr: str) -> str:
            return re.sub(r"\$(\w+)", lambda match: values.get(match[1], match[0]), expr)

        queries = tuple(replace(query, expr=fill(query.expr)) for query in self.queries)
        return replace(self, queries=queries)


@dataclass(frozen=True)
class Row:
    """Panels under one heading, laid out from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice of the reader, among the labels of a series or `values`, else a text field."""

    name: str
    label: str
    series: str = ""  # whose label has the values
    of: str = ""  # the label; else it has the name of the variable
    values: tuple[str, ...] = ()
    multi: bool = False


@dataclass(frozen=True)
class Board:
    """One dashboard; `slug` is its name in links."""

    slug: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()  # title, and a query whose samples are the marks
    time_from: str = "now-1h"

    @property
    def panels(self) -> Iterator[Panel]:
        """Return the panels of all rows in order."""
        return (panel for row in self.rows for panel in row.panels)
