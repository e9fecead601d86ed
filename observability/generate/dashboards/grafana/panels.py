"""Panels in Grafana's model: their places, queries and options."""

from observability.generate.dashboards.grafana.fields import field_config
from observability.generate.dashboards.grafana.options import options
from observability.generate.dashboards.grafana.tables import transformations
from observability.generate.dashboards.grafana.vocabulary import ref_id, reference
from observability.lib import escaping, scope
from observability.lib.json_object import Json
from observability.lib.panels import LOGS, Board, Kind, Panel, Query, Row
from observability.spec.plan import Plan

COLUMNS = 24
HEADING_HEIGHT = 1
FORMATS = {Kind.TABLE: "table", Kind.HEATMAP: "heatmap"}


def place_rows(plan: Plan, board: Board) -> list[Json]:
    """Return all panels of the board with their places and ids, row below row.

    Within a row, a panel goes to the highest free place, the leftmost of several.
    """
    models: list[Json] = []
    top = 0
    for row in board.rows:
        models.append(heading(row, top))
        free_from = [top + HEADING_HEIGHT] * COLUMNS  # where the next panel can begin, by column
        for panel in row.panels:
            place = highest_place(panel, free_from)
            models.append(panel_model(plan, panel, place))
            right = place["x"] + panel.width
            free_from[place["x"] : right] = [place["y"] + panel.height] * panel.width
        top = max(free_from)
    return [model | {"id": number} for number, model in enumerate(models, 1)]


def heading(row: Row, top: int) -> Json:
    """Return the heading of a row in Grafana's model."""
    return {
        "type": "row",
        "title": row.title,
        "gridPos": {"h": HEADING_HEIGHT, "w": COLUMNS, "x": 0, "y": top},
        "collapsed": False,
        "panels": [],
    }


def highest_place(panel: Panel, free_from: list[int]) -> dict[str, int]:
    """Return the highest free place for a panel, the leftmost of several."""
    width = panel.width
    tops = [max(free_from[left : left + width]) for left in range(COLUMNS - width + 1)]
    top = min(tops)
    return {"h": panel.height, "w": width, "x": tops.index(top), "y": top}


def panel_model(plan: Plan, panel: Panel, place: Json) -> Json:
    """Return one panel in Grafana's model."""
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": escaping.grafana(panel.description),
        "gridPos": place,
        "datasource": reference(panel.source),
        "targets": [
            target(plan, panel, number, query) for number, query in enumerate(panel.queries)
        ],
        "fieldConfig": field_config(plan, panel),
        "options": options(panel),
        "transformations": transformations(panel),
    }


def target(plan: Plan, panel: Panel, number: int, query: Query) -> Json:
    """Return one query of a panel in Grafana's model."""
    model: Json = {
        "refId": ref_id(number),
        "legendFormat": query.legend,
        "datasource": reference(panel.source),
    }
    if panel.source == LOGS:
        return model | {"expr": query.expr, "queryType": "range"}
    instant = panel.kind in (Kind.TABLE, Kind.STAT)
    return model | {
        "expr": scope.limit(plan, query.expr),
        "format": FORMATS.get(panel.kind, "time_series"),
        "instant": instant,
        "range": not instant,
        "editorMode": "code",
    }
