"""A board in Grafana's dashboard model: properties, links, variables, annotations and panels."""

import json

from grafanalib import core

from observability.generate.dashboards.grafana.panels import place_rows
from observability.generate.dashboards.grafana.variables import data_source, variable
from observability.generate.dashboards.grafana.vocabulary import reference
from observability.lib import scope
from observability.lib.json_object import Json
from observability.lib.panels import BAD, METRICS, TRACES, Board
from observability.spec import names
from observability.spec.board_slugs import LOG
from observability.spec.plan import Plan

SCHEMA_VERSION = 42  # of Grafana 12
SHARED_CROSSHAIR = 1
# What current Grafana reads of grafanalib's model; the other keys belong to old versions.
KEYS = (
    "uid",
    "title",
    "description",
    "tags",
    "schemaVersion",
    "editable",
    "timezone",
    "refresh",
    "time",
    "annotations",
    "links",
)


def dashboard(plan: Plan, board: Board) -> Json:
    """Return the board in Grafana's dashboard model."""
    model = core.Dashboard(
        title=f"{plan.scope}: {board.title}",
        description=board.description,
        uid=names.board_uid(plan.scope, board.slug),
        tags=[plan.scope],
        schemaVersion=SCHEMA_VERSION,
        editable=False,
        timezone="browser",
        refresh="10s",
        time=core.Time(board.time_from, "now"),
        annotations=core.Annotations(
            [annotation(plan, title, expr) for title, expr in board.annotations]
        ),
        links=links(plan),
    )
    sources = dict.fromkeys(panel.source for panel in board.panels)
    variables = [
        *map(data_source, sources),
        *(variable(plan, choice) for choice in board.variables),
    ]
    current = {key: value for key, value in model.to_json_data().items() if key in KEYS}
    return current | {
        "graphTooltip": SHARED_CROSSHAIR,
        "templating": {"list": variables},
        "panels": place_rows(plan, board),
    }


def links(plan: Plan) -> list[core.DashboardLink]:
    """Return the links at the top of every dashboard."""
    boards = core.DashboardLink(
        title="Boards", tags=[plan.scope], asDropdown=True, includeVars=True, keepTime=True
    )
    console = "The console: what every alert means, and what to do first"
    return [
        boards,
        link("Logs", f"/d/{names.board_uid(plan.scope, LOG)}", keep_time=True),
        link("Traces", traces_url(plan)),
        link("Runbook", f"{plan.policy.links.console}/", console),
    ]


def link(title: str, url: str, tooltip: str = "", *, keep_time: bool = False) -> core.DashboardLink:
    """Return a link to one page."""
    return core.DashboardLink(
        title=title, uri=url, type="link", keepTime=keep_time, tooltip=tooltip
    )


def traces_url(plan: Plan) -> str:
    """Return the URL of Explore with the service's traces in the time range of the dashboard.

    Jaeger refuses a search that names no service.
    """
    search = {
        "refId": "A",
        "queryType": "search",
        "service": plan.service,
        "limit": 50,
        "datasource": {"type": TRACES, "uid": TRACES},
    }
    pane = {
        "datasource": TRACES,
        "queries": [search],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    return "/explore?schemaVersion=1&panes=" + json.dumps({"t": pane}, separators=(",", ":"))


def annotation(plan: Plan, title: str, expr: str) -> Json:
    """Return the annotation that marks the samples of a query."""
    tags = [names.ALERT_NAME, names.SLO, names.TIER]
    if plan.maintenance:
        tags.append(names.REASON)
    return {
        "name": title,
        "enable": True,
        "datasource": reference(METRICS),
        "target": {"expr": scope.limit(plan, expr), "refId": "Anno", "interval": "10s"},
        "iconColor": BAD,
        "titleFormat": title,
        "tagKeys": ",".join(tags),
    }
