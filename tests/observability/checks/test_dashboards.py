"""Check `boards`: each rule is broken once, on the JSON that Grafana would load, and named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from observability.checks import dashboards
from observability.generate import registry
from observability.generate.dashboards.grafana import files as dashboard_files
from observability.spec import names
from observability.spec.plan import Plan

PATH = registry.GENERATED / "grafana/dashboards/routes.json"
Break = Callable[[dict[str, Any]], None]


def files(plan: Plan) -> dict[Path, str]:
    return {registry.GENERATED / name: text for name, text in dashboard_files.render(plan).items()}


def panel(board: dict[str, Any], title: str = "Duration") -> dict[str, Any]:
    return next(entry for entry in board["panels"] if entry["title"] == title)


def test_the_boards_of_the_catalogue_are_fine(plan: Plan) -> None:
    """What is generated keeps every rule."""
    assert dashboards.check(plan, files(plan)) == []


def put(*path: Any, value: Any, title: str = "Duration") -> Break:
    """Sets a key deep in a panel."""

    def edit(board: dict[str, Any]) -> None:
        holder = panel(board, title)
        for part in path[:-1]:
            holder = holder[part]
        holder[path[-1]] = value

    return edit


BROKEN: dict[str, tuple[Break, str]] = {
    "schema": (lambda b: b.update(schemaVersion=12), "has schemaVersion 12"),
    "uid": (lambda b: b.update(uid="x"), "has the uid 'x'; links want 'evara-api-routes'"),
    "board description": (lambda b: b.update(description=""), "has no description"),
    "links": (lambda b: b.update(links=[]), "has no link to the other boards"),
    "dead link": (
        lambda b: b["links"].append({"type": "link", "url": "/d/nowhere"}),
        "links to the board 'nowhere'",
    ),
    "overlap": (
        put("gridPos", "x", value=5, title="Errors"),
        "panels 'Rate by status' and 'Errors' overlap",
    ),
    "width": (put("gridPos", "w", value=30), "panel 'Duration' sticks out to the right"),
    "title twice": (put("title", value="Errors"), "has 2 panels with the title 'Errors'"),
    "no title": (put("title", value=""), "has no title"),
    "no description": (put("description", value=""), "panel 'Duration' has no description"),
    "no query": (put("targets", value=[]), "panel 'Duration' has no query"),
    "unit": (put("fieldConfig", "defaults", "unit", value="parsecs"), "has the unit 'parsecs'"),
    "no data": (
        put("fieldConfig", "defaults", "noValue", value=""),
        "says nothing when there is no data",
    ),
    "colour": (
        put(
            "fieldConfig",
            "defaults",
            "thresholds",
            "steps",
            value=[{"color": "#00ff00", "value": None}],
        ),
        "uses the colour #00ff00",
    ),
    "metric": (
        put("targets", 0, "expr", value="sum(evara_http_requests)"),
        "asks for evara_http_requests, which nothing exposes",
    ),
    "edge": (
        put("targets", 0, "expr", value='evara_http_request_duration_seconds_bucket{le="0.21"}'),
        "asks for the bucket le=0.21, which no histogram has",
    ),
    "syntax": (put("targets", 0, "expr", value="sum("), "is not PromQL"),
    "variable": (
        put("targets", 0, "expr", value='up{job="$job"}'),
        "uses $job, which the board does not define",
    ),
    "source": (
        put("targets", 0, "datasource", value={"type": "influx"}),
        "asks a data source of type 'influx'",
    ),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_each_broken_rule_is_named(plan: Plan, name: str) -> None:
    """The problem names file and panel, and the check."""
    edit, message = BROKEN[name]
    made = files(plan)
    board = json.loads(made[PATH])
    edit(board)
    problems = dashboards.check(plan, made | {PATH: json.dumps(board)})
    assert any(message in problem.message for problem in problems), problems
    assert {problem.where for problem in problems} == {str(PATH)}
    assert {problem.check for problem in problems} == {"boards"}


def test_a_stream_label_that_nobody_sets_is_named(plan: Plan) -> None:
    """Questions to Loki select streams by their declared labels alone."""
    path = PATH.with_name("logs.json")
    made = files(plan)
    made[path] = made[path].replace('level=~\\"$level\\"', 'severity=~\\"$level\\"')
    assert any(
        "selects streams by severity" in problem.message for problem in dashboards.check(plan, made)
    )


def test_a_changed_convention_of_uids_is_noticed(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links from elsewhere know the uids, so the check does not use the naming function."""
    monkeypatch.setattr(names, "board_uid", lambda service, slug: f"{slug}-{service}")
    problems = dashboards.check(plan, files(plan))
    assert any(
        "has the uid 'routes-evara-api'; links want 'evara-api-routes'" in problem.message
        for problem in problems
    )


def test_two_boards_with_one_uid_are_named(plan: Plan) -> None:
    """Grafana would keep one of the two without a word."""
    made = files(plan)
    made[PATH.with_name("other.json")] = made[PATH]
    assert any("once" in problem.message for problem in dashboards.check(plan, made))
