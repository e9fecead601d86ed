"""The check `lint`: each broken convention is a problem."""

from collections.abc import Callable
from pathlib import Path

import pytest

from observability.checks import lint
from observability.generate import registry
from observability.spec.plan import Plan


def test_committed_rules_have_no_problem(plan: Plan) -> None:
    """The committed catalogue has no problem."""
    assert lint.check(plan, registry.ROOT) == []


def test_evaluation_interval_beyond_the_lookback_is_a_problem(
    plan_of: Callable[..., Plan],
) -> None:
    """The recorded series would have no value most of the time."""
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
def test_different_scrape_interval_is_a_problem(
    text: str, message: str, plan: Plan, tmp_path: Path
) -> None:
    """The hand-written configuration and the policy must agree."""
    path = tmp_path / lint.PROMETHEUS_CONFIG
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert [p.message for p in lint.check(plan, tmp_path)] == [message]


def test_another_service_needs_no_prometheus_configuration(plan: Plan, tmp_path: Path) -> None:
    """It configures its server itself, with the intervals of its policy."""
    assert list(lint.check(plan, tmp_path)) == []


def test_expressions_of_watch_entries_are_linted(plan_of: Callable[..., Plan]) -> None:
    """A misspelt metric is found, and the problem names the alert."""
    edited = plan_of((("expr: up == 0", "expr: upp == 0"),))
    [problem] = lint.check(edited, registry.ROOT)
    assert problem.where.endswith("rules.yaml: TargetDown")
    assert problem.message == "asks for upp, which nothing exposes or records"


@pytest.mark.parametrize(("period", "is_kept"), [("28d", True), ("30d", True), ("90d", False)])
def test_retention_below_the_period_is_a_problem(
    plan_of: Callable[..., Plan], period: str, is_kept: bool
) -> None:
    """The compose stack would forget the first days of the period."""
    edited = plan_of((("period: 30d", f"period: {period}"),))
    problems = [(p.where, p.message, p.fix) for p in lint.check(edited, registry.ROOT)]
    assert problems == ([] if is_kept else [
        (
            "compose.services.yaml: services.prometheus.command",
            "keeps samples for 31d, but the period and a day are 91d",
            "write --storage.tsdb.retention.time=91d",
        )
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "edge", "is_known"),
    [
        ("evara_http_request_duration_seconds", 'le="0.3"', False),
        ("evara_http_request_duration_seconds", 'le="0.2"', True),
        ("belt_seconds", 'le="0.3"', True),
        ("belt_seconds", 'le=~"3|3[.]0"', True),
        ("belt_seconds", 'le="3"', False),  # Prometheus 3 stores 3.0
    ],
)
def test_bucket_of_a_declared_slo(
    plan_of: Callable[..., Plan], metric: str, edge: str, is_known: bool
) -> None:
    """The edges of our own histograms are known; others may have any, in both spellings."""
    ratio = f"ratio: {{good: '{metric}_bucket{{{edge}}}', total: {metric}_count}}"
    declared = "ratio: {bad: parcels_lost_total, total: 'parcels_total{kind=\"batch\"}'}"
    problems = lint.check(plan_of(((declared, ratio),)), registry.ROOT)
    assert (problems == []) == is_known
    assert all("which no histogram has" in problem.message for problem in problems)
