"""Round marks of an axis."""

from observability.lib.charts.ticks import round_numbers, round_times


def test_numbers_are_multiples_of_a_round_step() -> None:
    """Steps are 1, 2, 2.5 or 5 times a power of ten; 0 is among the marks below and above it."""
    assert round_numbers(0.0, 0.9, 4) == [0.0, 0.25, 0.5, 0.75]
    assert round_numbers(-3.0, 5.0, 4) == [-2.0, 0.0, 2.0, 4.0]


def test_times_are_multiples_of_what_a_clock_shows() -> None:
    """A quarter of five hours is no round time; two hours are."""
    assert round_times(3600, 21_600, 4) == [7200, 14_400, 21_600]
