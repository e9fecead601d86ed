"""Plan → promtool cases on the real clock; pure.

Every alert has a case in which it fires, one below its threshold, and one without data, for an SLO
of each form (generate/sample.py).
"""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from observability.generate.promtool_case import (
    Case,
    alert_question,
    case,
    document,
    question,
    tier_question,
)
from observability.generate.sample import sample
from observability.generate.symptom_cases import SETTLING, shared_tests
from observability.lib import scope
from observability.lib.promql import firing, selector
from observability.sli.registry import kind_of, missing_is_bad, steady_series
from observability.sli.steady_traffic import SteadyTraffic, counter, gauge
from observability.spec import names
from observability.spec.plan import Plan, Slo, Tier

FOLDER = "prometheus/tests"
HEALTHY_STEP = Decimal(20)  # fine enough for the shortest window of any tier
HEALTHY_LENGTH = Decimal(20 * 60)
OTHERS_STEP = Decimal(60)
TIDY_STEPS = (1, 5, 20, 60, 120, 300, 1800, 3600)  # seconds
ALL_BAD = Decimal(1)
JUST_ABOVE = Decimal("1.1")
JUST_BELOW = Decimal("0.9")


def render(plan: Plan) -> dict[str, str]:
    """Return one file per tier, because a file has one clock, healthy.yaml and others.yaml."""
    plan = sample(plan)
    files = {f"{FOLDER}/{tier.name}.yaml": tier_file(plan, tier) for tier in plan.tiers}
    files[f"{FOLDER}/healthy.yaml"] = document(plan, HEALTHY_STEP, [healthy_traffic(plan)])
    files[f"{FOLDER}/others.yaml"] = document(plan, OTHERS_STEP, other_cases(plan))
    return files


def firing_cases(plan: Plan) -> Iterator[tuple[Decimal, list[Case]]]:
    """Yield cases of the same step, in seconds, and that step; every alert fires in one of them.

    They run on the rules of this Plan.
    """
    for tier in plan.tiers:
        yield sample_step(tier), list(above_threshold(plan, tier))
    yield OTHERS_STEP, other_cases(plan)


# --- burn-rate tiers ---


def tier_file(plan: Plan, tier: Tier) -> str:
    """Return the cases just above the tier's threshold, and just below it."""
    cases = [*above_threshold(plan, tier), *below_threshold(plan, tier)]
    return document(plan, sample_step(tier), cases)


def parts(plan: Plan, tier: Tier) -> list[Plan]:
    """Return the plan with parts of its SLOs; no part has declared SLOs that share a metric.

    In one case, a series cannot have two shares of bad events. A part has an SLO of the tier.
    """
    ordinary = [slo for slo in plan.slos if not slo.is_declared]
    slos_by_part = [ordinary]
    metrics_by_part = [metrics_of(plan, ordinary)]
    for slo in filter(tier.judges, plan.slos):
        if not slo.is_declared:
            continue
        metrics = metrics_of(plan, [slo])
        shared = (not metrics.isdisjoint(others) for others in metrics_by_part)
        part = next((number for number, is_shared in enumerate(shared) if not is_shared), None)
        if part is None:
            part = len(slos_by_part)
            slos_by_part.append([])
            metrics_by_part.append(set())
        slos_by_part[part].append(slo)
        metrics_by_part[part] |= metrics
    return [replace(plan, slos=tuple(slos)) for slos in slos_by_part]


def metrics_of(plan: Plan, slos: list[Slo]) -> set[str]:
    """Return the metrics of which SLOs have series in promtool's cases."""
    series = steady_series(replace(plan, slos=tuple(slos)), SteadyTraffic({}, OTHERS_STEP))
    return {one.partition("{")[0] for one in series}


def above_threshold(plan: Plan, tier: Tier) -> Iterator[Case]:
    """Yield the cases in which the alert fires for every SLO of the tier.

    A second is good or bad as a whole, so SLOs that count seconds get only bad ones. A ticket is
    not opened while its window is mostly empty.
    """
    step = sample_step(tier)
    for part in parts(plan, tier):
        shares = {}
        for slo, threshold in thresholds(part, tier).items():
            shares[slo] = min(threshold * JUST_ABOVE, ALL_BAD)
        shares |= dict.fromkeys(slos_that_count_seconds(part, tier), ALL_BAD)
        inputs = steady_series(part, SteadyTraffic(shares, step))
        asked = asked_of(part, plan)
        questions = [tier_question(tier, firing_time(plan, tier), list(shares), asked)]
        if opens_ticket(plan, tier):
            questions.append(tier_question(tier, settling_time(tier), [], asked))
        name = f"{tier.name} fires for every SLO above its threshold"
        yield case(plan, name, inputs, step, questions)


def below_threshold(plan: Plan, tier: Tier) -> Iterator[Case]:
    """Yield the cases in which the alert fires only for SLOs whose missing gauge counts as bad.

    Their targets are up.
    """
    step = sample_step(tier)
    for part in parts(plan, tier):
        timed = slos_that_count_seconds(part, tier)
        shares = {}
        for slo, threshold in thresholds(part, tier).items():
            if slo not in timed:
                shares[slo] = threshold * JUST_BELOW
        missing = [slo.name for slo in part.slos if missing_is_bad(slo) and tier.judges(slo)]
        present = tuple(slo for slo in part.slos if not missing_is_bad(slo))
        inputs = steady_series(replace(part, slos=present), SteadyTraffic(shares, step))
        for job in (plan.scrape.api, plan.scrape.prober):
            inputs[selector(names.UP, job=job)] = gauge(1)
        fires = tier_question(tier, firing_time(plan, tier), missing, asked_of(part, plan))
        name = f"{tier.name} is silent below its threshold, and fires where a target lacks a gauge"
        yield case(plan, name, inputs, step, [fires])


def asked_of(part: Plan, plan: Plan) -> tuple[Slo, ...]:
    """Return the SLOs of a part of the plan; none for all of it."""
    return part.slos if len(part.slos) < len(plan.slos) else ()


def thresholds(plan: Plan, tier: Tier) -> dict[str, Decimal]:
    """Return the share of bad events above which all conditions are true, by SLO."""
    thresholds_by_slo = {}
    for slo in plan.slos:
        if tier.judges(slo):
            thresholds_by_slo[slo.name] = tier.threshold(slo, plan.policy.max_threshold)
    return thresholds_by_slo


def slos_that_count_seconds(plan: Plan, tier: Tier) -> list[str]:
    """Return the tier's SLOs whose events are seconds."""
    judged = filter(tier.judges, plan.slos)
    return [slo.name for slo in judged if kind_of(slo).counts_seconds]


def sample_step(tier: Tier) -> Decimal:
    """Return the longest tidy step, in seconds, that gives the shortest window three samples.

    Rules are evaluated at this step, too: windows look back over series that rules recorded.
    """
    shortest_window = min(condition.window.seconds for condition in tier.conditions)
    longest_step = shortest_window * 2 / 5
    return Decimal(max(step for step in TIDY_STEPS if step <= longest_step))


def firing_time(plan: Plan, tier: Tier) -> Decimal:
    """Return a second at which the alert certainly fires; of a ticket, half its window has data."""
    if opens_ticket(plan, tier):
        return settling_time(tier) + tier.conditions[0].window.seconds / 2
    return settling_time(tier)


def settling_time(tier: Tier) -> Decimal:
    """Return a second at which a condition has been true for long enough: `for`, and some steps.

    The rules are evaluated at this second.
    """
    step = sample_step(tier)
    seconds = tier.for_ + max(Decimal(60), 4 * step)
    return -(-seconds // step) * step


def opens_ticket(plan: Plan, tier: Tier) -> bool:
    """Return whether the tier does not page."""
    return tier.severity != plan.paging_severity


# --- guards, and all alerts together ---


def other_cases(plan: Plan) -> list[Case]:
    """Return the cases of guards and watched symptoms."""
    symptom_tests = [test.render(plan, OTHERS_STEP) for test in shared_tests(plan.symptoms)]
    return [without_data(plan), broken_rules(plan), *symptom_tests]


def healthy_traffic(plan: Plan) -> Case:
    """Return the case in which only the watchdog fires: no tier, no guard, no symptom."""
    at = HEALTHY_LENGTH
    any_alert = f"count by (alertname) ({firing()}) > bool 0"
    questions = [question(any_alert, at, [names.WATCHDOG_ALERT], "alertname")]
    for name in (names.UNMEASURED_ALERT, names.COUNT_ALERT, names.RULES_ALERT):
        questions.append(alert_question(name, at, fires=False))
    for tier in plan.tiers:
        if tier.for_ < at:  # the others' own files show that they stay silent
            questions.append(tier_question(tier, at, []))
    inputs = steady_series(plan, SteadyTraffic({}, HEALTHY_STEP)) | rule_failures(plan, gauge(0))
    return case(plan, "healthy traffic fires the watchdog alone", inputs, HEALTHY_STEP, questions)


def without_data(plan: Plan) -> Case:
    """Return the case without any series: only SLOUnmeasured and the watchdog fire."""
    unmeasured = f"count by ({names.SLO}) ({firing(alertname=names.UNMEASURED_ALERT)})"
    every_slo = sorted(slo.name for slo in plan.slos)
    questions = [
        question(unmeasured, Decimal(900), every_slo),
        alert_question(names.WATCHDOG_ALERT, Decimal(600), fires=True),
        alert_question(names.RULES_ALERT, Decimal(600), fires=False),
        alert_question(names.COUNT_ALERT, Decimal(600), fires=False),
    ]
    end = max(alert.entry.for_.seconds for alert in (*plan.guards, *plan.symptoms)) + SETTLING
    for alert in plan.symptoms:
        questions.append(alert_question(alert.name, end, fires=False))
    for tier in plan.tiers:
        questions.append(tier_question(tier, tier.for_ + SETTLING, []))
    return case(plan, "without any series", {}, OTHERS_STEP, questions)


def broken_rules(plan: Plan) -> Case:
    """Return the case of failing evaluations and of an objective that is not declared."""
    stranger = {selector(names.OBJECTIVE, slo="stranger"): gauge(1)}
    healthy = steady_series(plan, SteadyTraffic({}, OTHERS_STEP))
    inputs = healthy | stranger | rule_failures(plan, counter(1))
    questions = [
        alert_question(names.RULES_ALERT, Decimal(600), fires=True),
        alert_question(names.COUNT_ALERT, Decimal(600), fires=True),
    ]
    return case(plan, "failing evaluations and a strange objective", inputs, OTHERS_STEP, questions)


def rule_failures(plan: Plan, values: str) -> dict[str, str]:
    """Return the counter of failed evaluations of the first group."""
    group = f"/rules.yaml;{scope.group_name(plan, names.FINE_GROUP)}"
    return {selector(names.RULE_FAILURES, **{names.RULE_GROUP: group}): values}
