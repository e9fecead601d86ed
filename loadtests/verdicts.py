"""Verdicts on the objectives of a load run, from what its clients counted."""

from collections.abc import Callable
from typing import Any

from loadtests.tally import Tally
from observability.spec.load_terms import SHARE_ROUNDING

Row = dict[str, Any]
MET = "met"
MISSED = "missed"
TOO_FEW = "too few"  # events for a verdict
IDLE = "idle"


def count_successes(tally: Tally, name: str, _: Row) -> tuple[int, int]:
    """Return the requests that did not fail, and all requests."""
    total = tally.total[name]
    return total - tally.failed[name], total


def count_quick_answers(tally: Tally, name: str, objective: Row) -> tuple[int, int]:
    """Return the good answers within the threshold, and all good answers."""
    return tally.quick[objective["slo"]], tally.good[name]


# The good events and all events, by kind of SLI.
COUNT_EVENTS: dict[str, Callable[[Tally, str, Row], tuple[int, int]]] = {
    "availability": count_successes,
    "latency": count_quick_answers,
}


def require_known_kinds(scenarios: list[Row]) -> None:
    """Raise ValueError for an objective that cannot be judged; call it before anything is sent."""
    for scenario in scenarios:
        for objective in scenario["objectives"]:
            kind = objective["kind"]
            if kind not in COUNT_EVENTS:
                raise ValueError(
                    f"{objective['slo']}: loadtests/verdicts.py cannot judge the kind {kind!r}; "
                    "fix: add a function to COUNT_EVENTS that returns its good and all events"
                )


def judge(scenarios: list[Row], tally: Tally) -> list[Row]:
    """Return one row per objective: promised and measured share, and the verdict."""
    return [
        judge_objective(tally, scenario["id"], objective)
        for scenario in scenarios
        for objective in scenario["objectives"]
    ]


def judge_objective(tally: Tally, name: str, objective: Row) -> Row:
    """Return the row of one objective."""
    good, total = COUNT_EVENTS[objective["kind"]](tally, name, objective)
    return {
        "slo": objective["slo"],
        "objective": objective["objective"],
        "measured": good / total if total else None,
        "good": good,
        "total": total,
        "events_needed": objective["events_needed"],
        "verdict": choose_verdict(good, total, objective),
    }


def choose_verdict(good: int, total: int, objective: Row) -> str:
    """Return the verdict on an objective.

    One bad event alone is never a miss; two are, if they are more than the objective allows of the
    events so far. Otherwise there must be as many events as a verdict needs.
    """
    if not total:
        return IDLE
    allowed = (1 - objective["objective"]) * total
    bad = total - good
    if bad > max(1, allowed + SHARE_ROUNDING * total):
        return MISSED
    if total < objective["events_needed"]:
        return TOO_FEW
    return MET


def choose_exit_code(verdicts: set[str]) -> int:
    """Return 1 when an objective was missed, 2 when one had too few events or all had none."""
    if MISSED in verdicts:
        return 1
    if TOO_FEW in verdicts or MET not in verdicts:
        return 2
    return 0
