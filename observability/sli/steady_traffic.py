"""The traffic of promtool's cases: constant events per sample, with a share of bad ones."""

from dataclasses import dataclass
from decimal import Decimal

from observability.spec import names

EVENTS = 1_000_000  # per sample, so that the share of one SLO's budget is a whole number of events
SAMPLES = 2_000
ONE_INSTANCE = {names.INSTANCE: "a"}


@dataclass(frozen=True)
class SteadyTraffic:
    """Shares of bad events, 0..1, by SLO, and the seconds between two samples."""

    shares: dict[str, Decimal]
    step: Decimal

    def share(self, slo: str) -> Decimal:
        """Return the SLO's share of bad events; 0 where none is given."""
        return self.shares.get(slo, Decimal(0))

    def bad_of(self, events: int, slo: str) -> int:
        """Return the SLO's bad ones among the events, rounded down."""
        return int(events * self.share(slo))


def counter(step: int) -> str:
    """Return the values of a counter that grows by `step` per sample."""
    return f"0+{step}x{SAMPLES}"


def gauge(value: int | str) -> str:
    """Return the values of a gauge that stays as it is."""
    return f"{value}x{SAMPLES}"
