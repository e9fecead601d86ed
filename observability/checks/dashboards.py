"""Check `boards`: rules for dashboards, held over the JSON that Grafana loads.

docs/checks.md lists the rules.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations, product
from pathlib import Path
from typing import Any

from observability.checks import lint
from observability.generate.dashboards.grafana.dashboard import SCHEMA_VERSION
from observability.generate.dashboards.grafana.files import DASHBOARDS
from observability.generate.dashboards.grafana.panels import COLUMNS
from observability.lib.panels import GREY, LOGS, METRICS, PALETTE, Unit
from observability.spec.plan import Plan
from observability.spec.problems import Problem

Json = dict[str, Any]
Findings = Iterator[tuple[str, str]]  # what is wrong, and how to fix it
FIX = "correct the board's module in observability/generate/dashboards/boards, then make generate"
LONGEST_UID = 40  # Grafana cuts off what is longer
BUILT_IN = {"__rate_interval": "1m", "__auto": "1m", "__range": "1h"}
COLOURS = frozenset({*PALETTE, GREY, "text"})
REQUIRED = {"title": "title", "description": "description", "targets": "query"}
LINK_TO_OTHER_BOARDS = {"type": "dashboards", "includeVars": True, "keepTime": True}
VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")


@dataclass(frozen=True)
class Context:
    """What the boards may refer to."""

    service: str
    uids: Counter[str]  # of all boards
    series: frozenset[str]
    edges: frozenset[Decimal]  # of histogram buckets


def check(plan: Plan, files: dict[Path, str]) -> list[Problem]:
    """Return the problems of every dashboard in `files` (path → text)."""
    boards = {path: json.loads(text) for path, text in files.items() if DASHBOARDS in str(path)}
    uids = Counter(board["uid"] for board in boards.values())
    context = Context(plan.service, uids, lint.known(plan), frozenset(plan.buckets))
    problems = []
    for path, board in boards.items():
        for message, fix in board_findings(path.stem, board, context):
            problems.append(Problem(str(path), message, fix, "boards"))
    return problems


def board_findings(slug: str, board: Json, context: Context) -> Findings:
    """Yield the problems of one board and of its panels."""
    yield from identity_findings(slug, board, context)
    yield from link_findings(board, context)
    yield from layout_findings(board["panels"])
    variables = {variable["name"]: "x" for variable in board["templating"]["list"]}
    for panel in board["panels"]:
        if panel["type"] == "row":
            continue
        name = panel["title"] or panel["id"]
        for message, fix in panel_findings(panel, BUILT_IN | variables, context):
            yield f"panel {name!r} {message}", fix


def panel_findings(panel: Json, variables: dict[str, str], context: Context) -> Findings:
    """Yield the problems of one panel.

    `variables` are those that its queries may use, each with a value that parses in its place.
    """
    yield from text_findings(panel)
    yield from unit_findings(panel)
    yield from colour_findings(panel)
    for target in panel["targets"]:
        yield from query_findings(target, panel, variables, context)


def identity_findings(slug: str, board: Json, context: Context) -> Findings:
    """Yield a wrong schema version, a wrong or repeated uid, and a missing description.

    The expected uid is written out here, because links from elsewhere contain it.
    """
    version = board["schemaVersion"]
    if version != SCHEMA_VERSION:
        yield f"has schemaVersion {version}, current is {SCHEMA_VERSION}", FIX
    uid = board["uid"]
    expected = f"{context.service}-{slug}"
    is_unique = context.uids[uid] == 1
    if uid != expected or not is_unique or len(expected) > LONGEST_UID:
        rule = f"links want {expected!r}, once, of at most {LONGEST_UID} characters"
        yield f"has the uid {uid!r}; {rule}", FIX
    if not board["description"]:
        yield "has no description", FIX


def link_findings(board: Json, context: Context) -> Findings:
    """Yield a missing link to the other boards, and links to boards that do not exist."""
    if not any(link.items() >= LINK_TO_OTHER_BOARDS.items() for link in board["links"]):
        yield "has no link to the other boards that keeps variables and time", FIX
    linked_uids = set(re.findall(r"/d/([\w.-]+)", json.dumps(board)))
    existing = ", ".join(sorted(context.uids))
    for uid in sorted(linked_uids - context.uids.keys()):
        message = f"links to the board {uid!r}, which does not exist"
        yield message, f"link to one of {existing}"


def layout_findings(panels: list[Json]) -> Findings:
    """Yield panels that overlap, exceed the columns, or share an id or a title.

    Grafana moves such panels, so that people see another layout than the reviewed one.
    """
    for one, other in combinations(panels, 2):
        if cells(one) & cells(other):
            yield f"panels {one['title']!r} and {other['title']!r} overlap", FIX
    for panel in panels:
        last_column, _ = max(cells(panel))
        if last_column >= COLUMNS:
            yield f"panel {panel['title']!r} sticks out to the right", FIX
    for key in ("id", "title"):
        counts = Counter(panel[key] for panel in panels)
        for value, count in counts.items():
            if count > 1:
                yield f"has {count} panels with the {key} {value!r}", FIX


def cells(panel: Json) -> set[tuple[int, int]]:
    """Return the columns and rows of the board's grid that a panel covers."""
    place = panel["gridPos"]
    columns = range(place["x"], place["x"] + place["w"])
    rows = range(place["y"], place["y"] + place["h"])
    return set(product(columns, rows))


def text_findings(panel: Json) -> Findings:
    """Yield a missing title, description, query or text for no data."""
    for key, name in REQUIRED.items():
        if not panel.get(key):
            yield f"has no {name}", FIX
    if not panel["fieldConfig"]["defaults"].get("noValue"):
        yield "says nothing when there is no data", "set noValue"


def unit_findings(panel: Json) -> Findings:
    """Yield units that are none of ours."""
    default = panel["fieldConfig"]["defaults"].get("unit")
    fix = f"choose one of {', '.join(Unit)}"
    for unit in [default, *overridden(panel, "unit")]:
        if unit not in set(Unit):
            yield f"has the unit {unit!r}, which is none of ours", fix


def colour_findings(panel: Json) -> Findings:
    """Yield colours that are not in the palette."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    colours = {step["color"] for step in steps}
    colours |= {colour["fixedColor"] for colour in overridden(panel, "color")}
    fix = "use the palette of observability/lib/panels.py"
    for colour in sorted(colours - COLOURS):
        yield f"uses the colour {colour}, which is not in the palette", fix


def overridden(panel: Json, name: str) -> Iterator[Any]:
    """Yield the values that the panel's overrides give to a property."""
    for rule in panel["fieldConfig"]["overrides"]:
        for entry in rule["properties"]:
            if entry["id"] == name:
                yield entry["value"]


def query_findings(
    target: Json, panel: Json, variables: dict[str, str], context: Context
) -> Findings:
    """Yield undefined variables, a wrong data source, and what `lint` finds in the query."""
    expr = target["expr"]
    undefined = set(VARIABLE.findall(expr)) - variables.keys()
    for name in sorted(undefined):
        yield f"uses ${name}, which the board does not define", "add the variable to the board"
    bound = VARIABLE.sub(lambda match: variables.get(match[1], "x"), expr)
    source = target["datasource"]["type"]
    if source not in (METRICS, LOGS) or source != panel["datasource"]["type"]:
        yield f"asks a data source of type {source!r}", FIX
    elif source == METRICS:
        yield from lint.expression(bound, context.series, context.edges)
    else:
        yield from stream_findings(bound)


def stream_findings(expr: str) -> Findings:
    """Yield the labels by which LogQL selects streams although no stream has them."""
    fix = f"use one of {', '.join(sorted(lint.LOG_LABELS))}, or a filter"
    unknown = set(lint.stream_labels(expr)).difference(lint.LOG_LABELS)
    for label in sorted(unknown):
        yield f"selects streams by {label}, which is no label of them", fix
