"""The burn-rate alert of one tier: its expression over all SLOs, and the text that people read."""

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import partial

from observability.generate.alert_rule import (
    build_alert_rule,
    build_links,
    hold_of_dependency,
    list_dependents,
)
from observability.lib import scope
from observability.lib.promql import one_of, selector
from observability.lib.templates import fill
from observability.sli.registry import KINDS
from observability.spec import names
from observability.spec.board_slugs import SLO
from observability.spec.plan import DEPENDENCY_SOURCE, FINE_PACE, Condition, Plan, Tier, Window
from observability.spec.quantities import format_decimal

# One sample per SLO whose conditions are all true; its value is the error ratio of the first
# condition, which adds the labels that routes and texts need.
AND = "\nand on (<<SLO>>) "
ABOVE_SHARE = "<<error_ratio>> > <<share>>"
ABOVE_BURN_RATE = """\
<<error_ratio>>
> on (<<SLO>>) <<labels>>clamp_max(<<factor>> * (1 - <<objectives>>), <<maximum>>)"""
LABELS = "group_left (<<labels>>) "
WITH_LABELS = "(<<condition>>) * on (<<SLO>>) <<labels>>(<<objectives>> > bool 0)"
MOSTLY_COVERED = "<<covered>> >= <<seconds>>"  # a window that is mostly empty opens no ticket
ENOUGH_EVENTS = "<<bad_rate>> * <<seconds>> >= <<events>>"  # the guard against too few events

# Go templates; `printf` puts the SLO's name in the place of %[1]s.
SUMMARY = (
    "About {{ $value | humanizePercentage }} of <<bad_events>> in the last <<window>><<coverage>>"
)
# Only while less than nine tenths of the window has data.
COVERAGE = (
    "{{ with printf `<<seconds_covered>> < <<nearly_all>>` $labels.<<SLO>> | query }}"
    " ({{ . | first | value | humanizeDuration }} of which have data){{ end }}"
)
SECONDS_COVERED = (
    "count_over_time(<<MEASURED>><<suffix>>{<<SLO>>='%[1]s'}[<<window>>]) * <<sample_seconds>>"
)
NEARLY_ALL = Decimal("0.9")
DESCRIPTION = "<<bad>> of <<total>><<unit>> in the last <<window>> were bad; <<forecast>>."
CASE = 'if eq $labels.<<SLI>> "<<kind>>" }}<<words>>'
SUBJECT_CASE = 'if eq $labels.<<SUBJECT>> "<<subject>>" }}<<words>>'
EQUALS = '(eq $labels.<<SLI>> "<<kind>>")'
SECONDS = "{{ if or <<equals>> }} seconds{{ end }}"
ANSWER = "{{ with printf `<<query>>` $labels.<<SLO>> | query }}{{ . | first | <<show>> }}{{ end }}"
COUNT = "<<rate>>{<<SLO>>='%[1]s'} * <<seconds>>"
STEPS = "<<NEXT_STEPS_INFO>>{<<SLO>>='%[1]s'}"
# Seconds until the budget is spent at the present ratio; no sample where nothing is left.
SECONDS_LEFT = (
    "(clamp_min(<<BUDGET_LEFT>>{<<SLO>>='%[1]s'}, 0) or 0 * <<error_ratio>>{<<SLO>>='%[1]s'} + 1)"
    " * on (<<SLO>>) (1 - <<OBJECTIVE>>{<<SLO>>='%[1]s'}) * <<period_seconds>>"
    " / on (<<SLO>>) <<error_ratio>>{<<SLO>>='%[1]s'} > 0"
)
FORECAST = (
    "{{ with printf `<<seconds_left>>` $labels.<<SLO>> | query }}"
    "at this pace the budget of <<period>> is gone in {{ . | first | value | humanizeDuration }}"
    "{{ else }}the budget of <<period>> is spent{{ end }}"
)
QUERY = re.compile("`(.*?)`")  # in a template
SLO_LABEL = "{{ $labels.<<SLO>> }}"
SUBJECT_LABEL = "{{ $labels.<<SUBJECT>> }}"


def burn_rate_alert(plan: Plan, tier: Tier) -> dict[str, object]:
    """Return the alerting rule of a tier for all its SLOs."""
    labels = {names.SEVERITY: tier.severity, names.TIER: tier.name}
    text = annotations(plan, tier.conditions[0].window)
    hold = hold_of_dependency(plan) if tier.source == DEPENDENCY_SOURCE else Decimal(0)
    return build_alert_rule(names.BURN_ALERT, expression(plan, tier), tier.for_, labels, text, hold)


def expression(plan: Plan, tier: Tier) -> str:
    """Return the ratio in every window, the guard against too few events, and the labels."""
    enough_events = fill(
        ENOUGH_EVENTS,
        bad_rate=names.bad_rate(tier.guard_window.name),
        seconds=format_decimal(tier.guard_window.seconds),
        events=format_decimal(tier.guard_events),
    )
    own_labels = {label for slo in plan.slos for label, _ in slo.labels}
    labels = (names.OWNER, names.SLI, names.SUBJECT, *sorted(own_labels))
    added = fill(LABELS, labels=", ".join(labels))
    first, *others = tier.conditions
    conditions = [above_threshold(plan, first, judged_objectives(plan, tier), added)]
    conditions += (above_threshold(plan, condition, names.OBJECTIVE) for condition in others)
    if tier.severity != plan.paging_severity:
        conditions.append(mostly_covered(first.window))
    return fill(AND).join([*conditions, enough_events])


def judged_objectives(plan: Plan, tier: Tier) -> str:
    """Return the selector of the objectives of a tier's SLOs."""
    labels = {}
    if len(tier.slis) < len(KINDS):
        labels[names.SLI] = one_of(tier.slis)
    if tier.source:
        subjects = {slo.subject for slo in plan.slos if tier.judges(slo)}
        labels[names.SUBJECT] = one_of(sorted(subjects))
    if any(tier.severity in slo.muted for slo in plan.slos):
        labels[names.muted(tier.severity)] = ""
    return selector(names.OBJECTIVE, **labels)


def above_threshold(plan: Plan, condition: Condition, objectives: str, labels: str = "") -> str:
    """Return the comparison of one window's ratio with its threshold; it may add labels."""
    error_ratio = names.error_ratio(condition.window.name)
    if condition.factor is None:
        share = format_decimal(condition.ratio)
        above = fill(ABOVE_SHARE, error_ratio=error_ratio, share=share)
        if labels:
            return fill(WITH_LABELS, condition=above, objectives=objectives, labels=labels)
        return above
    return fill(
        ABOVE_BURN_RATE,
        error_ratio=error_ratio,
        factor=format_decimal(condition.factor),
        maximum=format_decimal(plan.policy.max_threshold),
        objectives=objectives,
        labels=labels,
    )


def mostly_covered(window: Window) -> str:
    """Return the condition that at least half of a window has data."""
    seconds = format_decimal(window.seconds / 2)
    return fill(MOSTLY_COVERED, covered=names.covered(window.name), seconds=seconds)


def annotations(plan: Plan, window: Window) -> dict[str, str]:
    """Return share, counts, forecast and next steps; the numbers are queried at firing time."""
    slo = fill(SLO_LABEL)
    board_path = f"{names.board_uid(plan.scope, SLO)}?var-slo={slo}"
    texts = {
        "summary": fill(
            SUMMARY,
            bad_events=bad_events(),
            window=window.name,
            coverage=coverage(plan, window),
        ),
        "description": fill(
            DESCRIPTION,
            bad=count(names.bad_rate(window.name), window),
            total=count(names.total_rate(window.name), window),
            unit=seconds_unit(),
            window=window.name,
            forecast=forecast(plan, window),
        )
        + dependents(plan),
        names.NEXT_STEPS: answer(fill(STEPS), f'label "{names.NEXT_STEPS}"'),
        **build_links(plan, f"/slo/{slo}", board_path),
    }
    return {name: QUERY.sub(partial(limit_query, plan), text) for name, text in texts.items()}


def coverage(plan: Plan, window: Window) -> str:
    """Return the template of how much of a window has data; empty when nearly all of it has."""
    is_fine = window.pace == FINE_PACE
    seconds_covered = fill(
        SECONDS_COVERED,
        suffix="" if is_fine else names.THIN,
        window=window.text,
        sample_seconds=format_decimal(plan.clock.evaluate if is_fine else plan.clock.thin),
    )
    nearly_all = format_decimal(window.seconds * NEARLY_ALL)
    return fill(COVERAGE, seconds_covered=seconds_covered, nearly_all=nearly_all)


def dependents(plan: Plan) -> str:
    """Return the template of what needs the SLO's subject; empty unless that is a dependency."""
    cases = []
    for dependency in plan.dependencies:
        if sentence := list_dependents(plan, dependency):
            cases.append(fill(SUBJECT_CASE, subject=dependency, words=f" {sentence}"))
    return choose(cases)


def choose(cases: Iterable[str]) -> str:
    """Return the template of the first case whose condition is true; empty without cases."""
    text = "{{ else ".join(cases)
    return f"{{{{ {text}{{{{ end }}}}" if text else ""


def bad_events() -> str:
    """Return the words of the SLO's kind, chosen by its label."""
    subject = fill(SUBJECT_LABEL)
    return choose(
        fill(CASE, kind=kind.name, words=kind.bad_events(subject)) for kind in KINDS.values()
    )


def seconds_unit() -> str:
    """Return the unit of the counts: none for events."""
    timed = [kind.name for kind in KINDS.values() if kind.counts_seconds]
    return fill(SECONDS, equals=" ".join(fill(EQUALS, kind=name) for name in timed))


def count(rate: str, window: Window) -> str:
    """Return how many events or seconds the window had, as a whole number."""
    query = fill(COUNT, rate=rate, seconds=format_decimal(window.seconds))
    return answer(query, 'value | printf "%.0f"')


def forecast(plan: Plan, window: Window) -> str:
    """Return when the budget is spent at the window's pace."""
    seconds_left = fill(
        SECONDS_LEFT,
        error_ratio=names.error_ratio(window.name),
        period_seconds=format_decimal(plan.period.seconds),
    )
    return fill(FORECAST, seconds_left=seconds_left, period=plan.period.name)


def answer(query: str, show: str) -> str:
    """Return the template of a query's first sample."""
    return fill(ANSWER, query=query, show=show)


def limit_query(plan: Plan, query: re.Match[str]) -> str:
    """Return a query of the service's own series on one line, as templates have it."""
    return f"`{' '.join(scope.limit(plan, query[1]).split())}`"
