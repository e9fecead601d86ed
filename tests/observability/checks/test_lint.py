"""Lint: every broken convention gives exactly its problem."""

from collections.abc import Callable
from pathlib import Path

import pytest

from observability.checks import lint
from observability.generate import registry
from observability.spec.plan import Plan


def test_the_committed_rules_have_no_problem(plan: Plan) -> None:
    """The committed catalogue has no problem."""
    assert lint.check(plan, registry.ROOT) == []


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
