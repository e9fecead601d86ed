"""The field configuration of a panel: defaults for all its series, and overrides for some."""

from typing import Any

from observability.generate.dashboards.colours import COLOURS_BY_LEGEND, Colours
from observability.generate.dashboards.grafana.tables import column_properties
from observability.generate.dashboards.grafana.vocabulary import (
    fixed_colour,
    null_text,
    ref_id,
)
from observability.lib.json_object import Json
from observability.lib.panels import GOOD, GREY, Kind, Panel
from observability.spec import names
from observability.spec.plan import Plan

DASHED_LINE = {
    "custom.lineStyle": {"fill": "dash", "dash": [8, 6]},
    "custom.lineWidth": 1,
    "custom.fillOpacity": 0,
}
KEY_COLUMN_WIDTH = 260


def field_config(plan: Plan, panel: Panel) -> Json:
    """Return defaults and overrides."""
    overrides = [
        *colour_overrides(panel),
        *query_overrides(panel),
        *link_overrides(plan, panel),
    ]
    return {"defaults": defaults(panel), "overrides": overrides}


def defaults(panel: Panel) -> Json:
    """Return the properties that all fields of the panel share."""
    properties: Json = {
        "unit": panel.unit,
        "noValue": panel.no_data_text,
        "decimals": panel.decimals,
        "thresholds": {"mode": "absolute", "steps": threshold_steps(panel)},
        "color": {"mode": "palette-classic-by-name"},
        "mappings": [],
    }
    if panel.kind == Kind.LINES:
        return properties | {"custom": line_style(panel), "max": panel.axis_max}
    if panel.kind == Kind.TABLE:
        return properties | {"color": {"mode": "thresholds"}, "custom": cell_style(panel)}
    if panel.kind == Kind.STAT:
        colour = {"mode": "thresholds"} if panel.steps else fixed_colour("text")
        return properties | {"color": colour, "mappings": null_text(panel.no_data_text)}
    return properties


def threshold_steps(panel: Panel) -> list[Json]:
    """Return the colours by value; the lowest has no value, because it begins at minus infinity."""
    if not panel.steps:
        return [{"color": GREY if panel.kind == Kind.TABLE else GOOD, "value": None}]
    steps: list[Json] = [{"color": colour, "value": value} for value, colour in panel.steps]
    steps[0]["value"] = None
    return steps


def line_style(panel: Panel) -> Json:
    """Return how lines or stacked areas are drawn.

    Stacked areas have no line: that of a series without samples would lie on top of all others.
    """
    return {
        "lineWidth": 0 if panel.stacked else 2,
        "fillOpacity": 70 if panel.stacked else 5,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "axisSoftMin": 0,
        "axisSoftMax": panel.axis_soft_max,
    }


def cell_style(panel: Panel) -> Json:
    """Return how the cells of a table are drawn; a table without titles of columns holds text."""
    if any(query.legend for query in panel.queries):
        return {"minWidth": 70}
    return {"cellOptions": {"type": "auto", "wrapText": True}}


def colour_overrides(panel: Panel) -> list[Json]:
    """Return the colours that series have on every board."""
    if panel.kind != Kind.LINES:
        return []
    colours: Colours = {}
    for query in panel.queries:
        colours |= COLOURS_BY_LEGEND.get(query.legend, {})
    return [
        override("byName", series, color=fixed_colour(colour)) for series, colour in colours.items()
    ]


def query_overrides(panel: Panel) -> list[Json]:
    """Return the formats of table columns, dashed thresholds, and colours of single queries."""
    overrides = []
    for number, query in enumerate(panel.queries):
        if panel.kind == Kind.TABLE and query.legend:
            overrides.append(override("byName", query.legend, **column_properties(panel, query)))
        elif query.is_threshold:
            colour = fixed_colour(query.colour or GREY)
            overrides.append(override("byFrameRefID", ref_id(number), color=colour, **DASHED_LINE))
        elif query.colour:
            colour = fixed_colour(query.colour)
            overrides.append(override("byFrameRefID", ref_id(number), color=colour))
    return overrides


def link_overrides(plan: Plan, panel: Panel) -> list[Json]:
    """Return the link from the key of a table's row to the board of that key."""
    if not panel.link:
        return []
    board = f"/d/{names.board_uid(plan.scope, panel.link)}"
    url = f"{board}?var-{panel.key}=" + "${__value.raw}&${__url_time_range}"
    link = {"title": f"Open {panel.key} " + "${__value.raw}", "url": url}
    width = {"custom.width": KEY_COLUMN_WIDTH}
    return [override("byName", panel.key, links=[link], **width)]


def override(matcher: str, argument: str, **properties: Any) -> Json:
    """Return an override of properties for the fields that the matcher selects."""
    return {
        "matcher": {"id": matcher, "options": argument},
        "properties": [{"id": name, "value": value} for name, value in properties.items()],
    }
