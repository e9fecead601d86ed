"""Verdicts on every SLO by what a running Prometheus recorded."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from observability.lib import charts
from observability.lib.json_object import Json
from observability.lib.panels import Unit
from observability.lib.prometheus import ServicePrometheus
from observability.sli.registry import kind_of, promise
from observability.slo.queries import (
    covered_seconds,
    excluded_seconds,
    longest_frequent_window,
    total_and_bad_events,
)
from observability.spec import names
from observability.spec.load_terms import SHARE_ROUNDING
from observability.spec.plan import FINE_PACE, LONG_PACE, SHORT_WINDOW, Plan, Slo, Window
from observability.spec.quantities import format_decimal, parse_duration

# increase() interpolates: less than half an event is none, and less than one and a half are one.
NO_EVENT = 0.5
ONE_EVENT = 1.5
NEARLY_AS_LONG = 0.9


class Verdict(StrEnum):
    """The verdict on an SLO.

    Idle means no events, too few that neither met nor missed is sure yet, unmeasured means no
    series, broken that the series contradict each other.
    """

    MET = "met"
    MISSED = "missed"
    TOO_FEW = "too few"
    IDLE = "idle"
    UNMEASURED = "unmeasured"
    BROKEN = "broken"


@dataclass(frozen=True)
class SloResult:
    """One SLO over one window.

    Ratios are 0..1; `good` and `total` count events, or seconds for kinds that count them.
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
    covered_seconds: float = 0.0  # of the window, that have data
    events_needed: float = 0.0  # fewer prove nothing
    excluded_seconds: float = 0.0  # of the window, that were declared maintenance
    excluded_codes: tuple[str, ...] = ()  # status codes that count neither way


@dataclass(frozen=True)
class Counted:
    """Counts of one SLO in a window; some kinds count seconds as events.

    Without series `total` or `bad` is None.
    """

    total: float | None
    bad: float | None
    covered_seconds: float
    window_seconds: float
    sample: float = 1.0  # the smallest event: one, or the seconds between two samples
    excluded_seconds: float = 0.0  # of the window; maintenance

    @property
    def expected(self) -> float:
        """Return the events of the whole window, if the rest of it is like the part with data.

        Maintenance has none.
        """
        covered = max(self.covered_seconds, self.sample)
        countable = self.window_seconds - self.excluded_seconds
        return (self.total or 0.0) * max(1.0, countable / covered)


def judge(slo: Slo, counted: Counted, burn_rate: float | None) -> SloResult:
    """Return the verdict on one SLO."""
    total, bad = counted.total, counted.bad
    unmeasured = without_figures(slo, counted)
    if total is None or bad is None or math.isnan(total + bad):
        return unmeasured
    if math.isinf(total) or not -NO_EVENT < bad < total + NO_EVENT:
        return replace(unmeasured, verdict=Verdict.BROKEN)
    known = replace(unmeasured, burn_rate=burn_rate)
    if total < NO_EVENT:
        return replace(known, good=0.0, total=0.0, budget_remaining=1.0, verdict=Verdict.IDLE)
    bad = min(max(bad, 0.0), total)
    measured = 1 - bad / total
    allowed = float(slo.budget) * max(counted.expected, known.events_needed)
    verdict = Verdict.TOO_FEW
    if 1 - measured <= float(slo.budget) + SHARE_ROUNDING and total >= known.events_needed:
        verdict = Verdict.MET
    elif bad > max(allowed, ONE_EVENT * counted.sample):
        verdict = Verdict.MISSED
    return replace(
        known,
        measured=measured,
        good=total - bad,
        total=total,
        budget_remaining=1 - bad / allowed,
        verdict=verdict,
    )


def without_figures(slo: Slo, counted: Counted) -> SloResult:
    """Return the result of an SLO that is not measured."""
    return SloResult(
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
        covered_seconds=counted.covered_seconds,
        events_needed=slo.events_needed * counted.sample,
        excluded_seconds=counted.excluded_seconds,
        excluded_codes=slo.excluded_codes,
    )


def measure(plan: Plan, prometheus: ServicePrometheus, window: Window) -> list[SloResult]:
    """Return every SLO of the plan over a window that ends now; raise Unreachable."""
    return [
        judge(slo, counted, burn_rate)
        for slo, counted, burn_rate in count_events(plan, prometheus, window)
    ]


def count_events(
    plan: Plan, prometheus: ServicePrometheus, window: Window
) -> Iterator[tuple[Slo, Counted, float]]:
    """Yield every SLO with what was counted of it in a window, and its burn rate.

    All numbers are of one moment, which is one evaluation ago: then the rules of that moment have
    recorded all their series, and no number is newer than another. An SLO is measured when it has
    data now; one that began since then is idle. During maintenance, when none has data, one is
    measured that has data in the window.
    """
    now = prometheus.now()
    at = now - float(plan.clock.evaluate)
    total_query, bad_query = total_and_bad_events(plan, window)
    totals = prometheus.query_by_label(total_query, names.SLO, at)
    bads = prometheus.query_by_label(bad_query, names.SLO, at)
    covered = prometheus.query_by_label(covered_seconds(plan, window), names.SLO, at)
    measured = prometheus.query_by_label(names.MEASURED, names.SLO, now)
    error_ratios = prometheus.query_by_label(names.error_ratio(SHORT_WINDOW), names.SLO, at)
    window_seconds = float(window.seconds)
    excluded = 0.0
    if plan.maintenance:
        excluded = sum(value for _, value in prometheus.query(excluded_seconds(plan, window), at))
        if prometheus.query(names.IN_MAINTENANCE, now):
            measured = covered
    for slo in plan.slos:
        is_measured = slo.name in measured
        counted = Counted(
            total=totals.get(slo.name, 0.0) if is_measured else None,
            bad=bads.get(slo.name, 0.0) if is_measured else None,
            covered_seconds=min(covered.get(slo.name, 0.0), window_seconds),
            window_seconds=window_seconds,
            sample=float(plan.clock.evaluate) if kind_of(slo).counts_seconds else 1.0,
            excluded_seconds=min(excluded, window_seconds),
        )
        yield slo, counted, error_ratios.get(slo.name, 0.0) / float(slo.budget)


def exit_code(rows: list[SloResult], *, strict: bool) -> int:
    """Return the exit code of the worst verdict.

    2 unmeasured; 1 missed or broken, and with `strict` idle; 2 too few; 0 if all are met.
    """
    verdicts = {row.verdict for row in rows}
    if Verdict.UNMEASURED in verdicts:
        return 2
    failures = {Verdict.MISSED, Verdict.BROKEN}
    if strict:
        failures.add(Verdict.IDLE)
    if not verdicts.isdisjoint(failures):
        return 1
    return 2 if Verdict.TOO_FEW in verdicts else 0


def describe_coverage(rows: list[SloResult]) -> str:
    """Return how much of the window has data, as in `28 min of which have data`.

    Maintenance is told, too.
    """
    longest = max((row.covered_seconds for row in rows), default=0.0)
    shorter = sum(row.covered_seconds < NEARLY_AS_LONG * longest for row in rows)
    text = f"{charts.text(longest, Unit.SECONDS)} of which have data"
    if shorter:
        text += f" ({shorter} of {len(rows)} SLOs have less)"
    excluded = max((row.excluded_seconds for row in rows), default=0.0)
    if excluded:
        text += f", {charts.text(excluded, Unit.SECONDS)} excluded as maintenance"
    return text


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
