"""Lint: every broken convention gives exactly its problem."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from observability.checks import lint
from observability.generate import registry
from observability.spec.plan import Plan

RULE = {
    "alert": "X",
    "expr": "up",
    "labels": {"severity": "page", "owner": "o"},
    "annotations": {"summary": "s", "next_steps": "1."},
}


def test_the_real_rules_keep_the_house_rules(plan: Plan) -> None:
    """Nothing to mend in this tree."""
    assert lint.check(plan, registry.ROOT) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"owner": "o"}}, "has no severity that the policy knows"),
        ({"labels": {"severity": "loud", "owner": "o"}}, "has no severity that the policy knows"),
        ({"labels": {"severity": "page"}}, "has no owner"),
        ({"annotations": {"next_steps": "1."}}, "has no summary"),
        ({"annotations": {"summary": "s", "next_steps": ""}}, "has no next_steps"),
    ],
)
def test_an_alert_owes_its_reader_something(
    change: dict[str, Any], message: str, plan: Plan
) -> None:
    """Severity, owner, summary and next steps; each is missed alone."""
    assert list(lint.check_alert(RULE, plan)) == []
    assert [text for text, _ in lint.check_alert(RULE | change, plan)] == [message]


def test_rules_that_go_stale_between_evaluations_are_a_problem(
    plan_of: Callable[..., Plan],
) -> None:
    """A group evaluated every five minutes has no value most of the time."""
    edited = plan_of((), (("  long: 2m", "  long: 5m"),))
    problems = lint.check(edited, registry.ROOT)
    assert problems
    assert {p.message for p in problems} == {"is evaluated every 5m, after which series are stale"}
    assert {p.check for p in problems} == {"lint"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "global: {scrape_interval: 10s, evaluation_interval: 5s}",
            "is 10s, the policy's clock says 5s",
        ),
        ("global: {scrape_interval: 5s}", "is missing, the policy's clock says 5s"),
    ],
)
def test_a_prometheus_on_another_clock_is_a_problem(
    text: str, message: str, plan: Plan, tmp_path: Path
) -> None:
    """The hand-written configuration and the policy say the same."""
    path = tmp_path / lint.PROMETHEUS_CONFIG
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert [p.message for p in lint.check(plan, tmp_path)] == [message]


def test_a_watched_symptom_is_linted_with_the_rest(plan_of: Callable[..., Plan]) -> None:
    """A misspelt metric in the catalogue is found, and the place says which alert it is."""
    edited = plan_of((("expr: up == 0", "expr: upp == 0"),))
    [problem] = lint.check(edited, registry.ROOT)
    assert problem.where.endswith("rules.yaml: TargetDown")
    assert problem.message == "asks for upp, which nothing exposes or records"


def test_a_log_alert_about_a_label_that_no_line_has_is_a_problem(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipper's labels are the only ones, and the problem names them."""
    monkeypatch.setattr(lint, "LOG_LABELS", ("service", "level"))
    problems = lint.check(plan, registry.ROOT)
    assert {p.message for p in problems} == {"asks for the label program, which no line has"}
    assert {p.where for p in problems} == {
        f"{registry.GENERATED}/loki/rules.yaml: {alert.name}" for alert in plan.log_alerts
    }
    assert {p.fix for p in problems} == {"use one of: service, level"}


def test_a_log_alert_owes_its_reader_the_same(plan_of: Callable[..., Plan]) -> None:
    """Without a summary nobody knows what it is about."""
    edited = plan_of(
        (
            (
                "    more_than: 0\n    severity: ticket\n    summary: ",
                '    more_than: 0\n    severity: ticket\n    summary: "" # ',
            ),
        )
    )
    assert [(p.where, p.message) for p in lint.check(edited, registry.ROOT)] == [
        (f"{registry.GENERATED}/loki/rules.yaml: LogUnhandledException", "has no summary")
    ]
