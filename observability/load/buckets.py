"""The buckets of a latency histogram, and the quantiles that can be read off them."""

import math
from bisect import bisect_left
from dataclasses import dataclass

QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Buckets:
    """Cumulative counts of a histogram by upper edge in seconds; the last is infinite."""

    edges: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def total(self) -> float:
        """Return the number of all events."""
        return max(self.counts, default=0.0)

    def edges_around(self, rank: float) -> tuple[float, float]:
        """Return the edges of the bucket of a rank; 0 and infinity beyond all events."""
        if not self.total or rank > self.total:
            return 0.0, math.inf
        index = bisect_left(self.counts, rank)
        return (0.0, *self.edges)[index], self.edges[index]

    def quantile(self, share: float) -> float | None:
        """Return a quantile as PromQL's histogram_quantile does; None without events."""
        if not self.total:
            return None
        rank = share * self.total
        lower, upper = self.edges_around(rank)
        if math.isinf(upper):
            return lower
        index = bisect_left(self.counts, rank)
        below = (0.0, *self.counts)[index]
        inside = self.counts[index] - below
        return lower + (upper - lower) * ((rank - below) / inside)

    def quantiles(self) -> dict[str, float | None]:
        """Return the quantiles of a report by name, in seconds."""
        return {name: self.quantile(share) for name, share in QUANTILES.items()}
