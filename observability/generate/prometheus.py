"""Plan → recording and alerting rules for Prometheus 2.42 and 3.x; pure.

One rule serves all SLOs: events are summed per `slo`, divided last, and every join is on `slo`
alone, as every rule reads the series of one service (lib/scope.py). Constants have a rule for each
SLO; the number of the other rules follows the distinct limits and windows. Nothing is joined with
`or` as often as there are SLOs or limits: rules of one name have different labels instead.
"""

from collections.abc import Iterator
from decimal import Decimal

from observability.generate import maintenance
from observability.generate.alert_rule import (
    build_declared_alert,
    build_symptom_alert,
)
from observability.generate.burn_rate_alert import burn_rate_alert
from observability.generate.constants import ALWAYS, Rule, constants, record
from observability.generate.sample import sample
from observability.generate.yaml_text import generated_yaml
from observability.lib import scope
from observability.lib.json_object import Json
from observability.lib.promql import one_of, selector
from observability.lib.templates import fill
from observability.sli import registry as sli
from observability.spec import names
from observability.spec.alert import Alert
from observability.spec.board_slugs import OVERVIEW
from observability.spec.plan import FINE_PACE, LONG_PACE, SHORT_WINDOW, THIN_PACE, Plan, Window
from observability.spec.quantities import format_decimal, format_duration
from observability.spec.schema.entry import AlertEntry

RULES = "prometheus/rules.yaml"
SAMPLE_RULES = "prometheus/sample.yaml"  # for promtool's cases

RATE = "sum by (<<SLO>>) (rate(<<counter>>[<<window>>]))"
# Seconds with data, and bad ones among them, per second of the window.
SECONDS = (
    "clamp_max(count_over_time(<<FRESH>><<suffix>>[<<window>>]) * <<sample>> / <<seconds>>, 1)"
)
ALL_SECONDS = f"sum by (<<SLO>>) ({SECONDS})"
BAD_SECONDS = f"sum by (<<SLO>>) ({SECONDS} * (1 - avg_over_time(<<FRESH>><<suffix>>[<<window>>])))"
ERROR_RATIO = "<<bad>> / (<<total>> > 0)"  # no sample without events
# The mean, not the last value: of 30 s that were bad for 5 s, 5 s count.
THIN_FRESHNESS = "avg_over_time(<<FRESH>>[<<interval>>])"
MEASURED = "group by (<<SLO>>) (<<series>>)"
COVERED = "count_over_time(<<MEASURED>><<THIN>>[<<window>>]) * <<sample_seconds>>"
# Points of the window, because counting all samples would read days of them.
ROUGHLY_COVERED = "count_over_time(<<MEASURED>><<THIN>>[<<window>>:<<step>>]) * <<step_seconds>>"
COVERAGE_POINTS = 24
# Bad events ÷ those that the whole period may have. Its events are estimated from the part of it
# that has data; at least one may be bad.
BUDGET_LEFT = """\
1 - (
  (
    <<error_ratio>> * on (<<SLO>>) <<covered>> / <<rest>> / on (<<SLO>>) (1 - <<OBJECTIVE>>)
    < on (<<SLO>>) <<bad_rate>> * <<period>>
  )
  or on (<<SLO>>) <<bad_rate>> * <<period>>
)"""

# The alerts that watch the rules themselves.
UNMEASURED = "<<OBJECTIVE>> unless on (<<SLO>>) <<MEASURED>>"
WRONG_COUNT = "(count(<<OBJECTIVE>>) or vector(0)) != <<slos>>"
FAILING_RULES = "sum by (rule_group) (increase(<<RULE_FAILURES>>[<<window>>])) > 0"
COUNTING_GUARDS = (names.UNMEASURED_ALERT, names.COUNT_ALERT)  # which read a series of every SLO


def render(plan: Plan) -> dict[str, str]:
    """Return one file with all groups, and one with those of the sample."""
    plans = {RULES: plan, SAMPLE_RULES: sample(plan)}
    return {file: generated_yaml({"groups": groups(one)}) for file, one in plans.items()}


def groups(plan: Plan) -> list[Json]:
    """Return the rule groups in the order in which they feed each other."""
    clock = plan.clock
    fine = [*maintenance.rules(plan), *events(plan), *freshness(plan), measured(plan)]
    fine += window_rules(plan, FINE_PACE)
    thin = [*thinned(plan), *window_rules(plan, THIN_PACE)]
    long = [*window_rules(plan, LONG_PACE), covered(plan)]
    long += (*maintenance.excluded_seconds(plan), budget_left(plan))
    burns = [burn_rate_alert(plan, tier) for tier in plan.tiers if not tier.is_slow]
    slow_alerts = [burn_rate_alert(plan, tier) for tier in plan.tiers if tier.is_slow]
    slow_alerts += (guard(plan, alert) for alert in plan.guards if alert.name in COUNTING_GUARDS)
    other_alerts = [
        *(guard(plan, alert) for alert in plan.guards if alert.name not in COUNTING_GUARDS),
        *(build_symptom_alert(plan, alert) for alert in plan.symptoms),
    ]
    return [
        group(plan, names.CONSTANTS_GROUP, clock.constants, list(constants(plan))),
        group(plan, names.FINE_GROUP, clock.evaluate, fine),
        group(plan, names.THIN_GROUP, clock.thin, thin),
        group(plan, names.LONG_GROUP, clock.long, long),
        group(plan, names.BURN_GROUP, clock.evaluate, burns),
        group(plan, names.SLOW_BURN_GROUP, clock.thin, slow_alerts),
        group(plan, names.ALERT_GROUP, clock.evaluate, other_alerts),
    ]


def group(plan: Plan, name: str, interval: Decimal, rules: list[Rule]) -> Json:
    """Return a group that is evaluated every `interval` seconds, limited to the service."""
    return {
        "name": scope.group_name(plan, name),
        "interval": format_duration(interval),
        "rules": scope.limit_rules(plan, rules),
    }


# --- events ---


def events(plan: Plan) -> Iterator[Rule]:
    """Yield events so far and bad events so far, per SLO and instance.

    Both are counters, so that rates over them survive restarts. The bad ones come first: a scrape
    between the two evaluations adds to the total alone, and bad events never exceed it.
    """
    counters = sli.event_counters(plan)
    for pair, labels in counters:
        yield record(names.BAD, maintenance.mask_events(plan, pair.bad), **labels)
    for pair, labels in counters:
        yield record(names.TOTAL, maintenance.mask_events(plan, pair.total), **labels)


def freshness(plan: Plan) -> Iterator[Rule]:
    """Yield 1 while the last success is recent enough, else 0; nothing without timed SLOs."""
    for expr, labels in sli.freshness(plan):
        yield record(names.FRESH, maintenance.mask_seconds(plan, expr, labels), **labels)


def measured(plan: Plan) -> Rule:
    """Return 1 for every SLO that has data."""
    series = " or ".join(
        name
        for name, exists in (
            (names.BAD, sli.counts_events(plan)),
            (names.FRESH, sli.counts_seconds(plan)),
        )
        if exists
    )
    return record(names.MEASURED, fill(MEASURED, series=series))


def thinned(plan: Plan) -> Iterator[Rule]:
    """Yield the copies at one sample per 30 s that long windows are computed from."""
    counters = (names.BAD, names.TOTAL) if sli.counts_events(plan) else ()
    for name in (*counters, names.MEASURED):
        yield record(name + names.THIN, name)
    if sli.counts_seconds(plan):
        interval = format_duration(plan.clock.thin)
        yield record(names.FRESH + names.THIN, fill(THIN_FRESHNESS, interval=interval))


# --- ratios over windows ---


def window_rules(plan: Plan, pace: str) -> Iterator[Rule]:
    """Yield the ratios of every window of one pace, and how much of it has data if that counts."""
    for window in plan.windows:
        if window.pace == pace:
            yield from ratios(plan, window)
            if window in windows_of_tickets(plan):
                yield roughly_covered(window)


def windows_of_tickets(plan: Plan) -> set[Window]:
    """Return the windows of which a ticket needs data, but for the period."""
    tickets = (tier for tier in plan.tiers if tier.severity != plan.paging_severity)
    return {tier.conditions[0].window for tier in tickets} - {plan.period}


def sources_read(plan: Plan, window: Window) -> set[str]:
    """Return the sources whose SLOs are judged by a window; all, unless each tier names its own."""
    sources = {tier.source for tier in plan.tiers if window in tier.windows}
    if None in sources or window.name in (SHORT_WINDOW, plan.period.name):
        return {slo.source for slo in plan.slos}
    return set(filter(None, sources))


def ratios(plan: Plan, window: Window) -> Iterator[Rule]:
    """Yield events and bad events per second over a window, and their quotient.

    Of SLOs that count seconds, every second with data is an event, bad while nothing was fresh.
    """
    sources = sources_read(plan, window)
    judged = [slo for slo in plan.slos if slo.source in sources]
    selected = {names.SOURCE: one_of(sorted(sources))} if len(judged) < len(plan.slos) else {}
    is_fine = window.pace == FINE_PACE
    over = {
        "suffix": "" if is_fine else names.THIN,
        "window": window.text,
        "seconds": format_decimal(window.seconds),
        "sample": format_decimal(plan.clock.evaluate if is_fine else plan.clock.thin),
    }
    total, bad = names.total_rate(window.name), names.bad_rate(window.name)
    totals: list[str] = []
    bads: list[str] = []
    if sli.counts_events(plan):
        for counter, exprs in ((names.TOTAL, totals), (names.BAD, bads)):
            counters = selector(counter + over["suffix"], **selected)
            exprs.append(fill(RATE, counter=counters, **over))
    if any(sli.kind_of(slo).counts_seconds for slo in judged):
        totals.append(f"({fill(ALL_SECONDS, **over)})")
        bads.append(f"({fill(BAD_SECONDS, **over)})")
    yield record(total, "\nor ".join(totals))
    yield record(bad, "\nor ".join(bads))
    yield record(names.error_ratio(window.name), fill(ERROR_RATIO, bad=bad, total=total))


def covered(plan: Plan) -> Rule:
    """Return how many seconds of the period have data."""
    expr = fill(COVERED, window=plan.period.text, sample_seconds=format_decimal(plan.clock.thin))
    return record(names.covered(plan.period.name), expr)


def roughly_covered(window: Window) -> Rule:
    """Return how many seconds of a window have data, from a few points of it."""
    step = window.seconds / COVERAGE_POINTS
    expr = fill(
        ROUGHLY_COVERED,
        window=window.text,
        step=format_duration(step),
        step_seconds=format_decimal(step),
    )
    return record(names.covered(window.name), expr)


def budget_left(plan: Plan) -> Rule:
    """Return what is left of the period's error budget.

    1 is untouched, 0 spent; below 0 the promise is broken.
    """
    period = plan.period.name
    expr = fill(
        BUDGET_LEFT,
        error_ratio=names.error_ratio(period),
        covered=names.covered(period),
        bad_rate=names.bad_rate(period),
        period=format_decimal(plan.period.seconds),
        rest=maintenance.rest_of_period(plan),
    )
    return record(names.BUDGET_LEFT, expr)


# --- guards and symptoms ---


def guard(plan: Plan, alert: Alert[AlertEntry]) -> Rule:
    """Return an alert that watches the rules themselves."""
    window = next(window for window in plan.windows if window.name == SHORT_WINDOW)
    expressions = {
        names.UNMEASURED_ALERT: maintenance.silence(plan, fill(UNMEASURED)),
        names.COUNT_ALERT: fill(WRONG_COUNT, slos=len(plan.slos)),
        names.RULES_ALERT: fill(FAILING_RULES, window=window.text),
        names.WATCHDOG_ALERT: ALWAYS,
    }
    return build_declared_alert(plan, alert, expressions[alert.name], OVERVIEW)
