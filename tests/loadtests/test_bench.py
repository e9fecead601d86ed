"""The arithmetic of benchmarks, and the apps that they compare."""

import pytest

from loadtests.bench import measure
from loadtests.bench.measure import FINE, UNKNOWN, WORSE, Estimate


def test_rotation_gives_every_variant_every_place() -> None:
    """Variants alternate round by round, so that none is always the first."""
    orders = ["".join(measure.rotate("abc", places)) for places in range(4)]
    assert orders == ["abc", "bca", "cab", "abc"]


def test_rounds_are_interleaved_and_warm_up_is_dropped() -> None:
    """All variants run in every round; warm-up costs are dropped; each round ticks."""
    batches: list[str] = []
    ticks: list[int] = []

    def batch(name: str) -> float:
        batches.append(name)
        return len(batches)

    costs = measure.run_interleaved(
        {"a": lambda: batch("a"), "b": lambda: batch("b")}, 2, lambda: ticks.append(len(batches))
    )
    assert "".join(batches) == "abba" * ((measure.WARM_UP_ROUNDS + 2) // 2)
    assert ticks == [2, 4, 6, 8]
    assert costs == {"a": [5, 8], "b": [6, 7]}


def test_a_median_has_a_margin() -> None:
    """The margin grows with the spread, shrinks with the rounds, and ignores one outlier."""
    assert measure.estimate([1, 2, 3, 4, 5]) == Estimate(3, pytest.approx(1.57 * 2 / 5**0.5))
    assert measure.estimate([1, 2, 3, 4, 5000]) == measure.estimate([1, 2, 3, 4, 5])
    assert measure.estimate([1, 2, 3, 4, 5] * 4).margin == pytest.approx(
        measure.estimate([1, 2, 3, 4, 5]).margin / 2
    )


def test_costs_are_compared_round_by_round() -> None:
    """A disturbance that slows one round ten times changes neither ratio nor margin."""
    costs = {"all": [2.0, 2.0, 20.0, 2.0], "bare": [1.0, 1.0, 10.0, 1.0]}
    assert measure.compute_ratio(costs, "all", "bare") == Estimate(2, 0)
    assert measure.compute_difference(costs, "all", "bare").value == 1


@pytest.mark.parametrize(
    ("value", "margin", "committed", "expected"),
    [
        (2.3, 0.09, 2.0, FINE),
        (2.4, 0.0, 2.0, FINE),
        (2.3, 0.2, 2.0, UNKNOWN),  # the limit of 2.4 lies within
        (2.5, 0.2, 2.0, UNKNOWN),
        (2.5, 0.05, 2.0, WORSE),
        (1.0, 0.0, 2.0, FINE),
        (2.0, 0.1, None, UNKNOWN),
    ],
)
def test_verdict_is_unknown_within_the_margin(
    value: float, margin: float, committed: float | None, expected: str
) -> None:
    """Fine below the limit, worse above it, unknown when the margin includes it."""
    assert measure.judge(Estimate(value, margin), committed) == expected


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([FINE, FINE], FINE),
        ([FINE, UNKNOWN], UNKNOWN),
        ([WORSE, UNKNOWN, FINE], WORSE),
        ([FINE, WORSE], WORSE),
    ],
)
def test_worst_verdict_decides(verdicts: list[str], expected: str) -> None:
    """A worse ratio decides; otherwise an unknown one does."""
    assert measure.combine(verdicts) == expected


def test_unsteady_ratios_are_not_committed() -> None:
    """A ratio whose margin is more than a tenth of it is not committed."""
    assert measure.is_steady(Estimate(2.0, 0.2))
    assert not measure.is_steady(Estimate(2.0, 0.21))


def test_exit_codes_follow_the_convention() -> None:
    """0 is fine, 1 is worse and 2 is unknown, as in every command."""
    assert measure.VERDICTS == (FINE, WORSE, UNKNOWN) == ("fine", "worse", "unknown")
