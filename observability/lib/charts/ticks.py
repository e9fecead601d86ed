"""Round numbers and round times for the marks of an axis."""

import math

FACTORS = (1, 2, 2.5, 5, 10)
MINUTE = 60
DAY = 86_400
TIME_STEPS = (
    *(1, 2, 5, 10, 15, 30),  # seconds
    *(60, 120, 300, 600, 900, 1800),  # minutes
    *(3600, 7200, 10_800, 21_600, 43_200),  # hours
    *(86_400, 172_800, 604_800),  # days
)


def round_numbers(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round numbers from low to high."""
    least_step = (high - low) / count
    power = 10.0 ** math.floor(math.log10(least_step))
    steps = (power * factor for factor in FACTORS)
    step = next(step for step in steps if step >= least_step * 0.999)
    return multiples(step, low, high)


def round_times(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round times from low to high, in seconds."""
    least_step = (high - low) / count
    step = next((step for step in TIME_STEPS if step >= least_step), TIME_STEPS[-1])
    return multiples(step, low, high)


def multiples(step: float, low: float, high: float) -> list[float]:
    """Return the multiples of a step from low to high."""
    first = math.ceil(low / step)
    last = math.floor(high / step)
    return [number * step for number in range(first, last + 1)]
