"""The arithmetic of benchmarks: interleaved batches, medians with margins, verdicts."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import sub, truediv
from typing import NamedTuple

SLACK = 1.2  # by this factor a ratio may pass the committed one
STEADY = 0.1  # a ratio with a larger margin, as a share of it, is not committed
WARM_UP = 2  # rounds whose costs are forgotten
FINE, WORSE, UNKNOWN = VERDICTS = ("fine", "worse", "unknown")  # their places are exit codes
Costs = Mapping[str, Sequence[float]]  # by name, seconds per request of every round


class Estimate(NamedTuple):
    """A median and its margin of about 95 %: the notch of a box plot, 1.57 × IQR ÷ √n.

    Source: McGill, Tukey and Larsen, 1978.
    """

    value: float
    margin: float


def estimate(values: Sequence[float]) -> Estimate:
    """Return the median and the margin of at least two values."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Estimate(middle, 1.57 * (high - low) / len(values) ** 0.5)


def orders(names: Sequence[str], rounds: int) -> Iterator[Sequence[str]]:
    """A B C, B C A, C A B …: nobody is always the first."""
    for number in range(rounds):
        first = number % len(names)
        yield [*names[first:], *names[:first]]


def interleaved(
    batches: Mapping[str, Callable[[], float]],
    rounds: int,
    tick: Callable[[], object] = lambda: None,
) -> Costs:
    """Run every batch once a round and return the costs; call `tick` after each round."""
    costs: dict[str, list[float]] = {name: [] for name in batches}
    for order in orders(list(batches), WARM_UP + rounds):
        for name in order:
            costs[name].append(batches[name]())
        tick()
    return {name: values[WARM_UP:] for name, values in costs.items()}


def ratio(costs: Costs, of: str, to: str) -> Estimate:
    """`of` ÷ `to`, paired by round: both felt the same neighbours on the machine."""
    return estimate([*map(truediv, costs[of], costs[to])])


def difference(costs: Costs, of: str, to: str) -> Estimate:
    """`of` − `to` in seconds per request, paired by round."""
    return estimate([*map(sub, costs[of], costs[to])])


def verdict(measured: Estimate, committed: float | None) -> str:
    """Return FINE or WORSE when the whole interval lies on one side of the limit, else UNKNOWN."""
    limit = (committed or 0) * SLACK
    if measured.value + measured.margin <= limit:
        return FINE
    return WORSE if limit and measured.value - measured.margin > limit else UNKNOWN


def steady(measured: Estimate) -> bool:
    """Sure enough to be committed."""
    return measured.margin <= STEADY * measured.value


def overall(verdicts: Sequence[str]) -> str:
    """What is worse is told even beside what could not be."""
    return WORSE if WORSE in verdicts else max(verdicts, key=VERDICTS.index)
