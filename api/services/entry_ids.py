"""Sets of entry ids as ranges: a channel may have millions, of which few are missing."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import pairwise

MAX_RANGES = 100
Ranges = list[list[int]]  # [first, last], in order; a list because it is stored as JSON


def between(first: int, last: int) -> Ranges:
    """Return the ids from first to last; none when last is smaller."""
    return [[first, last]] if first <= last else []


def without(ranges: Ranges, ids: Iterable[int]) -> Ranges:
    """Return the ranges without the ids.

    Of more than MAX_RANGES ranges return one that spans them all.
    """
    ordered = sorted(set(ids))
    remaining: Ranges = []
    for first, last in ranges:
        removed = ordered[bisect_left(ordered, first) : bisect_right(ordered, last)]
        edges = [first - 1, *removed, last + 1]
        for before, after in pairwise(edges):
            remaining += between(before + 1, after - 1)
    if len(remaining) > MAX_RANGES:
        return [[remaining[0][0], remaining[-1][1]]]
    return remaining


def above(ranges: Ranges, limit: int) -> Ranges:
    """Return the ids that are larger than the limit."""
    return [[max(first, limit + 1), last] for first, last in ranges if last > limit]


def contains(ranges: Ranges, entry_id: int) -> bool:
    """Return whether the id is in one of the ranges."""
    return any(first <= entry_id <= last for first, last in ranges)


def count(ranges: Ranges) -> int:
    """Return the number of ids."""
    return sum(last - first + 1 for first, last in ranges)
