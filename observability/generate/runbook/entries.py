"""Plan → what a person on call needs about every alert and SLO, as data; pure.

`pages` writes it as Markdown, the console shows it beside the present numbers.
"""

from dataclasses import dataclass

from observability.lib.check import Check
from observability.lib.panels import LOGS, Unit
from observability.lib.promql import burn_rate, firing, log_lines, selector
from observability.lib.templates import fill
from observability.sli.registry import kind_of, promise
from observability.spec import names
from observability.spec.plan import SHORT_WINDOW, Alert, LogAlert, Plan, Slo, Tier
from observability.spec.quantities import format_decimal

ALERT, PROMISE = "alert", "slo"
CASES = (
    "Its promtool cases in observability/generated/prometheus/tests run it on the real clock: "
    "make check"
)
LOG_CASES = (
    "Where Loki is on PATH, tests/e2e/test_logs.py sees rules of this kind fire into the inbox "
    "and resolve"
)
BURN_MEANING = (
    "An SLO spends its error budget of <<period>> so fast that somebody should look now (page) "
    "or soon (ticket). The label <<SLO>> says which, the label <<TIER>> how fast: <<tiers>>. "
    "A burn rate of 1 spends the budget exactly within the period."
)
SLO_MEANING = (
    "Promised over <<period>>: <<promise>>. An alert means that the error budget is being spent "
    "too fast to last."
)
SLO_OVER = (
    "`<<query>>` stays below <<share>> %, and the inbox says resolved: "
    "within 5 minutes of the recovery."
)
LINES_BY_LEVEL = "sum by (<<LOG_LEVEL>>) (count_over_time(<<lines>> [<<window>>]))"


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
    """Return every alert and every SLO by name."""
    burn_rate_alert = burn_rate_entry(plan)
    alerts = [alert_entry(alert) for alert in plan.alerts]
    log_alerts = [log_alert_entry(plan, alert) for alert in plan.log_alerts]
    promises = [slo_entry(plan, slo) for slo in plan.slos]
    return {entry.name: entry for entry in (burn_rate_alert, *alerts, *log_alerts, *promises)}


def burn_rate_entry(plan: Plan) -> Entry:
    """Return the one alert of all SLOs; which SLO it is about stands in its label."""
    tiers = "; ".join(map(tier_text, plan.tiers))
    fast_burn = f"topk(10, {burn_rate(SHORT_WINDOW)} > 1)"
    least_budget = f"bottomk(10, {names.BUDGET_LEFT})"
    first_drill = next(iter(plan.policy.drill.by_sli.values()))
    return Entry(
        name=names.BURN_ALERT,
        kind=ALERT,
        owner=plan.owner,
        severity=severities(plan.tiers),
        meaning=fill(BURN_MEANING, period=plan.period.name, tiers=tiers),
        users="That depends on the SLO: its own page says it.",
        checks=(
            Check("Which SLOs burn, and how fast?", fast_burn, Unit.TIMES),
            Check("How much budget is left?", least_budget, Unit.RATIO),
            WHAT_ELSE,
        ),
        steps=("Open the page of the SLO that the alert names, and follow it.",),
        drill=f"make drill D={first_drill}",
        over=(
            "the share of bad events has left every tier's short window; the inbox says resolved."
        ),
    )


def tier_text(tier: Tier) -> str:
    """Return severity, threshold and window of a tier."""
    condition = tier.conditions[0]
    threshold = "nearly everything bad"
    if condition.factor:
        threshold = f"{format_decimal(condition.factor)} × budget"
    return f"{tier.name} ({tier.severity}) {threshold} over {condition.window.name}"


def severities(tiers: tuple[Tier, ...]) -> str:
    """Return the severities of the tiers as words."""
    return " or ".join(sorted({tier.severity for tier in tiers}))


def slo_entry(plan: Plan, slo: Slo) -> Entry:
    """Return the page of an SLO, with the words and checks of its kind."""
    kind = kind_of(slo)
    tiers = tuple(tier for tier in plan.tiers if slo.sli in tier.slis)
    bad_share = selector(names.error_ratio(SHORT_WINDOW), **{names.SLO: slo.name})
    still_bad = Check("Is it still bad, and how much of it?", bad_share, Unit.RATIO)
    drill = kind.drill(plan, slo)
    proof = f"make drill D={drill} breaks such a promise on a stack of its own" if drill else CASES
    return Entry(
        name=slo.name,
        kind=PROMISE,
        owner=slo.owner,
        severity=severities(tiers),
        meaning=fill(SLO_MEANING, period=plan.period.name, promise=promise(slo)),
        users=kind.impact(slo),
        checks=(still_bad, *kind.checks(slo)),
        steps=slo.next_steps,
        drill=proof,
        over=fill(SLO_OVER, query=bad_share, share=lowest_threshold(plan, slo, tiers)),
    )


def lowest_threshold(plan: Plan, slo: Slo, tiers: tuple[Tier, ...]) -> str:
    """Return the share of bad events, in per cent, below which none of the tiers fires."""
    lowest = min(tier.threshold(slo, plan.policy.max_threshold) for tier in tiers)
    return format_decimal(lowest * 100)


def alert_entry(alert: Alert) -> Entry:
    """Return the page of a guard or a watched symptom."""
    firing_series = selector(names.ALERTS, alertname=alert.name)
    first_look = Check("What does it say?", firing_series)
    if alert.expr:
        first_look = Check("Is it still so?", alert.expr)
    return Entry(
        name=alert.name,
        kind=ALERT,
        owner=alert.owner,
        severity=alert.severity,
        meaning=alert.meaning,
        users=alert.impact,
        checks=(first_look, WHAT_ELSE, Check("Is every target up?", names.UP)),
        steps=alert.next_steps,
        drill=proof_of(alert),
        over=f"`{firing_series}` has no sample any more, and the inbox says resolved.",
    )


def proof_of(alert: Alert) -> str:
    """Return what raises the alert for real, or its promtool cases."""
    if alert.drill:
        return f"make drill D={alert.drill}"
    if alert.drilled_by:
        return f"`{alert.drilled_by}`, with real servers"
    return CASES


def log_alert_entry(plan: Plan, alert: LogAlert) -> Entry:
    """Return a symptom that Loki evaluates."""
    entry = alert.entry
    all_lines = log_lines(plan.service, entry.program, None, None)
    volume = fill(LINES_BY_LEVEL, lines=all_lines, window=SHORT_WINDOW)
    question = "Which lines are these? (Loki)"
    if entry.silence:
        question = "When did the last line come? (Loki)"
    these_lines = log_lines(plan.service, entry.program, entry.level, entry.text)
    return Entry(
        name=alert.name,
        kind=ALERT,
        owner=alert.owner,
        severity=entry.severity,
        meaning=entry.meaning,
        users=entry.impact,
        checks=(
            Check(question, these_lines, Unit.TEXT, LOGS),
            Check("How many lines are there at all, by level? (Loki)", volume, source=LOGS),
            WHAT_ELSE,
        ),
        steps=entry.next_steps,
        drill=LOG_CASES,
        over="Loki's rule has no sample any more, and the inbox says resolved.",
    )
