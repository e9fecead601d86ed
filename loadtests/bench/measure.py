"""The arithmetic of benchmarks: interleaved batches, medians with margins, verdicts.

In every round each variant runs one batch, so that whatever else the machine does slows all of them
alike. Costs are compared round by round, and the median ignores the rounds that were disturbed.
"""

import math
import operator
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

SLACK = 1.2  # by this factor a ratio may pass the committed one
STEADY_MARGIN = 0.1  # a ratio with a larger margin, as a share of it, is not committed
WARM_UP_ROUNDS = 2  # their costs are dropped
FINE = "fine"
WORSE = "worse"
UNKNOWN = "unknown"
VERDICTS = (FINE, WORSE, UNKNOWN)  # their places are exit codes
Costs = Mapping[str, Sequence[float]]  # by name, seconds per request of every round
Batch = Callable[[], float]
Tick = Callable[[], object]


class Estimate(NamedTuple):
    """A median and its margin of about 95 %: the notch of a box plot, 1.57 × IQR ÷ √n.

    Source: McGill, Tukey and Larsen, 1978.
    """

    value: float
    margin: float


def estimate(values: Sequence[float]) -> Estimate:
    """Return the median and the margin of at least two values."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    margin = 1.57 * (high - low) / len(values) ** 0.5
    return Estimate(median, margin)


def rotate(names: Sequence[str], places: int) -> list[str]:
    """Return the names rotated to the left, as in A B C, B C A, C A B."""
    first = places % len(names)
    return [*names[first:], *names[:first]]


def run_interleaved(batches: Mapping[str, Batch], rounds: int, tick: Tick) -> Costs:
    """Run every batch once a round, each in turn the first, and return the costs.

    Call `tick` after each round.
    """
    costs = defaultdict[str, list[float]](list)
    for number in range(WARM_UP_ROUNDS + rounds):
        for name in rotate(list(batches), number):
            cost = batches[name]()
            costs[name].append(cost)
        tick()
    return {name: values[WARM_UP_ROUNDS:] for name, values in costs.items()}


def compute_ratio(costs: Costs, of: str, to: str) -> Estimate:
    """Return `of` ÷ `to`, paired by round."""
    return estimate([*map(operator.truediv, costs[of], costs[to])])


def compute_difference(costs: Costs, of: str, to: str) -> Estimate:
    """Return `of` − `to` in seconds per request, paired by round."""
    return estimate([*map(operator.sub, costs[of], costs[to])])


def subtract(whole: Estimate, part: Estimate) -> Estimate:
    """Return what a part leaves of the whole; independent margins add as squares."""
    return Estimate(whole.value - part.value, math.hypot(whole.margin, part.margin))


def judge(measured: Estimate, committed: float | None) -> str:
    """Return FINE or WORSE when the whole interval lies on one side of the limit, else UNKNOWN.

    Without a committed ratio there is no limit.
    """
    if committed is None:
        return UNKNOWN
    limit = committed * SLACK
    if measured.value + measured.margin <= limit:
        return FINE
    if measured.value - measured.margin > limit:
        return WORSE
    return UNKNOWN


def is_steady(measured: Estimate) -> bool:
    """Return whether a ratio is certain enough to be committed.

    Its margin may be at most the share STEADY_MARGIN of it.
    """
    return measured.margin <= STEADY_MARGIN * measured.value


def combine(verdicts: Sequence[str]) -> str:
    """Return the verdict on all ratios together: WORSE if one is, else UNKNOWN if one is."""
    for verdict in (WORSE, UNKNOWN):
        if verdict in verdicts:
            return verdict
    return FINE


def to_micros(seconds: float) -> float:
    """Return seconds in microseconds, with one decimal."""
    return round(seconds * 1e6, 1)
