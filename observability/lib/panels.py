"""What a dashboard is made of: boards, rows, panels and queries as data, their units and colours; it imports nothing of ours.

`$slo` and `$route` in a query are the board's variables, `$__rate_interval` is the span that suits the resolution.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

# Okabe and Ito's palette: eight colours that people with any colour vision tell apart.
GOOD, BAD, WARN, BLUE, SKY, PINK, YELLOW, GREY = (
    "#009E73",
    "#D55E00",
    "#E69F00",
    "#0072B2",
    "#56B4E9",
    "#CC79A7",
    "#F0E442",
    "#8A8F98",
)
PALETTE = (BLUE, WARN, GOOD, PINK, SKY, BAD, YELLOW)


class Unit(StrEnum):
    """Grafana's id of the unit in which a panel's values are."""

    SECONDS = "s"
    RATIO = "percentunit"
    REQUESTS = "reqps"
    PER_SECOND = "suffix:/s"
    BYTES = "bytes"
    NUMBER = "short"
    TIMES = "suffix:×"
    TEXT = "string"


class Kind(StrEnum):
    """Grafana's id of how a panel looks."""

    LINES = "timeseries"
    STAT = "stat"
    TABLE = "table"
    HEATMAP = "heatmap"
    LOGS = "logs"


METRICS, LOGS, TRACES = "prometheus", "loki", "jaeger"  # types of data source


@dataclass(frozen=True)
class Query:
    """One question. `legend` names the answer; in tables it is the column's title, and `unit` and `bar` say how it looks."""

    expr: str
    legend: str
    unit: Unit | None = None
    bar: bool = False
    decimals: int | None = None
    line: bool = False  # a limit: drawn dashed, and no data of its own
    colour: str | None = None


@dataclass(frozen=True)
class Panel:
    """One picture; `steps` are (lowest value, colour) ascending, `key` the label that makes a table's rows."""

    title: str
    description: str
    kind: Kind
    unit: Unit
    queries: tuple[Query, ...]
    width: int = 12  # of 24
    height: int = 8
    steps: tuple[tuple[float, str], ...] = ()
    key: str = ""
    link: str = ""  # slug of the board that a row's key leads to
    order: tuple[
        str, ...
    ] = ()  # columns by which a table is sorted, ascending; with "-" before it, descending
    stacked: bool = False
    maximum: float | None = None  # where the axis ends
    reach: float | None = None  # how high the axis goes at least
    decimals: int | None = None
    source: str = METRICS
    expected: bool = True  # a healthy stack with a little traffic has an answer
    empty: str = "nothing yet"  # what stands there without an answer

    def bind(self, **values: str) -> "Panel":
        """The panel with its variables filled in; values of `route` are regular expressions."""

        def fill(text: str) -> str:
            return re.sub(r"\$(\w+)", lambda found: values.get(found[1], found[0]), text)

        return replace(
            self, queries=tuple(replace(query, expr=fill(query.expr)) for query in self.queries)
        )


@dataclass(frozen=True)
class Row:
    """Panels under one heading, laid out from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """Something that the reader chooses. Values come from `query`, from `values`, or from what is typed."""

    name: str
    label: str
    query: str = ""
    values: tuple[str, ...] = ()
    many: bool = False


@dataclass(frozen=True)
class Board:
    """One dashboard; `slug` is its name in links."""

    slug: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()  # title, query whose samples mark moments
    since: str = "now-1h"

    @property
    def panels(self) -> Iterator[Panel]:
        return (panel for row in self.rows for panel in row.panels)
