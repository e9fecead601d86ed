"""The options of a panel's visualization: legend, tooltip, colours and sorting."""

from observability.generate.dashboards.grafana.vocabulary import Json
from observability.lib.panel_queries import legend
from observability.lib.panels import BLUE, Kind, Panel, Unit
from observability.spec import names

OPTIONS: dict[Kind, Json] = {
    Kind.LINES: {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    Kind.STAT: {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "value",
        "justifyMode": "center",
        "wideLayout": True,
    },
    Kind.TABLE: {"showHeader": True, "cellHeight": "sm"},
    Kind.HEATMAP: {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Viridis",
            "steps": 64,
            "reverse": False,
            "exponent": 0.5,
            "fill": BLUE,
        },
        "yAxis": {"unit": Unit.SECONDS, "axisPlacement": "left"},
        "cellValues": {"unit": Unit.NUMBER},
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": True},
    },
    Kind.LOGS: {
        "showTime": True,
        "wrapLogMessage": True,
        "enableLogDetails": True,
        "sortOrder": "Descending",
        "dedupStrategy": "none",
        "prettifyLogMessage": False,
        "syntaxHighlighting": False,
        "showControls": False,
    },
}
LONG_LEGENDS = {legend(names.ROUTE), legend(names.SLO)}  # of so many series that they need a table
HALF_WIDTH = 12


def options(panel: Panel) -> Json:
    """Return the options of the panel's kind with what the panel itself asks for."""
    chosen = dict(OPTIONS[panel.kind])
    if panel.kind == Kind.LINES and any(query.legend in LONG_LEGENDS for query in panel.queries):
        chosen["legend"] = table_legend(panel)
    if panel.kind == Kind.TABLE:
        chosen["showHeader"] = any(query.legend for query in panel.queries)
        chosen["sortBy"] = [sort_order(column) for column in panel.sort_by]
    return chosen


def table_legend(panel: Panel) -> Json:
    """Return a legend that lists the series with the largest first."""
    return {
        "displayMode": "table",
        "placement": "right" if panel.width >= HALF_WIDTH else "bottom",
        "showLegend": True,
        "calcs": ["max"],
        "sortBy": "Max",
        "sortDesc": True,
    }


def sort_order(column: str) -> Json:
    """Return the sorting by a column, descending when its name starts with `-`."""
    return {"displayName": column.removeprefix("-"), "desc": column.startswith("-")}
