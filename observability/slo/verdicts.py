"""Judges every SLO by what a running Prometheus recorded: met, missed, idle or unmeasured."""

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from observability.lib.prometheus import Prometheus
from observability.sli.registry import promise as promise_of
from observability.spec import names
from observability.spec.plan import FINE_PACE, LONG_PACE, Plan, Slo, Window
from observability.spec.quantities import format_decimal, parse_duration


class Verdict(StrEnum):
    """Idle is no success: nothing happened. Unmeasured is no failure: nobody looked."""

    MET = "met"
    MISSED = "missed"
    IDLE = "idle"
    UNMEASURED = "unmeasured"


@dataclass(frozen=True)
class Row:
    """One SLO over one window. Ratios are 0..1; `good` and `total` count events, or seconds for freshness and probes."""

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


def often(plan: Plan) -> Window:
    """The longest window that is recorded often."""
    return max(
        (window for window in plan.windows if window.pace != LONG_PACE),
        key=lambda window: window.seconds,
    )


def sums(window: Window, plan: Plan) -> tuple[str, str]:
    """Expressions of all and of bad events in a window, by SLO.

    Long windows read the thinned series, as the rules do. What has not been recorded for longer than the shorter
    windows reach is read from every sample instead, so that a young server's figures are exact.
    """
    fine_window = often(plan)

    def over(series: str, share: str) -> str:
        def one(w: Window, suffix: str) -> str:
            fresh = f"{names.FRESH}{suffix}[{w.text}]"
            seconds = f"count_over_time({fresh}) * {format_decimal(plan.clock.thin if suffix else plan.clock.evaluate)}"
            return f"sum by ({names.SLO}) (increase({series}{suffix}[{w.text}])) or {seconds} * {share.format(fresh)}"

        if window.pace == FINE_PACE or window.seconds <= fine_window.seconds:
            return one(window, "")
        known_then = f"and on ({names.SLO}) {names.OBJECTIVE} offset {fine_window.text}"
        return f"(({one(window, names.THIN)}) {known_then}) or ({one(fine_window, '')})"

    return over(names.TOTAL, "1"), over(names.BAD, "(1 - avg_over_time({}))")


def judge(slo: Slo, total: float | None, bad: float | None, burn: float | None) -> Row:
    """The verdict on one SLO; `total` None means that its series are missing."""
    promise = (slo.name, promise_of(slo), slo.owner, float(slo.objective))
    if total is None or bad is None or math.isnan(total + bad):
        return Row(*promise, None, None, None, None, None, Verdict.UNMEASURED)
    if total < 0.5:  # increase() interpolates: less than half an event is none
        return Row(*promise, None, 0.0, 0.0, 1.0, burn, Verdict.IDLE)
    measured = 1 - bad / total
    left = 1 - (bad / total) / float(slo.budget)
    verdict = Verdict.MET if measured >= float(slo.objective) else Verdict.MISSED
    return Row(*promise, measured, total - bad, total, left, burn, verdict)


def measure(plan: Plan, prometheus: Prometheus, window: Window) -> list[Row]:
    """Every SLO of the plan over a window ending now; raises Unreachable."""
    total_expr, bad_expr = sums(window, plan)
    totals, bads = (
        prometheus.query_by_label(total_expr, names.SLO),
        prometheus.query_by_label(bad_expr, names.SLO),
    )
    measured = prometheus.query_by_label(
        f"{names.BAD} or {names.FRESH}", names.SLO
    )  # present while somebody measures
    errors = prometheus.query_by_label(names.error_ratio("5m"), names.SLO)
    rows = []
    for slo in plan.slos:
        known = slo.name in measured
        burn = errors[slo.name] / float(slo.budget) if slo.name in errors else 0.0
        rows.append(
            judge(
                slo,
                totals.get(slo.name, 0.0) if known else None,
                bads.get(slo.name, 0.0) if known else None,
                burn,
            )
        )
    return rows


def exit_code(rows: list[Row], strict: bool) -> int:
    """0 all met (or idle, unless strict), 1 one is missed, 2 one could not be measured."""
    verdicts = {row.verdict for row in rows}
    if Verdict.UNMEASURED in verdicts:
        return 2
    return 1 if Verdict.MISSED in verdicts or (strict and Verdict.IDLE in verdicts) else 0


def as_json(rows: list[Row], window: Window) -> dict[str, Any]:
    """The stable form that scripts read."""
    return {"window": window.name, "slos": [asdict(row) for row in rows]}


def parse_window(plan: Plan, text: str | None) -> Window:
    """`30d` → a Window with the pace that suits it; ValueError for a span that the plan keeps no data for."""
    if text is None:
        return plan.period
    length = parse_duration(text)
    if not plan.clock.evaluate * 4 <= length.seconds <= plan.period.seconds:
        raise ValueError(
            f"--window {text} must lie between {format_decimal(plan.clock.evaluate * 4)}s and {plan.period.name}"
        )
    return Window(
        length.text,
        length.seconds,
        FINE_PACE if length.seconds <= often(plan).seconds else LONG_PACE,
    )
