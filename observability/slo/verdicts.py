"""Verdicts on every SLO by what a running Prometheus recorded: met, missed, idle or unmeasured."""

import math
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from observability.lib.json_object import Json
from observability.lib.prometheus import Prometheus
from observability.lib.templates import fill
from observability.sli.registry import promise
from observability.slo.queries import longest_frequent_window, total_and_bad_events
from observability.spec import names
from observability.spec.plan import FINE_PACE, LONG_PACE, SHORT_WINDOW, Plan, Slo, Window
from observability.spec.quantities import format_decimal, parse_duration

NO_EVENT = 0.5  # increase() interpolates: less than half an event is none
MEASURED = "<<BAD>> or <<FRESH>>"  # has a series while the SLO is measured


class Verdict(StrEnum):
    """The verdict on an SLO: idle means no events, unmeasured means no series."""

    MET = "met"
    MISSED = "missed"
    IDLE = "idle"
    UNMEASURED = "unmeasured"


@dataclass(frozen=True)
class SloResult:
    """One SLO over one window.

    Ratios are 0..1; `good` and `total` count events, or seconds for freshness and probes.
    """

    slo: str
    promise: str
    owner: str
    objective: float
    measured: float | None
    good: float | None
    total: float | None
    budget_remaining: float | None  # 1 untouched, 0 spent, below 0 missed
    burn_rate: float | None  # of the last 5 minutes; 1 spends the budget exactly within the period
    verdict: Verdict


def judge(slo: Slo, total: float | None, bad: float | None, burn_rate: float | None) -> SloResult:
    """Return the verdict on one SLO; `total` None means that its series are missing."""
    unmeasured = SloResult(
        slo=slo.name,
        promise=promise(slo),
        owner=slo.owner,
        objective=float(slo.objective),
        measured=None,
        good=None,
        total=None,
        budget_remaining=None,
        burn_rate=None,
        verdict=Verdict.UNMEASURED,
    )
    if total is None or bad is None or math.isnan(total + bad):
        return unmeasured
    known = replace(unmeasured, burn_rate=burn_rate)
    if total < NO_EVENT:
        return replace(known, good=0.0, total=0.0, budget_remaining=1.0, verdict=Verdict.IDLE)
    bad_share = bad / total
    measured = 1 - bad_share
    return replace(
        known,
        measured=measured,
        good=total - bad,
        total=total,
        budget_remaining=1 - bad_share / float(slo.budget),
        verdict=Verdict.MET if measured >= float(slo.objective) else Verdict.MISSED,
    )


def measure(plan: Plan, prometheus: Prometheus, window: Window) -> list[SloResult]:
    """Return every SLO of the plan over a window ending now; raise Unreachable."""
    total_query, bad_query = total_and_bad_events(plan, window)
    totals = prometheus.query_by_label(total_query, names.SLO)
    bads = prometheus.query_by_label(bad_query, names.SLO)
    measured = prometheus.query_by_label(fill(MEASURED), names.SLO)
    error_ratios = prometheus.query_by_label(names.error_ratio(SHORT_WINDOW), names.SLO)
    rows = []
    for slo in plan.slos:
        total, bad = None, None
        if slo.name in measured:
            total, bad = totals.get(slo.name, 0.0), bads.get(slo.name, 0.0)
        burn_rate = error_ratios.get(slo.name, 0.0) / float(slo.budget)
        rows.append(judge(slo, total, bad, burn_rate))
    return rows


def exit_code(rows: list[SloResult], *, strict: bool) -> int:
    """Return 0 if all are met (or idle, unless strict), 1 if one is missed, 2 if unmeasured."""
    verdicts = {row.verdict for row in rows}
    if Verdict.UNMEASURED in verdicts:
        return 2
    failures = {Verdict.MISSED, Verdict.IDLE} if strict else {Verdict.MISSED}
    return int(not verdicts.isdisjoint(failures))


def as_json(rows: list[SloResult], window: Window) -> Json:
    """Return the stable form that scripts read."""
    return {"window": window.name, "slos": [asdict(row) for row in rows]}


def parse_window(plan: Plan, text: str | None) -> Window:
    """Return the window of a text such as `1h`; None means the plan's period.

    Raise ValueError for a span that the plan keeps no data for.
    """
    if text is None:
        return plan.period
    length = parse_duration(text)
    shortest = plan.clock.evaluate * 4
    if not shortest <= length.seconds <= plan.period.seconds:
        raise ValueError(
            f"--window {text} must lie between {format_decimal(shortest)}s and {plan.period.name}"
        )
    is_frequent = length.seconds <= longest_frequent_window(plan).seconds
    return Window(length.text, length.seconds, FINE_PACE if is_frequent else LONG_PACE)
