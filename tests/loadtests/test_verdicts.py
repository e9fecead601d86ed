"""Verdicts on a load run: how many requests each needs, and kinds that cannot be judged."""

import math

import pytest

from loadtests import verdicts


@pytest.mark.parametrize(
    ("good", "total", "objective", "verdict"),
    [
        (0, 0, 0.95, "idle"),
        (0, 1, 0.95, "too few"),
        (7, 8, 0.95, "too few"),
        (6, 8, 0.95, "missed"),
        (8, 8, 0.95, "too few"),
        (19, 19, 0.95, "too few"),
        (19, 20, 0.95, "met"),
        (18, 20, 0.95, "missed"),
        (95, 100, 0.95, "met"),
        (94, 100, 0.95, "missed"),
        (998, 999, 0.999, "too few"),
        (997, 999, 0.999, "missed"),
        (999, 1000, 0.999, "met"),
        (998, 1000, 0.999, "missed"),
        (0, 5, 0.999, "missed"),
    ],
)
def test_verdict_needs_enough_requests(
    good: int, total: int, objective: float, verdict: str
) -> None:
    """One bad request alone is never a miss; without enough requests nothing is met."""
    row = {"objective": objective, "events_needed": math.ceil(round(1 / (1 - objective), 6))}
    assert verdicts.choose_verdict(good, total, row) == verdict


@pytest.mark.parametrize("permille", [500, 550, 930, 935, 936, 950, 990, 995, 999])
def test_exactly_what_an_objective_allows_is_met(permille: int) -> None:
    """At 93.6 %, 136 bad requests of 2125 are allowed, which no binary number says exactly."""
    needed = math.ceil(1000 / (1000 - permille))
    row = {"objective": permille / 1000, "events_needed": needed}
    for thousands in range(1, 40):
        total = 1000 * thousands
        good = permille * thousands
        assert verdicts.choose_verdict(good, total, row) == "met"
        assert verdicts.choose_verdict(good - 1, total, row) == "missed"


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (set(), 2),
        ({"idle"}, 2),
        ({"met", "idle"}, 0),
        ({"met", "too few"}, 2),
        ({"met", "too few", "missed"}, 1),
    ],
)
def test_exit_code_is_that_of_the_worst_verdict(found: set[str], code: int) -> None:
    """1 when an objective was missed, 2 with too few requests or without any, else 0."""
    assert verdicts.choose_exit_code(found) == code


def test_objective_of_an_unknown_kind_is_refused() -> None:
    """A kind that cannot be judged stops the run at its start; it is not judged as another."""
    objective = {"slo": "nodes.list-freshness", "kind": "freshness"}
    with pytest.raises(ValueError, match=r"nodes.list-freshness: .* the kind 'freshness'; fix: "):
        verdicts.require_known_kinds([{"objectives": [objective]}])
