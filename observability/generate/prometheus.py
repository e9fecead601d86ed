"""Plan → recording and alerting rules for Prometheus 2.42 and 3.x; pure.

One rule serves all SLOs: events are summed per `slo`, divided last, and every join is on `slo` alone. The number of
rules follows the distinct thresholds, objectives and windows, not the number of routes.
"""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from observability.generate.alert_rule import alert_annotations, alert_rule, links, numbered
from observability.generate.yaml_text import generated_yaml
from observability.lib.promql import burn_rate, by_slo, constants, edge, labelled, selector
from observability.sli.event_sources import COUNTED
from observability.spec import names
from observability.spec.board_slugs import OVERVIEW, SLO
from observability.spec.plan import (
    AVAILABILITY,
    FINE_PACE,
    FRESHNESS,
    JOB_SOURCE,
    LATENCY,
    LONG_PACE,
    PROBE,
    PROBE_SOURCE,
    SHORT_WINDOW,
    THIN_PACE,
    Alert,
    Plan,
    Slo,
    Tier,
    Window,
)
from observability.spec.quantities import format_decimal, format_duration

RULES = "prometheus/rules.yaml"
Rule = dict[str, Any]


def render(plan: Plan) -> dict[str, str]:
    """One file with all groups."""
    return {RULES: generated_yaml({"groups": groups(plan)})}


def groups(plan: Plan) -> list[dict[str, Any]]:
    """Rule groups in the order in which they feed each other."""
    clock = plan.clock
    by_pace = {
        pace: [w for w in plan.windows if w.pace == pace]
        for pace in (FINE_PACE, THIN_PACE, LONG_PACE)
    }
    shares = freshness(plan)
    timed = bool(shares)  # nothing may read a series that nothing records
    recorded = {
        pace: [rule for window in by_pace[pace] for rule in ratios(window, timed)]
        for pace in by_pace
    }
    thin = [record(name + names.THIN, name) for name in (names.TOTAL, names.BAD)]
    # the mean, not the last value: of 30 s that were bad for 5 s, 5 s count
    thin += (
        [
            record(
                names.FRESH + names.THIN,
                f"avg_over_time({names.FRESH}[{format_duration(clock.thin)}])",
            )
        ]
        if timed
        else []
    )
    return [
        {
            "name": names.FINE_GROUP,
            "interval": format_duration(clock.evaluate),
            "rules": [*objectives(plan), *events(plan), *shares, *recorded[FINE_PACE]],
        },
        {
            "name": names.THIN_GROUP,
            "interval": format_duration(clock.thin),
            "rules": thin + recorded[THIN_PACE],
        },
        {
            "name": names.LONG_GROUP,
            "interval": format_duration(clock.long),
            "rules": [*recorded[LONG_PACE], budget(plan)],
        },
        {
            "name": names.BURN_GROUP,
            "interval": format_duration(clock.evaluate),
            "rules": [burn(plan, tier) for tier in plan.tiers],
        },
        {
            "name": names.ALERT_GROUP,
            "interval": format_duration(clock.evaluate),
            "rules": [single(plan, alert) for alert in plan.alerts],
        },
    ]


def record(name: str, expr: str) -> Rule:
    return {"record": name, "expr": expr}


def objectives(plan: Plan) -> Iterator[Rule]:
    """Promises as series that need no data: one term per distinct objective, SLI and owner; and the next steps."""
    alike = defaultdict(list)
    for slo in plan.slos:
        alike[slo.objective, slo.sli, slo.owner].append(
            {names.SLO: slo.name, names.SUBJECT: slo.subject}
        )
    terms = (
        labelled(
            f"{format_decimal(objective)} * (\n{constants(rows)}\n)",
            {names.SLI: sli, names.OWNER: owner},
        )
        for (objective, sli, owner), rows in sorted(alike.items())
    )
    yield record(names.OBJECTIVE, "\nor ".join(terms))
    info = ({names.SLO: slo.name, names.NEXT_STEPS: numbered(slo.next_steps)} for slo in plan.slos)
    yield record(names.NEXT_STEPS_INFO, constants(info))


def events(plan: Plan) -> Iterator[Rule]:
    """Events so far and bad events so far, per SLO and instance: counters, so that rates over them survive restarts."""
    totals, bads = [], []
    for source, (count, label, failed, succeeded) in COUNTED.items():
        if plan.slos_of(source, AVAILABILITY):
            suffix = f"-{AVAILABILITY}"
            totals.append(by_slo(count, label, suffix))
            bads.append(by_slo(selector(count, **failed), label, suffix))
        for threshold in plan.slos_by_threshold(source, LATENCY):
            suffix = f"-{LATENCY}-{threshold.text}"
            total = by_slo(selector(count, **succeeded), label, suffix)
            good = by_slo(
                selector(
                    count.replace("_count", "_bucket"), le=edge(threshold.seconds), **succeeded
                ),
                label,
                suffix,
            )
            totals.append(total)
            bads.append(f"{total}\n- {good}")
    for name, terms in ((names.TOTAL, totals), (names.BAD, bads)):
        yield record(
            name, "(\n{}\n)\nand on ({}) {}".format("\nor ".join(terms), names.SLO, names.OBJECTIVE)
        )


def freshness(plan: Plan) -> list[Rule]:
    """1 while the last success is recent enough, else 0; no rule where neither jobs nor probes are declared.

    Silence counts as bad: no series is 0, too, as soon as Prometheus knows the target that should have it.
    """
    kinds = (
        (JOB_SOURCE, FRESHNESS, names.JOB_LAST_SUCCESS, names.JOB, names.SCRAPE_API),
        (PROBE_SOURCE, PROBE, names.PROBE_LAST_SUCCESS, names.ROUTE, names.SCRAPE_PROBER),
    )
    terms = [
        fresh(slos, metric, label, f"-{sli}", format_decimal(threshold.seconds), target)
        for source, sli, metric, label, target in kinds
        for threshold, slos in plan.slos_by_threshold(source, sli).items()
    ]
    return [record(names.FRESH, "\nor ".join(terms))] if terms else []


def fresh(slos: list[Slo], metric: str, label: str, suffix: str, seconds: str, target: str) -> str:
    subjects = "~" + "|".join(slo.subject.replace(".", "[.]") for slo in slos)
    mine = selector(
        names.OBJECTIVE, **{names.SLO: "~" + "|".join(slo.name.replace(".", "[.]") for slo in slos)}
    )
    last = by_slo(selector(metric, **{label: subjects}), label, suffix, keep=()).replace(
        "sum by", "max by", 1
    )
    silent = f"sum by ({names.SLO}) (0 * {mine}) and on () {selector(names.UP, job=target)}"
    return f"(time() - {last} <= bool {seconds})\nor on ({names.SLO}) ({silent})"


def ratios(window: Window, timed: bool) -> Iterator[Rule]:
    """Events and bad events per second over one window, and their quotient where anything happened.

    `timed` adds the SLOs that count seconds: every second is an event, and bad while nothing was fresh.
    """
    suffix = "" if window.pace == FINE_PACE else names.THIN
    range_ = f"{suffix}[{window.text}]"
    fresh_share = f"avg_over_time({names.FRESH}{range_})"
    total, bad = names.total_rate(window.name), names.bad_rate(window.name)
    yield record(
        total,
        f"sum by ({names.SLO}) (rate({names.TOTAL}{range_}))"
        + (f"\nor (0 * {fresh_share} + 1)" if timed else ""),
    )
    yield record(
        bad,
        f"sum by ({names.SLO}) (rate({names.BAD}{range_}))"
        + (f"\nor (1 - {fresh_share})" if timed else ""),
    )
    yield record(names.error_ratio(window.name), f"{bad} / ({total} > 0)")


def budget(plan: Plan) -> Rule:
    """What is left of the period's error budget: 1 untouched, 0 spent, negative when the promise is broken."""
    return record(names.BUDGET_LEFT, f"1 - {burn_rate(plan.period.name)}")


def burn(plan: Plan, tier: Tier) -> Rule:
    """One tier for all SLOs: the ratio in every window, the guard against too few events, then the labels joined on."""
    on = f"on ({names.SLO})"
    terms = []
    for condition in tier.conditions:
        ratio = names.error_ratio(condition.window.name)
        if condition.ratio is not None:
            terms.append(f"{ratio} > {format_decimal(condition.ratio)}")
        else:
            factor = format_decimal(condition.factor or Decimal(0))
            maximum = format_decimal(plan.policy.max_threshold)
            limit = f"clamp_max({factor} * (1 - {names.OBJECTIVE}), {maximum})"
            terms.append(f"{ratio} > {on} {limit}")
    terms.append(
        f"{names.bad_rate(tier.guard_window.name)} * {format_decimal(tier.guard_window.seconds)} >= {format_decimal(tier.guard_events)}"
    )
    slis = selector(names.OBJECTIVE, **{names.SLI: "~" + "|".join(tier.slis)})
    joined = f"{names.OWNER}, {names.SLI}, {names.SUBJECT}"
    expr = (
        "(\n  "
        + f"\n  and {on} ".join(terms)
        + f"\n)\n* {on} group_left ({joined}) ({slis} > bool 0)"
    )
    labels = {names.SEVERITY: tier.severity, names.TIER: tier.name}
    return alert_rule(
        names.BURN_ALERT, expr, tier.for_, labels, burn_text(plan, tier.conditions[0].window)
    )


def burn_text(plan: Plan, window: Window) -> dict[str, str]:
    """What a person reads: share, counts, pace of the budget, and what to do; the numbers are asked for at firing time."""

    def ask(query: str, show: str) -> str:
        return f"{{{{ with printf `{query}` $labels.{names.SLO} | query }}}}{{{{ . | first | {show} }}}}{{{{ end }}}}"

    def of(series: str) -> str:
        return f"{series}{{{names.SLO}='%[1]s'}}"

    whole = 'value | printf "%.0f"'
    seconds = format_decimal(window.seconds)
    failed = ask(f"{of(names.bad_rate(window.name))} * {seconds}", whole)
    total = ask(f"{of(names.total_rate(window.name))} * {seconds}", whole)
    sli, subject = f"$labels.{names.SLI}", f"{{{{ $labels.{names.SUBJECT} }}}}"
    kinds = {
        AVAILABILITY: f"calls to {subject} failed",
        LATENCY: f"good answers of {subject} were too slow",
        FRESHNESS: f"the time {subject} was overdue",
        PROBE: f"the time nobody could reach {subject} from outside",
    }
    cases = "{{ else ".join(f'if eq {sli} "{kind}" }}}}{words}' for kind, words in kinds.items())
    what = f"{{{{ {cases}{{{{ end }}}}"
    unit = f'{{{{ if or (eq {sli} "{FRESHNESS}") (eq {sli} "{PROBE}") }}}} seconds{{{{ end }}}}'
    period = format_decimal(plan.period.seconds)
    ratio = of(names.error_ratio(window.name))
    left = f"(clamp_min({of(names.BUDGET_LEFT)}, 0) or 0 * {ratio} + 1)"
    pace = f"{left} * on ({names.SLO}) (1 - {of(names.OBJECTIVE)}) * {period} / on ({names.SLO}) {ratio}"
    budget_text = (  # nothing comes back where nothing is left
        f"{{{{ with printf `{pace} > 0` $labels.{names.SLO} | query }}}}at this pace the budget of {plan.period.name} is gone in "
        f"{{{{ . | first | value | humanizeDuration }}}}{{{{ else }}}}the budget of {plan.period.name} is spent{{{{ end }}}}."
    )
    return {
        "summary": f"About {{{{ $value | humanizePercentage }}}} of {what} in the last {window.name}",
        "description": f"{failed} of {total}{unit} in the last {window.name} were bad; {budget_text}",
        names.NEXT_STEPS: ask(of(names.NEXT_STEPS_INFO), f'label "{names.NEXT_STEPS}"'),
        **links(
            plan,
            f"/slo/{{{{ $labels.{names.SLO} }}}}",
            f"{names.board_uid(plan.service, SLO)}?var-slo={{{{ $labels.{names.SLO} }}}}",
        ),
    }


def single(plan: Plan, alert: Alert) -> Rule:
    """A guard or a watched symptom."""
    # an unmeasured SLO keeps its own owner, which its objective carries
    owner = {} if alert.name == names.UNMEASURED_ALERT else {names.OWNER: alert.owner}
    annotations = alert_annotations(plan, alert.name, alert.summary, alert.next_steps, OVERVIEW)
    return alert_rule(
        alert.name,
        alert.expr or guard(plan, alert.name),
        alert.for_,
        {names.SEVERITY: alert.severity} | owner,
        annotations,
    )


def guard(plan: Plan, name: str) -> str:
    """The expressions of the alerts that watch the rules themselves."""
    measured = f"{names.BAD} or {names.FRESH}" if freshness(plan) else names.BAD
    window = next(w for w in plan.windows if w.name == SHORT_WINDOW)
    return {
        names.UNMEASURED_ALERT: f"{names.OBJECTIVE} unless on ({names.SLO}) ({measured})",
        names.COUNT_ALERT: f"(count({names.OBJECTIVE}) or vector(0)) != {len(plan.slos)}",
        names.RULES_ALERT: f"sum by (rule_group) (increase({names.RULE_FAILURES}[{window.text}])) > 0",
        names.WATCHDOG_ALERT: "vector(1)",
    }[name]
