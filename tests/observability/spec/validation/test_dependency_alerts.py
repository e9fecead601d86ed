"""Alerts about dependencies that would silence each other, or come too late."""

from collections.abc import Callable

import pytest

from observability.spec.plan import Plan
from observability.spec.problems import Problem

DEPENDENCIES = "dependencies:\n"
MORE_DEPENDENCIES = """dependencies:
  queue: {availability: 99, next_steps: [Look.]}
"""
WATCH = "\nwatch:"


def alert_about(name: str, dependency: str, needs: str) -> str:
    """Return the entry of an alert about a dependency."""
    return f"""
  {name}:
    expr: up == 0
    severity: page
    dependency: {dependency}
    needs: [{needs}]
    drill: stop-replay
    summary: One.
    meaning: Two.
    impact: Three.
    next_steps: [Look.]
    cases: {{fires: {{up: "0x60"}}, silent: {{up: "1x60"}}}}"""


def edits(*alerts: tuple[str, str, str]) -> tuple[tuple[str, str], ...]:
    """Return the edits that add a dependency and alerts: name, dependency and needs of each."""
    entries = "".join(alert_about(*alert) for alert in alerts)
    return (DEPENDENCIES, MORE_DEPENDENCIES), (WATCH, WATCH + entries)


@pytest.mark.parametrize(
    "alerts",
    [
        [("A", "database", "thingspeak"), ("B", "thingspeak", "database")],
        [("A", "database", "thingspeak"), ("B", "thingspeak", "queue"), ("C", "queue", "database")],
        [
            ("A", "database", "thingspeak"),
            ("B", "thingspeak", "queue, database"),
            ("C", "queue", "thingspeak"),
        ],
    ],
)
def test_alerts_that_silence_each_other_are_all_named(
    problems_of: Callable[..., list[Problem]], alerts: list[tuple[str, str, str]]
) -> None:
    """Each alert of a cycle is a problem: none of them would be delivered."""
    problems = problems_of(edits(*alerts))
    named = {problem.where.split(": ")[1] for problem in problems}
    assert named == {f"watch.{name}.needs" for name, _, _ in alerts}
    assert all("would silence each other" in problem.message for problem in problems)


def test_a_problem_names_both_dependencies(problems_of: Callable[..., list[Problem]]) -> None:
    """The fix says which of the two needs can be removed."""
    [problem, _] = problems_of(
        edits(("A", "database", "thingspeak"), ("B", "thingspeak", "database"))
    )
    assert problem.message.startswith("contains thingspeak, whose alerts need database")
    assert problem.fix == (
        "remove thingspeak here, or database from the `needs` of the other alerts"
    )


def test_an_alert_beside_a_cycle_is_no_problem(
    problems_of: Callable[..., list[Problem]],
) -> None:
    """An alert that needs a part of the cycle, and is no part of it, stays valid."""
    alerts = [
        ("A", "database", "thingspeak"),
        ("B", "thingspeak", "database"),
        ("C", "queue", "database"),
    ]
    named = {problem.where.split(": ")[1] for problem in problems_of(edits(*alerts))}
    assert named == {"watch.A.needs", "watch.B.needs"}


def test_a_chain_of_dependencies_is_allowed(plan_of: Callable[..., Plan]) -> None:
    """Two ways to one dependency are no cycle."""
    plan = plan_of(edits(("A", "database", "thingspeak, queue"), ("B", "thingspeak", "queue")))
    assert {"A", "B"} <= {alert.name for alert in plan.symptoms}


def waits(time: str) -> tuple[tuple[str, str], ...]:
    """Return the edit by which the alert about the database waits for that time."""
    old = "    for: 15s\n    severity: page\n    dependency: database\n"
    return ((old, old.replace("15s", time)),)


@pytest.mark.parametrize("time", ["32s", "10m"])
def test_an_alert_after_the_first_tier_is_a_problem(
    problems_of: Callable[..., list[Problem]], time: str
) -> None:
    """D0 pages at the earliest after 27 s, in which 90 % of 30s fail, and its `for` of 15 s."""
    [problem] = problems_of(waits(time))
    assert problem.where.endswith(": watch.DatabaseDown.for")
    assert "tier D0 pages after 42 s, and one incident would be two pages" in problem.message
    assert problem.fix == "write a time below 32s"


def test_an_alert_before_the_first_tier_is_allowed(plan_of: Callable[..., Plan]) -> None:
    """With 30 s, a scrape and an evaluation it fires 40 s after the failure."""
    plan = plan_of(waits("30s"))
    assert [a.entry.for_.text for a in plan.symptoms if a.entry.dependency] == ["30s"]


def test_the_limit_follows_from_the_policy(
    problems_of: Callable[..., list[Problem]], plan_of: Callable[..., Plan]
) -> None:
    """A slower D0 leaves more time, and without it T0 is the first: 54 s and `for` of 20 s."""
    slower = ("source: dependency, for: 15s", "source: dependency, for: 25s")
    assert plan_of(waits("40s"), (slower,))
    elsewhere = ("source: dependency, for: 15s", "source: job, for: 15s")
    [problem] = problems_of(waits("64s"), (elsewhere,))
    assert "fires up to 74 s after database fails; tier T0 pages after 74 s" in problem.message
