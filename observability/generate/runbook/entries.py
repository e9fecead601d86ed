"""Plan → what a person on call needs about every alert and SLO, as data; it imports the plan, promql, panels and conventions.

generate/runbook.py writes it as Markdown, the console shows it beside the present numbers.
"""

from dataclasses import dataclass
from decimal import Decimal

from observability.lib.check import Check
from observability.lib.panels import LOGS, Unit
from observability.lib.promql import burn_rate, firing, log_lines, selector
from observability.sli.registry import kind_of
from observability.sli.registry import promise as promised
from observability.spec import names
from observability.spec.plan import SHORT_WINDOW, Alert, LogAlert, Plan, Slo
from observability.spec.quantities import format_decimal

ALERT, PROMISE = "alert", "slo"
CASES = "Its promtool cases in observability/generated/prometheus/tests run it on the real clock: make check"

LOG_CASES = "Where Loki is on PATH, tests/e2e/test_logs.py sees rules of this kind fire into the inbox and resolve"


@dataclass(frozen=True)
class Entry:
    """One alert, or one SLO, whose alerts share a page."""

    name: str
    kind: str  # ALERT or PROMISE
    owner: str
    severity: str
    meaning: str
    users: str  # what users notice
    checks: tuple[Check, ...]
    steps: tuple[str, ...]
    drill: str
    over: str  # how to know that it is over


WHAT_ELSE = Check("What else is firing?", firing())


def entries(plan: Plan) -> dict[str, Entry]:
    """Every alert and every SLO by name."""
    burn, singles, logged = (
        burning(plan),
        map(single, plan.alerts),
        (of_log(plan, alert) for alert in plan.log_alerts),
    )
    promises = (promise(plan, slo) for slo in plan.slos)
    return {entry.name: entry for entry in (burn, *singles, *logged, *promises)}


def burning(plan: Plan) -> Entry:
    """The one alert of all SLOs; which SLO it is about stands in its label."""
    tiers = "; ".join(
        f"{tier.name} ({tier.severity}) {condition_text(tier.conditions[0].factor)} over {tier.conditions[0].window.name}"
        for tier in plan.tiers
    )
    return Entry(
        names.BURN_ALERT,
        ALERT,
        plan.owner,
        " or ".join(sorted({tier.severity for tier in plan.tiers})),
        f"An SLO spends its error budget of {plan.period.name} so fast that somebody should look now (page) or soon (ticket). The label "
        f"{names.SLO} says which, the label {names.TIER} how fast: {tiers}. A burn rate of 1 spends the budget exactly within the period.",
        "That depends on the SLO: its own page says it.",
        (
            Check(
                "Which SLOs burn, and how fast?",
                f"topk(10, {burn_rate(SHORT_WINDOW)} > 1)",
                Unit.TIMES,
            ),
            Check("How much budget is left?", f"bottomk(10, {names.BUDGET_LEFT})", Unit.RATIO),
            WHAT_ELSE,
        ),
        ("Open the page of the SLO that the alert names, and follow it.",),
        f"make drill D={next(iter(plan.policy.drill.by_sli.values()))}",
        "the share of bad events has left every tier's short window; the inbox says resolved.",
    )


def condition_text(factor: Decimal | None) -> str:
    return f"{format_decimal(factor)} × budget" if factor else "nearly everything bad"


def promise(plan: Plan, slo: Slo) -> Entry:
    mine = f'{{{names.SLO}="{slo.name}"}}'
    still = Check(
        "Is it still bad, and how much of it?", names.error_ratio(SHORT_WINDOW) + mine, Unit.RATIO
    )
    severities = " or ".join(sorted({tier.severity for tier in plan.tiers if slo.sli in tier.slis}))
    kind = kind_of(slo)
    drill = kind.drill(plan, slo)
    lowest = min(
        condition.threshold(slo, plan.policy.max_threshold)
        for tier in plan.tiers
        for condition in tier.conditions
    )
    return Entry(
        slo.name,
        PROMISE,
        slo.owner,
        severities,
        f"Promised over {plan.period.name}: {promised(slo)}. An alert means that the error budget is being spent too fast to last.",
        kind.impact(slo),
        (still, *kind.checks(slo)),
        slo.next_steps,
        f"make drill D={drill} breaks such a promise on a stack of its own" if drill else CASES,
        f"`{still.query}` stays below {format_decimal(lowest * 100)} %, and the inbox says resolved: within 5 minutes of the recovery.",
    )


def single(alert: Alert) -> Entry:
    """A guard or a watched symptom."""
    mine = selector(names.ALERTS, alertname=alert.name)
    first = Check("Is it still so?", alert.expr) if alert.expr else Check("What does it say?", mine)
    return Entry(
        alert.name,
        ALERT,
        alert.owner,
        alert.severity,
        alert.meaning,
        alert.impact,
        (first, WHAT_ELSE, Check("Is every target up?", names.UP)),
        alert.next_steps,
        f"make drill D={alert.drill}"
        if alert.drill
        else f"`{alert.drilled_by}`, with real servers"
        if alert.drilled_by
        else CASES,
        f"`{mine}` has no sample any more, and the inbox says resolved.",
    )


def of_log(plan: Plan, alert: LogAlert) -> Entry:
    """A symptom that Loki evaluates."""
    entry = alert.entry
    which = (
        "When did the last line come? (Loki)" if entry.silence else "Which lines are these? (Loki)"
    )
    volume = f"sum by ({names.LOG_LEVEL}) (count_over_time({log_lines(plan.service, entry.program, None, None)} [{SHORT_WINDOW}]))"
    return Entry(
        alert.name,
        ALERT,
        alert.owner,
        entry.severity,
        entry.meaning,
        entry.impact,
        (
            Check(
                which,
                log_lines(plan.service, entry.program, entry.level, entry.text),
                Unit.TEXT,
                LOGS,
            ),
            Check("How many lines are there at all, by level? (Loki)", volume, source=LOGS),
            WHAT_ELSE,
        ),
        entry.next_steps,
        LOG_CASES,
        "Loki's rule has no sample any more, and the inbox says resolved.",
    )
