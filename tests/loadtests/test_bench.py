"""The arithmetic of benchmarks, and the apps that they compare."""

import pytest

from loadtests.bench import measure
from loadtests.bench.measure import FINE, UNKNOWN, WORSE, Estimate


def test_every_variant_takes_every_place() -> None:
    """Variants alternate round by round, and nobody is always the first."""
    orders = ["".join(measure.rotate("abc", places)) for places in range(4)]
    assert orders == ["abc", "bca", "cab", "abc"]


def test_rounds_are_interleaved_and_the_first_forgotten() -> None:
    """All variants run in every round; the costs of the warm-up are dropped; every round ticks."""
    ran: list[str] = []
    ticks: list[int] = []

    def batch(name: str) -> float:
        ran.append(name)
        return len(ran)

    costs = measure.run_interleaved(
        {"a": lambda: batch("a"), "b": lambda: batch("b")}, 2, lambda: ticks.append(len(ran))
    )
    assert "".join(ran) == "abba" * ((measure.WARM_UP_ROUNDS + 2) // 2)
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
    """A neighbour who makes one round ten times as dear moves neither ratio nor margin."""
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
def test_a_verdict_needs_the_whole_interval(
    value: float, margin: float, committed: float | None, expected: str
) -> None:
    """Fine below the limit, worse above it, unknown when noise reaches across it."""
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
def test_one_worse_ratio_decides(verdicts: list[str], expected: str) -> None:
    """One worse ratio decides; an unknown one decides over fine ones."""
    assert measure.combine(verdicts) == expected


def test_noise_is_not_committed() -> None:
    """A ratio whose margin is more than a tenth of it is not committed."""
    assert measure.is_steady(Estimate(2.0, 0.2))
    assert not measure.is_steady(Estimate(2.0, 0.21))


def test_exit_codes_are_the_projects() -> None:
    """0 fine, 1 not fine, 2 could not tell."""
    assert measure.VERDICTS == (FINE, WORSE, UNKNOWN) == ("fine", "worse", "unknown")
