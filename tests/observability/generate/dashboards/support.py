"""Access to the panels of boards, as data and as Grafana loads them."""

from typing import Any

from observability.generate.dashboards.registry import boards
from observability.lib.panels import Panel, Query
from observability.spec.plan import Plan

Json = dict[str, Any]


def board_panel(plan: Plan, slug: str, title: str) -> Panel:
    """Return a panel of a board."""
    board = next(board for board in boards(plan) if board.slug == slug)
    return next(panel for panel in board.panels if panel.title == title)


def thresholds(panel: Panel) -> dict[str, Query]:
    """Return the queries of a panel's thresholds by legend."""
    return {query.legend: query for query in panel.queries if query.is_threshold}


def find_panel(dashboard: Json, title: str) -> Json:
    """Return a panel of a dashboard in Grafana's model."""
    panel: Json = next(panel for panel in dashboard["panels"] if panel["title"] == title)
    return panel


def field_defaults(dashboard: Json, title: str) -> Json:
    """Return what all series of a panel share."""
    defaults: Json = find_panel(dashboard, title)["fieldConfig"]["defaults"]
    return defaults


def field_overrides(dashboard: Json, title: str, matcher: str = "byName") -> dict[str, Json]:
    """Return what is matched, such as the name of a series → the properties that it overrides."""
    overrides: dict[str, Json] = {}
    for rule in find_panel(dashboard, title)["fieldConfig"]["overrides"]:
        if rule["matcher"]["id"] == matcher:
            properties = {entry["id"]: entry["value"] for entry in rule["properties"]}
            overrides.setdefault(rule["matcher"]["options"], {}).update(properties)
    return overrides
