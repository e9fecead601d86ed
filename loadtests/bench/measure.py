"""The arithmetic of benchmarks: interleaved batches, medians with their margins, verdicts; it knows no app."""

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
    """A median and how far off it may be: the notch of a box plot, 1.57 × IQR ÷ √n (McGill, Tukey and Larsen, 1978), about 95 %."""

    value: float
    margin: float


def estimate(values: Sequence[float]) -> Estimate:
    """At least two values → their median and its margin."""
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
    """Runs every batch once a round; `tick` hears of each round's end."""
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
    """FINE or WORSE where the whole interval lies on one side of the limit; UNKNOWN where it does not, or nothing was committed."""
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
