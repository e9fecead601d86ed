"""Check `boards`: rules for dashboards, held over the JSON that Grafana loads.

docs/checks.md lists the rules.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from observability.checks import expressions
from observability.checks.layout import layout_findings
from observability.checks.panels import BUILT_IN, FIX, Findings, Json, panel_findings
from observability.generate.dashboards.grafana.dashboard import SCHEMA_VERSION
from observability.generate.dashboards.grafana.files import DASHBOARDS
from observability.spec.plan import Plan
from observability.spec.problems import Problem

LINK_TO_OTHER_BOARDS = {"type": "dashboards", "includeVars": True, "keepTime": True}
LINKED_UID = re.compile(r"/d/([\w.-]+)")


def check(plan: Plan, files: dict[Path, str]) -> list[Problem]:
    """Return the problems of every dashboard in `files` (path → text)."""
    boards = dashboards_in(files)
    uids = Counter(board["uid"] for board in boards.values())
    series = expressions.known_series(plan)
    edges = frozenset(plan.buckets)
    lint_promql = partial(expressions.check_expression, series=series, edges=edges)
    problems = []
    for path, board in boards.items():
        expected_uid = f"{plan.service}-{path.stem}"
        findings = [
            *board_findings(board, expected_uid, uids),
            *panels_findings(board, lint_promql),
        ]
        for message, fix in findings:
            problems.append(Problem(str(path), message, fix, "boards"))
    return problems


def dashboards_in(files: dict[Path, str]) -> dict[Path, Json]:
    """Return path → dashboard of those files that hold one."""
    return {path: json.loads(text) for path, text in files.items() if DASHBOARDS in str(path)}


def board_findings(board: Json, expected_uid: str, uids: Counter[str]) -> Findings:
    """Yield the problems of one board.

    `expected_uid` does not come from the function that names boards, because links from
    elsewhere contain it. `uids` are those of all boards.
    """
    yield from identity_findings(board, expected_uid, uids)
    yield from link_findings(board, uids)
    yield from layout_findings(board["panels"])


def identity_findings(board: Json, expected_uid: str, uids: Counter[str]) -> Findings:
    """Yield a wrong schema version, a wrong or repeated uid, and a missing description."""
    version = board["schemaVersion"]
    if version != SCHEMA_VERSION:
        yield f"has schemaVersion {version}, current is {SCHEMA_VERSION}", FIX
    uid = board["uid"]
    if uid != expected_uid or uids[uid] > 1:
        yield f"has the uid {uid!r}; links want {expected_uid!r}, once", FIX
    if not board["description"]:
        yield "has no description", FIX


def link_findings(board: Json, uids: Counter[str]) -> Findings:
    """Yield a missing link to the other boards, and links to boards that do not exist."""
    required = LINK_TO_OTHER_BOARDS.items()
    if not any(link.items() >= required for link in board["links"]):
        yield "has no link to the other boards that keeps variables and time", FIX
    linked_uids = set(LINKED_UID.findall(json.dumps(board)))
    existing = ", ".join(sorted(uids))
    for uid in sorted(linked_uids - uids.keys()):
        message = f"links to the board {uid!r}, which does not exist"
        yield message, f"link to one of {existing}"


def panels_findings(board: Json, lint_promql: Callable[[str], Findings]) -> Findings:
    """Yield the problems of the board's panels."""
    templates = board["templating"]["list"]
    variables = BUILT_IN | {variable["name"]: "x" for variable in templates}
    for panel in board["panels"]:
        if panel["type"] == "row":
            continue
        name = panel["title"] or panel["id"]
        for message, fix in panel_findings(panel, variables, lint_promql):
            yield f"panel {name!r} {message}", fix
