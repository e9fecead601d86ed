"""Check `boards`: rules for dashboards, held over the JSON that Grafana loads.

docs/checks.md lists the rules.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import combinations, product
from pathlib import Path

from observability.checks import expressions
from observability.checks.panels import BUILT_IN, FIX, Findings, Json, panel_findings
from observability.generate.dashboards.grafana.dashboard import SCHEMA_VERSION
from observability.generate.dashboards.grafana.files import DASHBOARDS
from observability.generate.dashboards.grafana.panels import COLUMNS
from observability.spec.plan import Plan
from observability.spec.problems import Problem

LINK_TO_OTHER_BOARDS = {"type": "dashboards", "includeVars": True, "keepTime": True}
LINKED_UID = re.compile(r"/d/([\w.-]+)")


def check(plan: Plan, files: dict[Path, str]) -> list[Problem]:
    """Return the problems of every dashboard in `files` (path → text)."""
    boards = {path: json.loads(text) for path, text in files.items() if DASHBOARDS in str(path)}
    uids = Counter(board["uid"] for board in boards.values())
    series = expressions.known_series(plan)
    lint_promql = partial(
        expressions.check_expression, series=series, edges=frozenset(plan.buckets)
    )
    problems = []
    for path, board in boards.items():
        findings = [
            *identity_findings(board, f"{plan.service}-{path.stem}", uids),
            *link_findings(board, uids),
            *layout_findings(board["panels"]),
            *panels_findings(board, lint_promql),
        ]
        for message, fix in findings:
            problems.append(Problem(str(path), message, fix, "boards"))
    return problems


def identity_findings(board: Json, expected_uid: str, uids: Counter[str]) -> Findings:
    """Yield a wrong schema version, a wrong or repeated uid, and a missing description.

    The caller writes the expected uid out instead of asking the function that names boards,
    because links from elsewhere contain it.
    """
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


def layout_findings(panels: list[Json]) -> Findings:
    """Yield panels that overlap, exceed the columns, or share an id or a title.

    Grafana would move such panels, so that people see another layout than the reviewed one.
    """
    for one, other in combinations(panels, 2):
        if cells(one) & cells(other):
            yield f"panels {one['title']!r} and {other['title']!r} overlap", FIX
    for panel in panels:
        last_column, _ = max(cells(panel))
        if last_column >= COLUMNS:
            yield f"panel {panel['title']!r} sticks out to the right", FIX
    yield from repetitions(panels, "id")
    yield from repetitions(panels, "title")


def cells(panel: Json) -> set[tuple[int, int]]:
    """Return the cells of the board's grid that a panel covers, as column and row."""
    place = panel["gridPos"]
    left = place["x"]
    top = place["y"]
    columns = range(left, left + place["w"])
    rows = range(top, top + place["h"])
    return set(product(columns, rows))


def repetitions(panels: list[Json], key: str) -> Findings:
    """Yield the values of a key that several panels have."""
    counts = Counter(panel[key] for panel in panels)
    for value, count in counts.items():
        if count > 1:
            yield f"has {count} panels with the {key} {value!r}", FIX


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
