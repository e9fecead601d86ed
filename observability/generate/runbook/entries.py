"""Plan → what a person on call needs about every alert and SLO, as data; pure.

`pages` writes it as Markdown, the console shows it beside the present numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from observability.generate.alert_rule import list_dependents
from observability.lib import scope
from observability.lib.panels import LOGS, Unit
from observability.lib.promql import burn_rate, firing, log_lines, selector
from observability.lib.runbook_check import RunbookCheck
from observability.lib.templates import fill
from observability.sli.registry import kind_of, promise
from observability.spec import names
from observability.spec.alert import Alert
from observability.spec.plan import SHORT_WINDOW, Plan, Slo, Tier
from observability.spec.quantities import format_decimal
from observability.spec.schema.catalogue import LogEntry, WatchEntry
from observability.spec.schema.entry import AlertEntry

ALERT, PROMISE = "alert", "slo"
CASES = "`make check`, which runs its promtool cases in observability/generated/prometheus/tests"
LOG_CASES = "`tests/e2e/test_logs.py`, with alerts of this kind (needs Loki on PATH)"
BURN_MEANING = (
    "An SLO spends its error budget of <<period>> too fast: act now (page) or soon (ticket). "
    "The label <<SLO>> names the SLO, the label <<TIER>> says how fast "
    "(docs/alert-policy.md lists the tiers). "
    "At a burn rate of 1 the budget lasts exactly for the period."
)
SLO_MEANING = "Objective over <<period>>: <<promise>>."
MAINTENANCE = "Nothing counts during declared maintenance (UTC): <<windows>>."
BURN_OVER = (
    "no SLO burns that fast any more. The alert of each tier resolves about when its shortest "
    "window has passed: <<windows>>."
)
SLO_OVER = "the first query stays below <<budget>> %; for how long: <<BURN_ALERT>>."
LINES_BY_LEVEL = "sum by (<<LOG_LEVEL>>) (count_over_time(<<lines>> [<<window>>]))"


@dataclass(frozen=True)
class RunbookEntry:
    """One alert, or one SLO, whose alerts share a page."""

    name: str
    kind: str  # ALERT or PROMISE
    owner: str
    severity: str
    meaning: str
    users: str  # what users notice
    checks: tuple[RunbookCheck, ...]
    steps: tuple[str, ...]
    drill: str
    over: str  # when it is resolved


WHAT_ELSE = RunbookCheck("Which other alerts are firing?", firing())


def entries(plan: Plan) -> dict[str, RunbookEntry]:
    """Return every alert and every SLO by name."""
    burn_rate_alert = burn_rate_entry(plan)
    guards = [alert_entry(guard, proof_of(guard.entry, CASES)) for guard in plan.guards]
    symptoms = [symptom_entry(plan, symptom) for symptom in plan.symptoms]
    log_alerts = [log_alert_entry(plan, alert) for alert in plan.log_alerts]
    promises = [slo_entry(plan, slo) for slo in plan.slos]
    every = (burn_rate_alert, *guards, *symptoms, *log_alerts, *promises)
    limit = scope.cached_limit(plan)
    return {entry.name: limit_checks(entry, limit) for entry in every}


def limit_checks(entry: RunbookEntry, limit: Callable[[str], str]) -> RunbookEntry:
    """Return an entry whose queries select the service's own series; those of logs do already."""
    checks = [
        check if check.source == LOGS else replace(check, query=limit(check.query))
        for check in entry.checks
    ]
    return replace(entry, checks=tuple(checks))


def burn_rate_entry(plan: Plan) -> RunbookEntry:
    """Return the one alert of all SLOs; which SLO it is about stands in its label."""
    fast_burn = f"topk(10, {burn_rate(SHORT_WINDOW)} > 1)"
    least_budget = f"bottomk(10, {names.BUDGET_LEFT})"
    first_drill = next(iter(plan.policy.drill.by_sli.values()))
    proof = f"`make drill D={first_drill}`" if plan.drill_route else CASES
    # A tier lists its longest window first.
    shortest_windows = (f"{tier.name} {tier.conditions[-1].window.name}" for tier in plan.tiers)
    return RunbookEntry(
        name=names.BURN_ALERT,
        kind=ALERT,
        owner=plan.owner,
        severity=severities(plan.tiers),
        meaning=fill(BURN_MEANING, period=plan.period.name),
        users="That depends on the SLO; see its section.",
        checks=(
            RunbookCheck("Which SLOs burn faster than 1, and how fast?", fast_burn, Unit.TIMES),
            RunbookCheck("How much error budget is left?", least_budget, Unit.RATIO),
            WHAT_ELSE,
        ),
        steps=(
            "Open the section of the SLO that the alert names, and follow it: "
            "/slo/NAME in the console, or the list in runbook.md.",
        ),
        drill=proof,
        over=fill(BURN_OVER, windows=", ".join(shortest_windows)),
    )


def severities(tiers: tuple[Tier, ...]) -> str:
    """Return the severities of the tiers as words."""
    return " or ".join(sorted({tier.severity for tier in tiers}))


def slo_entry(plan: Plan, slo: Slo) -> RunbookEntry:
    """Return the page of an SLO, with the words and checks of its kind."""
    kind = kind_of(slo)
    tiers = tuple(tier for tier in plan.tiers if tier.judges(slo))
    bad_share = selector(names.error_ratio(SHORT_WINDOW), **{names.SLO: slo.name})
    still_bad = RunbookCheck("What is the current ratio of bad events?", bad_share, Unit.RATIO)
    muted = (f"no {severity}" for severity in slo.muted)
    meaning = fill(SLO_MEANING, period=plan.period.name, promise=promise(slo))
    drill = None if plan.paging_severity in slo.muted else kind.drill(plan, slo)
    proof = f"`make drill D={drill}`" if drill else CASES
    return RunbookEntry(
        name=slo.name,
        kind=PROMISE,
        owner=slo.owner,
        severity=", ".join(filter(None, (severities(tiers), *muted))),
        meaning=append_maintenance(plan, append_dependents(plan, meaning, slo.subject)),
        users=kind.impact(slo),
        checks=(still_bad, *kind.checks(slo)),
        steps=slo.next_steps,
        drill=proof,
        over=fill(SLO_OVER, budget=format_decimal(slo.budget * 100)),
    )


def append_dependents(plan: Plan, text: str, dependency: str) -> str:
    """Return a text and what needs the dependency; the text alone for another subject."""
    return f"{text} {list_dependents(plan, dependency)}".strip()


def append_maintenance(plan: Plan, text: str) -> str:
    """Return a text and when nothing counts; the text alone without declared maintenance."""
    windows = "; ".join(entry.text for entry in plan.maintenance)
    return f"{text} {fill(MAINTENANCE, windows=windows)}" if windows else text


def proof_of(entry: AlertEntry, otherwise: str) -> str:
    """Return the test that raises an alert, or another proof where no test is named."""
    return f"`{entry.drilled_by}`" if entry.drilled_by else otherwise


def symptom_entry(plan: Plan, symptom: Alert[WatchEntry]) -> RunbookEntry:
    """Return the page of a watched symptom, with what needs the dependency that it is about."""
    proof = proof_of(symptom.entry, f"`make drill D={symptom.entry.drill}`")
    first_look = RunbookCheck("Is the condition still true?", symptom.entry.expr)
    entry = alert_entry(symptom, proof, first_look)
    users = append_dependents(plan, entry.users, symptom.entry.dependency or "")
    return replace(entry, users=users)


def alert_entry(
    alert: Alert[AlertEntry], proof: str, first_look: RunbookCheck | None = None
) -> RunbookEntry:
    """Return the page of a guard or a watched symptom."""
    entry = alert.entry
    firing_series = selector(names.ALERTS, alertname=alert.name)
    first_look = first_look or RunbookCheck("Is it firing, and with which labels?", firing_series)
    return RunbookEntry(
        name=alert.name,
        kind=ALERT,
        owner=alert.owner,
        severity=entry.severity,
        meaning=entry.meaning,
        users=entry.impact,
        checks=(first_look, WHAT_ELSE),
        steps=entry.next_steps,
        drill=proof,
        over="the first query returns no series, and the inbox shows the alert as resolved.",
    )


def log_alert_entry(plan: Plan, alert: Alert[LogEntry]) -> RunbookEntry:
    """Return a symptom that Loki evaluates."""
    entry = alert.entry
    all_lines = log_lines(scope.own_labels(plan), entry.program, None, None)
    volume = fill(LINES_BY_LEVEL, lines=all_lines, window=SHORT_WINDOW)
    question = "Which lines are these? (Loki)"
    if entry.silence:
        question = "When did the last line arrive? (Loki)"
    these_lines = log_lines(scope.own_labels(plan), entry.program, entry.level, entry.text)
    return replace(
        alert_entry(alert, proof_of(entry, LOG_CASES)),
        checks=(
            RunbookCheck(question, these_lines, Unit.TEXT, LOGS),
            RunbookCheck("How many lines are there, by level? (Loki)", volume, source=LOGS),
            WHAT_ELSE,
        ),
        over="Loki's rule returns no series, and the inbox shows the alert as resolved.",
    )
