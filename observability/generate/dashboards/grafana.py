"""Plan → Grafana's dashboards and their provisioning; pure, and the only module that knows grafanalib."""

import json
from typing import Any

from grafanalib import core
from grafanalib._gen import DashboardEncoder

from observability.generate.dashboards.boards import boards, colours_by_label
from observability.generate.yaml_text import generated_yaml
from observability.lib.panels import (
    BAD,
    BLUE,
    GOOD,
    GREY,
    LOGS,
    METRICS,
    TRACES,
    Board,
    Kind,
    Panel,
    Query,
    Unit,
    Variable,
)
from observability.lib.promql import quote
from observability.spec import names
from observability.spec.board_slugs import LOG
from observability.spec.plan import Plan
from observability.spec.quantities import format_duration

DASHBOARDS, PROVISIONING = "grafana/dashboards", "grafana/provisioning"
MOUNTED = "/etc/grafana/dashboards"  # where compose mounts the dashboards
SOURCES = {
    METRICS: "http://prometheus:9090",
    LOGS: "http://loki:3100",
    TRACES: "http://jaeger:16686",
}
# From a line to its trace and back; "$$" is a dollar that provisioning leaves alone.
TRACE_ID = names.LOG_IDS[1]
TRACE_OF_LINE = {
    "name": "trace",
    "matcherType": "label",
    "matcherRegex": TRACE_ID,
    "datasourceUid": TRACES,
    "url": "$${__value.raw}",
}
TRACE_OF_LINE |= {"urlDisplayLabel": "Open the trace"}
LINES_OF_TRACE = {
    "datasourceUid": LOGS,
    "spanStartTimeShift": "-5m",
    "spanEndTimeShift": "5m",
    "customQuery": True,
}
SCHEMA = 42  # of Grafana 12
COLUMNS, HEADING, HALF = 24, 1, 12
LISTED = {
    f"{{{{{label}}}}}" for label in (names.ROUTE, names.SLO)
}  # legends of so many series that they need a list
CLASSES = {
    Kind.LINES: core.TimeSeries,
    Kind.STAT: core.Stat,
    Kind.TABLE: core.Table,
    Kind.HEATMAP: core.Heatmap,
    Kind.LOGS: core.Logs,
}
SHARED_CROSSHAIR = 1
# What Grafana still reads of what grafanalib writes; the rest are keys of versions long gone.
KEPT_OF_BOARD = (
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
KEPT_OF_PANEL = ("type", "title", "description", "gridPos", "datasource", "targets")
KEPT_OF_VARIABLE = (
    "name",
    "label",
    "type",
    "query",
    "datasource",
    "hide",
    "refresh",
    "sort",
    "multi",
    "includeAll",
    "allValue",
)
EVERYTHING = {"text": ["All"], "value": ["$__all"]}


def render(plan: Plan) -> dict[str, str]:
    """One file per board, and the two files that tell Grafana where boards and data are."""
    return {
        f"{DASHBOARDS}/{board.slug}.json": text(dashboard(plan, board)) for board in boards(plan)
    } | provisioning(plan)


def provisioning(plan: Plan) -> dict[str, str]:
    """Data sources and the folder of dashboards, in Grafana's provisioning format."""
    more = {
        METRICS: {"timeInterval": format_duration(plan.clock.scrape), "httpMethod": "POST"},
        LOGS: {"derivedFields": [TRACE_OF_LINE]},
        TRACES: {
            "tracesToLogsV2": LINES_OF_TRACE
            | {
                "query": f'{{{names.LOG_SERVICE}={quote(plan.service)}}} | {TRACE_ID}="$${{__trace.traceId}}"'
            }
        },
    }
    data_sources = [
        {
            "name": kind.capitalize(),
            "uid": kind,
            "type": kind,
            "access": "proxy",
            "url": url,
            "isDefault": kind == METRICS,
            "jsonData": more[kind],
        }
        for kind, url in SOURCES.items()
    ]
    provider = {
        "name": plan.service,
        "folder": plan.service,
        "folderUid": plan.service,
        "type": "file",
        "allowUiUpdates": False,
        "options": {"path": MOUNTED},
    }
    return {
        f"{PROVISIONING}/datasources/datasources.yaml": generated_yaml(
            {"apiVersion": 1, "datasources": data_sources}
        ),
        f"{PROVISIONING}/dashboards/dashboards.yaml": generated_yaml(
            {"apiVersion": 1, "providers": [provider]}
        ),
    }


def text(board: dict[str, Any]) -> str:
    """JSON in a stable order, without keys that say nothing; the lowest step of a threshold must have its null."""

    def said(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                key: said(value)
                for key, value in node.items()
                if value is not None or key == "value"
            }
        return [said(item) for item in node] if isinstance(node, list) else node

    plain = json.loads(json.dumps(board, cls=DashboardEncoder))
    return json.dumps(said(plain), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def kept(made: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in made.to_json_data().items() if key in keys}


def dashboard(plan: Plan, board: Board) -> dict[str, Any]:
    made = core.Dashboard(
        title=f"{plan.service}: {board.title}",
        description=board.description,
        uid=names.board_uid(plan.service, board.slug),
        tags=[plan.service],
        schemaVersion=SCHEMA,
        editable=False,
        timezone="browser",
        refresh="10s",
        time=core.Time(board.since, "now"),
        annotations=core.Annotations(
            [annotation(title, expr) for title, expr in board.annotations]
        ),
        links=[
            core.DashboardLink(
                title="Boards",
                tags=[plan.service],
                asDropdown=True,
                includeVars=True,
                keepTime=True,
            ),
            link("Logs", f"/d/{names.board_uid(plan.service, LOG)}", keep=True),
            link("Traces", explore(plan)),
            link(
                "Runbook",
                f"{plan.policy.links.console}/",
                "The console: what every alert means, and what to do first",
            ),
        ],
    )
    asked = dict.fromkeys(panel.source for panel in board.panels)
    chosen = [*map(source, asked), *map(variable, board.variables)]
    return kept(made, KEPT_OF_BOARD) | {
        "graphTooltip": SHARED_CROSSHAIR,
        "templating": {"list": chosen},
        "panels": place(plan, board),
    }


def explore(plan: Plan) -> str:
    """Explore's own address form: the service's traces in the board's time range; Jaeger refuses a search without a service."""
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


def link(title: str, url: str, tooltip: str = "", *, keep: bool = False) -> core.DashboardLink:
    return core.DashboardLink(
        title=title,
        uri=url,
        type="link",
        keepTime=keep,
        includeVars=False,
        tooltip=tooltip,
        icon="external link",
    )


def source(kind: str) -> dict[str, Any]:
    """The data source as a variable, so that boards work in any Grafana."""
    made = core.Template(name=kind, label=kind.capitalize(), type="datasource", query=kind, hide=2)
    return kept(made, KEPT_OF_VARIABLE) | {"current": {"text": kind, "value": kind}}


def reference(kind: str) -> dict[str, str]:
    return {"type": kind, "uid": f"${{{kind}}}"}


def variable(entry: Variable) -> dict[str, Any]:
    every: dict[str, Any] = {
        "label": entry.label,
        "multi": entry.many,
        "includeAll": entry.many,
        "allValue": ".*" if entry.many else None,
    }
    if entry.query:
        made = core.Template(
            entry.name, entry.query, dataSource=reference(METRICS), refresh=2, **every
        )
    else:
        made = core.Template(
            entry.name,
            ",".join(entry.values),
            type="custom" if entry.values else "textbox",
            **every,
        )
    return kept(made, KEPT_OF_VARIABLE) | ({"current": EVERYTHING} if entry.many else {})


def annotation(title: str, expr: str) -> dict[str, Any]:
    tags = f"alertname,{names.SLO},{names.TIER}"
    target = {"expr": expr, "refId": "Anno", "interval": "10s"}
    look = {"iconColor": BAD, "titleFormat": title, "tagKeys": tags}
    return {
        "name": title,
        "enable": True,
        "datasource": reference(METRICS),
        "target": target,
        **look,
    }


def place(plan: Plan, board: Board) -> list[dict[str, Any]]:
    """Rows one below the other; in each, a panel goes where it comes to lie highest, the leftmost of such places."""
    placed: list[dict[str, Any]] = []
    top = 0
    for row in board.rows:
        heading = core.RowPanel(title=row.title, gridPos=core.GridPos(HEADING, COLUMNS, 0, top))
        placed.append(kept(heading, ("type", "title", "gridPos", "collapsed", "panels")))
        depth = [top + HEADING] * COLUMNS
        for panel in row.panels:
            x = min(
                range(COLUMNS - panel.width + 1),
                key=lambda at: (max(depth[at : at + panel.width]), at),
            )
            y = max(depth[x : x + panel.width])
            depth[x : x + panel.width] = [y + panel.height] * panel.width
            placed.append(picture(plan, panel, core.GridPos(panel.height, panel.width, x, y)))
        top = max(depth)
    return [panel | {"id": number} for number, panel in enumerate(placed, 1)]


def picture(plan: Plan, panel: Panel, at: core.GridPos) -> dict[str, Any]:
    look = {
        "title": panel.title,
        "description": panel.description,
        "dataSource": reference(panel.source),
        "gridPos": at,
    }
    made = CLASSES[panel.kind](
        targets=[target(panel, n, query) for n, query in enumerate(panel.queries)], **look
    )
    config = {"defaults": defaults(panel), "overrides": overrides(plan, panel)}
    return kept(made, KEPT_OF_PANEL) | {
        "fieldConfig": config,
        "options": options(panel),
        "transformations": columns(panel),
    }


def target(panel: Panel, number: int, query: Query) -> dict[str, Any]:
    asked = {
        "refId": ref(number),
        "expr": query.expr,
        "legendFormat": query.legend,
        "datasource": reference(panel.source),
    }
    if panel.source == LOGS:
        return asked | {"queryType": "range"}
    instant = panel.kind in (Kind.TABLE, Kind.STAT)
    shape = {Kind.TABLE: "table", Kind.HEATMAP: "heatmap"}.get(panel.kind, "time_series")
    return asked | {"format": shape, "instant": instant, "range": not instant, "editorMode": "code"}


OPTIONS: dict[Kind, dict[str, Any]] = {
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
    }
    | {"prettifyLogMessage": False, "syntaxHighlighting": False, "showControls": False},
}


def options(panel: Panel) -> dict[str, Any]:
    """How a panel looks, with its legend: many series are listed, the largest first; a table without columns needs no head."""
    made = dict(OPTIONS[panel.kind])
    if panel.kind == Kind.LINES and any(query.legend in LISTED for query in panel.queries):
        made["legend"] = {
            "displayMode": "table",
            "placement": "right" if panel.width >= HALF else "bottom",
            "showLegend": True,
        }
        made["legend"] |= {"calcs": ["max"], "sortBy": "Max", "sortDesc": True}
    if panel.kind == Kind.TABLE:
        made["showHeader"] = any(query.legend for query in panel.queries)
        made["sortBy"] = [
            {"displayName": name.removeprefix("-"), "desc": name.startswith("-")}
            for name in panel.order
        ]
    return made


def nothing(words: str) -> list[dict[str, Any]]:
    """What stands for a value that is not there, in no colour: it is neither good nor bad."""
    return [
        {
            "type": "special",
            "options": {"match": "null", "result": {"text": words, "color": "text"}},
        }
    ]


def ref(number: int) -> str:
    """A, B, C … as Grafana names queries."""
    return chr(ord("A") + number)


def defaults(panel: Panel) -> dict[str, Any]:
    steps = [
        {"color": colour, "value": None if n == 0 else value}
        for n, (value, colour) in enumerate(panel.steps)
    ]
    look: dict[str, Any] = {
        "unit": panel.unit,
        "noValue": panel.empty,
        "decimals": panel.decimals,
        "thresholds": {
            "mode": "absolute",
            "steps": steps
            or [{"color": GREY if panel.kind == Kind.TABLE else GOOD, "value": None}],
        },
        "color": {
            "mode": "thresholds" if panel.kind in (Kind.STAT, Kind.TABLE) else "palette-classic"
        },
        "mappings": nothing(panel.empty) if panel.kind == Kind.STAT else [],
    }
    if panel.kind == Kind.STAT and not panel.steps:
        look["color"] = {"mode": "fixed", "fixedColor": "text"}
    if panel.kind == Kind.LINES:
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        # stacked areas have no line: that of a series without samples would lie on top of all others
        width, fill = (0, 70) if panel.stacked else (2, 5)
        look["custom"] = {
            "lineWidth": width,
            "fillOpacity": fill,
            "showPoints": "never",
            "spanNulls": False,
        }
        look["custom"] |= {"stacking": stacking, "axisSoftMin": 0, "axisSoftMax": panel.reach}
        look["max"] = panel.maximum
    if panel.kind == Kind.TABLE:
        look["custom"] = (
            {"minWidth": 70}
            if any(query.legend for query in panel.queries)
            else {"cellOptions": {"type": "auto", "wrapText": True}}
        )
    return look


def overrides(plan: Plan, panel: Panel) -> list[dict[str, Any]]:
    """Limits dashed, columns in their units, and series in colours that stay theirs."""
    found = []
    if panel.kind == Kind.LINES:
        palette = colours_by_label(plan)
        own = {
            query.legend: colour
            for query in panel.queries
            if (colour := palette[""].get(query.legend))
        }
        for query in panel.queries:
            own |= (
                palette.get(query.legend.strip("{}"), {}) if query.legend.startswith("{{") else {}
            )
        found += [rule("byName", name, color=fixed(colour)) for name, colour in own.items()]
    for number, query in enumerate(panel.queries):
        if panel.kind == Kind.TABLE and query.legend:
            found.append(column(panel, query))
        elif query.line:
            dashed = {
                "custom.lineStyle": {"fill": "dash", "dash": [8, 6]},
                "custom.lineWidth": 1,
                "custom.fillOpacity": 0,
            }
            found.append(
                rule("byFrameRefID", ref(number), color=fixed(query.colour or GREY), **dashed)
            )
        elif query.colour:
            found.append(rule("byFrameRefID", ref(number), color=fixed(query.colour)))
    if panel.link:
        url = f"/d/{names.board_uid(plan.service, panel.link)}?var-{panel.key}=${{__value.raw}}&${{__url_time_range}}"
        found.append(
            rule(
                "byName",
                panel.key,
                links=[{"title": f"Open {panel.key} ${{__value.raw}}", "url": url}],
                **{"custom.width": 260},
            )
        )
    return found


def rule(matcher: str, options: str, **properties: Any) -> dict[str, Any]:
    pairs = [{"id": key, "value": value} for key, value in properties.items()]
    return {"matcher": {"id": matcher, "options": options}, "properties": pairs}


def fixed(colour: str) -> dict[str, str]:
    return {"mode": "fixed", "fixedColor": colour}


def column(panel: Panel, query: Query) -> dict[str, Any]:
    look: dict[str, Any] = {
        "unit": query.unit or panel.unit,
        "noValue": "–",
        **({} if query.decimals is None else {"decimals": query.decimals}),
    }
    if query.bar:
        look |= {
            "custom.cellOptions": {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
            "min": 0,
            "max": 1,
        }
        look["mappings"] = nothing("–")
    else:
        look["color"] = fixed("text")
    return rule("byName", query.legend, **look)


def columns(panel: Panel) -> list[dict[str, Any]]:
    """Makes one table of a table panel's queries: joined by the key, other fields left out, values named by their legends."""
    if panel.kind != Kind.TABLE:
        return []
    keys = panel.key.split(",")
    values = {
        f"Value #{ref(n)}": query.legend for n, query in enumerate(panel.queries) if query.legend
    }
    names_ = values | (
        {"Value": panel.queries[0].legend} if len(panel.queries) == 1 and values else {}
    )
    order = {name: place for place, name in enumerate([*keys, *names_])}
    joined = (
        [{"id": "joinByField", "options": {"byField": keys[0], "mode": "outer"}}]
        if len(panel.queries) > 1
        else []
    )
    return [
        *joined,
        {"id": "filterFieldsByName", "options": {"include": {"names": [*keys, *names_]}}},
        {
            "id": "organize",
            "options": {"renameByName": names_, "indexByName": order, "excludeByName": {}},
        },
    ]
