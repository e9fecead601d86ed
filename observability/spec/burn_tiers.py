"""The windows, burn-rate tiers and intervals of a Plan, from the policy and the period."""

from decimal import Decimal
from typing import get_args

from observability.spec.clock import Clock
from observability.spec.plan import (
    FINE_PACE,
    LONG_PACE,
    SHORT_WINDOW,
    THIN_PACE,
    Condition,
    Slo,
    Tier,
    Window,
)
from observability.spec.quantities import Duration, format_decimal, parse_duration
from observability.spec.schema.catalogue import Catalogue
from observability.spec.schema.policy import Policy, SliKind

FACTOR_STEP = Decimal("0.0001")


def build_window(length: Duration, policy: Policy) -> Window:
    """Return a window with the pace that the policy's clock gives its length."""
    if length.seconds <= policy.clock.fine_up_to.seconds:
        pace = FINE_PACE
    elif length.seconds <= policy.clock.thin_up_to.seconds:
        pace = THIN_PACE
    else:
        pace = LONG_PACE
    return Window(length.text, length.seconds, pace)


def build_tiers(catalogue: Catalogue, policy: Policy, slos: tuple[Slo, ...]) -> tuple[Tier, ...]:
    """Return the burn-rate alerts that judge any of the SLOs."""
    scale = catalogue.period.seconds / policy.factors_for.seconds
    tiers = (build_tier(name, policy, scale) for name in policy.tiers)
    return tuple(tier for tier in tiers if any(map(tier.judges, slos)))


def build_tier(name: str, policy: Policy, scale: Decimal) -> Tier:
    """Return one burn-rate alert; without `slis` it covers every kind of SLI."""
    entry = policy.tiers[name]
    conditions = tuple(
        Condition(
            build_window(window.over, policy),
            scale_factor(window.factor, scale),
            window.ratio or Decimal(0),
        )
        for window in entry.windows
    )
    return Tier(
        name=name,
        severity=entry.severity,
        for_=entry.for_.seconds,
        conditions=conditions,
        guard_window=build_window(entry.failed.over, policy),
        guard_events=entry.failed.events,
        slis=entry.slis or get_args(SliKind),
        source=entry.source,
    )


def scale_factor(factor: Decimal | None, scale: Decimal) -> Decimal | None:
    """Return the burn rate that spends the same share of a budget that lasts `scale` times as long.

    It is not scaled below 1, at which an objective is just met.
    """
    if factor is None:
        return None
    scaled = (factor * scale).quantize(FACTOR_STEP)
    return Decimal(format_decimal(max(scaled, min(factor, Decimal(1)))))


def collect_windows(tiers: tuple[Tier, ...], period: Window, policy: Policy) -> tuple[Window, ...]:
    """Return every window that rules record, ascending; the period is the last."""
    used = {period, build_window(parse_duration(SHORT_WINDOW), policy)}
    for tier in tiers:
        used.update(tier.windows)
    return tuple(sorted(used, key=lambda window: window.seconds))


def build_clock(policy: Policy) -> Clock:
    """Return the policy's intervals in seconds."""
    return Clock(*(getattr(policy.clock, name).seconds for name in Clock._fields))
