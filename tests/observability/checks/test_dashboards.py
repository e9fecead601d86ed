"""Check `boards`: each rule is broken once, on the JSON that Grafana would load, and named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from observability.checks import dashboards
from observability.generate import registry
from observability.generate.dashboards.grafana import files
from observability.spec import names
from observability.spec.plan import Plan

DASHBOARDS = registry.GENERATED / files.DASHBOARDS
ROUTES = DASHBOARDS / "routes.json"
Json = dict[str, Any]
Edit = Callable[[Json], object]  # of a dashboard
DEFAULTS = ("fieldConfig", "defaults")
FIRST_QUERY = ("targets", 0)


def generated_files(plan: Plan) -> dict[Path, str]:
    """Return path → text of all dashboards, and of what is generated beside them."""
    return {registry.GENERATED / name: text for name, text in files.render(plan).items()}


def messages(plan: Plan, texts: dict[Path, str]) -> list[str]:
    """Return the messages of all problems."""
    return [problem.message for problem in dashboards.check(plan, texts)]


def set_key(*keys: str | int, value: object, title: str = "Duration") -> Edit:
    """Return the edit that sets a nested key of a panel."""

    def edit(dashboard: Json) -> None:
        holder: Any = next(panel for panel in dashboard["panels"] if panel["title"] == title)
        for key in keys[:-1]:
            holder = holder[key]
        holder[keys[-1]] = value

    return edit


def set_expr(expr: str) -> Edit:
    """Return the edit that replaces the first query of a panel."""
    return set_key(*FIRST_QUERY, "expr", value=expr)


def add_dead_link(dashboard: Json) -> None:
    """Add a link to a board that does not exist."""
    dashboard["links"].append({"type": "link", "url": "/d/nowhere"})


BROKEN_RULES: dict[str, tuple[Edit, str]] = {
    "schema": (lambda d: d.update(schemaVersion=12), "has schemaVersion 12"),
    "uid": (lambda d: d.update(uid="x"), "has the uid 'x'; links want 'evara-api-routes'"),
    "board description": (lambda d: d.update(description=""), "has no description"),
    "links": (lambda d: d.update(links=[]), "has no link to the other boards"),
    "dead link": (add_dead_link, "links to the board 'nowhere'"),
    "overlap": (
        set_key("gridPos", "x", value=5, title="Errors"),
        "panels 'Rate by status' and 'Errors' overlap",
    ),
    "width": (set_key("gridPos", "w", value=30), "panel 'Duration' sticks out to the right"),
    "title twice": (
        set_key("title", value="Errors"),
        "has 2 panels with the title 'Errors'",
    ),
    "no title": (set_key("title", value=""), "has no title"),
    "no description": (set_key("description", value=""), "panel 'Duration' has no description"),
    "no query": (set_key("targets", value=[]), "panel 'Duration' has no query"),
    "unit": (set_key(*DEFAULTS, "unit", value="parsecs"), "has the unit 'parsecs'"),
    "no data": (set_key(*DEFAULTS, "noValue", value=""), "says nothing when there is no data"),
    "colour": (
        set_key(*DEFAULTS, "thresholds", "steps", value=[{"color": "#00ff00", "value": None}]),
        "uses the colour #00ff00",
    ),
    "metric": (
        set_expr("sum(evara_http_requests)"),
        "asks for evara_http_requests, which nothing exposes",
    ),
    "edge": (
        set_expr('evara_http_request_duration_seconds_bucket{le="0.21"}'),
        "asks for the bucket le=0.21, which no histogram has",
    ),
    "syntax": (set_expr("sum("), "is not PromQL"),
    "variable": (
        set_expr('up{job="$job"}'),
        "uses $job, which the board does not define",
    ),
    "source": (
        set_key(*FIRST_QUERY, "datasource", value={"type": "influx"}),
        "asks a data source of type 'influx'",
    ),
}


def test_generated_dashboards_keep_every_rule(plan: Plan) -> None:
    """The check has nothing to say about the boards of the catalogue."""
    assert dashboards.check(plan, generated_files(plan)) == []


@pytest.mark.parametrize("rule", sorted(BROKEN_RULES))
def test_a_broken_rule_is_named(plan: Plan, rule: str) -> None:
    """The problem names the file, the panel and the check."""
    edit, message = BROKEN_RULES[rule]
    texts = generated_files(plan)
    dashboard = json.loads(texts[ROUTES])
    edit(dashboard)
    problems = dashboards.check(plan, texts | {ROUTES: json.dumps(dashboard)})
    assert any(message in problem.message for problem in problems), problems
    assert {problem.where for problem in problems} == {str(ROUTES)}
    assert {problem.check for problem in problems} == {"boards"}


def test_an_unknown_stream_label_is_named(plan: Plan) -> None:
    """Queries to Loki select streams by their declared labels alone."""
    path = DASHBOARDS / "logs.json"
    texts = generated_files(plan)
    texts[path] = texts[path].replace('level=~\\"$level\\"', 'severity=~\\"$level\\"')
    assert any("selects streams by severity" in message for message in messages(plan, texts))


def test_a_changed_uid_convention_is_named(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links from elsewhere know the uids, so the check does not use the naming function."""
    monkeypatch.setattr(names, "board_uid", lambda service, slug: f"{slug}-{service}")
    expected = "has the uid 'routes-evara-api'; links want 'evara-api-routes'"
    texts = generated_files(plan)
    assert any(expected in message for message in messages(plan, texts))


def test_a_repeated_uid_is_named(plan: Plan) -> None:
    """Grafana would keep one of the two boards without a word."""
    texts = generated_files(plan)
    texts[DASHBOARDS / "other.json"] = texts[ROUTES]
    assert any("once" in message for message in messages(plan, texts))
