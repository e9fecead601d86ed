"""The options of a panel's visualization: legend, tooltip, colours and sorting."""

import json

from observability.lib.json_object import Json
from observability.lib.panel_queries import legend
from observability.lib.panels import Kind, Panel
from observability.spec import names

OPTIONS: Json = json.loads("""{
  "timeseries": {
    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
    "tooltip": {"mode": "multi", "sort": "desc"}
  },
  "stat": {
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
    "colorMode": "value",
    "graphMode": "none",
    "textMode": "value",
    "justifyMode": "center",
    "wideLayout": true
  },
  "table": {"showHeader": true, "cellHeight": "sm"},
  "heatmap": {
    "calculate": false,
    "cellGap": 1,
    "color": {
      "mode": "scheme",
      "scheme": "Viridis",
      "steps": 64,
      "reverse": false,
      "exponent": 0.5,
      "fill": "#0072B2"
    },
    "yAxis": {"unit": "s", "axisPlacement": "left"},
    "cellValues": {"unit": "short"},
    "legend": {"show": true},
    "tooltip": {"mode": "single", "yHistogram": true}
  },
  "logs": {
    "showTime": true,
    "wrapLogMessage": true,
    "enableLogDetails": true,
    "sortOrder": "Descending",
    "dedupStrategy": "none",
    "prettifyLogMessage": false,
    "syntaxHighlighting": false,
    "showControls": false
  }
}""")  # by kind of panel
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
