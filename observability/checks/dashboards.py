"""Check `boards`: rules for dashboards, held over the JSON that Grafana loads.

docs/checks.md lists the rules.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
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
MEND = "correct the board's module in observability/generate/dashboards, then make generate"
LONGEST_UID = 40  # Grafana cuts off what is longer
BUILT_IN = {"__rate_interval": "1m", "__auto": "1m", "__range": "1h"}
COLOURS = frozenset({*PALETTE, GREY, "text"})


def check(plan: Plan, files: dict[Path, str]) -> list[Problem]:
    """Return the problems of every dashboard in `files` (path → text)."""
    found = {path: json.loads(text) for path, text in files.items() if DASHBOARDS in str(path)}
    uids = Counter(board.get("uid") for board in found.values())
    known, edges = lint.known(plan), frozenset(plan.buckets)
    problems = []
    for path, board in found.items():
        complaints = [*form(plan, path, board, uids), *layout(board), *targets(board, uids)]
        for panel in pictures(board):
            complaints += [
                (f"panel {panel.get('title') or panel.get('id')!r} {text}", fix)
                for text, fix in owed(panel)
            ]
            for target in panel.get("targets", []):
                asked = question(target, panel, variables(board), known, edges)
                complaints += [(f"panel {panel.get('title')!r} {text}", fix) for text, fix in asked]
        problems += [Problem(str(path), text, fix, "boards") for text, fix in complaints]
    return problems


Complaints = Iterator[tuple[str, str]]


def pictures(board: Json) -> list[Json]:
    return [panel for panel in board["panels"] if panel.get("type") != "row"]


def variables(board: Json) -> dict[str, str]:
    """Return the variables that a query may use, each with a value that parses in its place."""
    return BUILT_IN | {entry["name"]: "x" for entry in board.get("templating", {}).get("list", [])}


def form(plan: Plan, path: Path, board: Json, uids: Counter[Any]) -> Complaints:
    """Yield problems of schema version, uid, description, and the link to the other boards."""
    wanted = f"{plan.service}-{path.stem}"  # written out: links from elsewhere know it
    if board.get("schemaVersion") != SCHEMA_VERSION:
        yield f"has schemaVersion {board.get('schemaVersion')}, current is {SCHEMA_VERSION}", MEND
    if board.get("uid") != wanted or uids[board.get("uid")] > 1 or len(wanted) > LONGEST_UID:
        yield (
            f"has the uid {board.get('uid')!r}; links want {wanted!r}, once, "
            f"of at most {LONGEST_UID} characters",
            MEND,
        )
    if not board.get("description"):
        yield "has no description", MEND
    if not any(
        link.get("type") == "dashboards" and link.get("includeVars") and link.get("keepTime")
        for link in board.get("links", [])
    ):
        yield "has no link to the other boards that keeps variables and time", MEND


def layout(board: Json) -> Complaints:
    """Yield panels that overlap, exceed the columns, or share an id or a title."""
    places = [(panel, panel["gridPos"]) for panel in board["panels"]]
    for (one, a), (other, b) in combinations(places, 2):
        if (
            a["x"] < b["x"] + b["w"]
            and b["x"] < a["x"] + a["w"]
            and a["y"] < b["y"] + b["h"]
            and b["y"] < a["y"] + a["h"]
        ):
            yield f"panels {one.get('title')!r} and {other.get('title')!r} overlap", MEND
    for panel, at in places:
        if at["x"] + at["w"] > COLUMNS:
            yield f"panel {panel.get('title')!r} sticks out to the right", MEND
    for key in ("id", "title"):
        for value, times in Counter(panel.get(key) for panel in board["panels"]).items():
            if times > 1:
                yield f"has {times} panels with the {key} {value!r}", MEND


def targets(board: Json, uids: Counter[Any]) -> Complaints:
    """Yield links to boards that do not exist."""
    for uid in sorted(set(re.findall(r"/d/([\w.-]+)", json.dumps(board)))):
        if uid not in uids:
            yield (
                f"links to the board {uid!r}, which does not exist",
                f"link to one of {', '.join(sorted(map(str, uids)))}",
            )


def owed(panel: Json) -> Complaints:
    """Yield a missing title, description, query or text for no data, an unknown unit or colour."""
    config = panel.get("fieldConfig", {})
    given = config.get("defaults", {})
    for what, value in (
        ("title", panel.get("title")),
        ("description", panel.get("description")),
        ("query", panel.get("targets")),
    ):
        if not value:
            yield f"has no {what}", MEND
    pairs = [pair for rule in config.get("overrides", []) for pair in rule["properties"]]
    for unit in [given.get("unit"), *(pair["value"] for pair in pairs if pair["id"] == "unit")]:
        if unit not in set(Unit):
            yield (
                f"has the unit {unit!r}, which is none of ours",
                f"choose one of {', '.join(Unit)}",
            )
    if not given.get("noValue"):
        yield "says nothing when there is no data", "set noValue"
    colours = {step["color"] for step in given.get("thresholds", {}).get("steps", [])}
    colours |= {pair["value"]["fixedColor"] for pair in pairs if pair["id"] == "color"}
    for colour in sorted(colours - COLOURS):
        yield (
            f"uses the colour {colour}, which is not in the palette",
            "use the palette of observability/lib/panels.py",
        )


def question(
    target: Json,
    panel: Json,
    values: dict[str, str],
    known: frozenset[str],
    edges: frozenset[Any],
) -> Complaints:
    """Yield undefined variables, a wrong data source, and what `lint` finds in the query."""
    expr = str(target.get("expr", ""))
    for name in sorted(set(re.findall(r"\$\{?([A-Za-z_]\w*)", expr)) - values.keys()):
        yield f"uses ${name}, which the board does not define", "add the variable to the board"
    bound = re.sub(r"\$\{?([A-Za-z_]\w*)\}?", lambda name: values.get(name[1], "x"), expr)
    kind = target.get("datasource", {}).get("type")
    if kind not in (METRICS, LOGS) or panel.get("datasource", {}).get("type") != kind:
        yield f"asks a data source of type {kind!r}", MEND
    elif kind == METRICS:
        yield from lint.expression(bound, known, edges)
    else:
        for label in sorted(set(lint.stream_labels(bound)).difference(lint.LOG_LABELS)):
            yield (
                f"selects streams by {label}, which is no label of them",
                f"use one of {', '.join(sorted(lint.LOG_LABELS))}, or a filter",
            )
