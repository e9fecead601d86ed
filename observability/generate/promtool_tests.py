"""Plan → promtool cases on the real clock: every alert fires, stays silent below its threshold, and behaves without data; pure."""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from observability.generate.yaml_text import generated_yaml
from observability.lib.promql import firing, selector
from observability.sli.registry import kind_of, steady_series
from observability.sli.steady_traffic import SteadyTraffic, counter, gauge
from observability.spec import names
from observability.spec.plan import Alert, Plan, Tier
from observability.spec.quantities import format_duration

FOLDER = "prometheus/tests"
HEALTHY_STEP = Decimal(20)  # fine enough for the shortest window of any tier
HEALTHY_LENGTH = Decimal(20 * 60)
GUARD_STEP = Decimal(60)
SETTLING = Decimal(240)  # seconds after `for`
Case = dict[str, Any]
Question = dict[str, Any]


def render(plan: Plan) -> dict[str, str]:
    """Return one file per tier, because a file has one clock, one of healthy traffic and one of all other alerts."""
    files = {f"{FOLDER}/{tier.name}.yaml": suite(plan, tier) for tier in plan.tiers}
    files[f"{FOLDER}/healthy.yaml"] = document(HEALTHY_STEP, [healthy_traffic(plan)])
    symptoms = [alert for alert in plan.alerts if alert.expr]
    tests = [without_data(plan, symptoms), broken_rules(plan), *pack(symptoms)]
    files[f"{FOLDER}/others.yaml"] = document(GUARD_STEP, tests)
    return files


def document(interval: Decimal, tests: list[Case]) -> str:
    settings = {
        "rule_files": ["../rules.yaml"],
        "evaluation_interval": format_duration(interval),
        "group_eval_order": list(
            names.GROUPS
        ),  # else promtool takes any order, and results move by one evaluation
    }
    return generated_yaml(settings | {"tests": tests})


def suite(plan: Plan, tier: Tier) -> str:
    """Return the cases just above the tier's threshold, and just below it beside targets that say nothing.

    Freshness and probes know no share between good and bad: silence of a target that is up is bad.
    """
    step = pace(tier)
    at = tier.for_ + max(Decimal(60), 4 * step)
    judged = [slo for slo in plan.slos if slo.sli in tier.slis]
    limits = {
        slo.name: tier.conditions[0].threshold(slo, plan.policy.max_threshold) for slo in judged
    }
    by_time = {slo.name for slo in judged if kind_of(slo).counts_seconds}
    above = {name: min(limit * Decimal("1.1"), Decimal(1)) for name, limit in limits.items()}
    above |= dict.fromkeys(by_time, Decimal(1))
    below = {name: limit * Decimal("0.9") for name, limit in limits.items() if name not in by_time}
    targets = {
        selector(names.UP, job=job): gauge(1) for job in (names.SCRAPE_API, names.SCRAPE_PROBER)
    }
    below_threshold = case(
        f"{tier.name} stays silent below it, and fires for silence of targets that are there",
        steady_series(plan, SteadyTraffic(below, step), timed=False) | targets,
        step,
        [question(burning(tier), at, sorted(by_time))],
    )
    above_threshold = case(
        f"{tier.name} fires for every SLO above its threshold",
        steady_series(plan, SteadyTraffic(above, step)),
        step,
        [question(burning(tier), at, sorted(limits))],
    )
    return document(step, [above_threshold, below_threshold])


def burning(tier: Tier) -> str:
    """Return the query of the SLOs for which the tier's alert fires."""
    alert = firing(alertname=names.BURN_ALERT, tier=tier.name)
    return f"count by ({names.SLO}) ({alert})"


def pace(tier: Tier) -> Decimal:
    """Return the longest tidy step that gives the tier's shortest window three samples."""
    longest = min(condition.window.seconds for condition in tier.conditions) * 2 / 5
    return Decimal(max(step for step in (5, 20, 60, 120, 300) if step <= longest))


def question(expr: str, at: Decimal, values: list[str], label: str = names.SLO) -> Question:
    """Return what `expr` has at second `at`: exactly one sample for each of the label's values."""
    samples = [{"labels": f'{{{label}="{value}"}}', "value": 1} for value in values]
    return {"expr": expr, "eval_time": format_duration(at), "exp_samples": samples}


def alert_question(name: str, at: Decimal, *, fires: bool) -> Question:
    """Return the question whether an alert fires at second `at`."""
    expr = f"count by (alertname) ({firing(alertname=name)}) > bool 0"
    return question(expr, at, [name] if fires else [], "alertname")


def case(name: str, inputs: dict[str, str], step: Decimal, questions: list[Question]) -> Case:
    """Return one promtool test: its input series, and the questions asked of them."""
    input_series = [{"series": key, "values": values} for key, values in sorted(inputs.items())]
    return {
        "name": name,
        "interval": format_duration(step),
        "input_series": input_series,
        "promql_expr_test": questions,
    }


def healthy_traffic(plan: Plan) -> Case:
    """Return the case in which only the watchdog fires: no tier, no guard, no symptom."""
    at = HEALTHY_LENGTH
    any_alert = f"count by (alertname) ({firing()}) > bool 0"
    silent = (names.UNMEASURED_ALERT, names.COUNT_ALERT, names.RULES_ALERT)
    questions = [question(any_alert, at, [names.WATCHDOG_ALERT], "alertname")]
    questions += [alert_question(name, at, fires=False) for name in silent]
    questions += [question(burning(tier), at, []) for tier in plan.tiers]
    inputs = steady_series(plan, SteadyTraffic({}, HEALTHY_STEP)) | rule_failures(gauge(0))
    return case("healthy traffic fires the watchdog alone", inputs, HEALTHY_STEP, questions)


def without_data(plan: Plan, symptoms: list[Alert]) -> Case:
    """Return the case of a Prometheus that scrapes nothing: what guards against that fires alone."""
    unmeasured = f"count by ({names.SLO}) ({firing(alertname=names.UNMEASURED_ALERT)})"
    silent = (names.RULES_ALERT, names.COUNT_ALERT)
    longest = max(alert.for_ for alert in plan.alerts)
    questions = [question(unmeasured, Decimal(900), sorted(slo.name for slo in plan.slos))]
    questions += [alert_question(names.WATCHDOG_ALERT, Decimal(600), fires=True)]
    questions += [alert_question(name, Decimal(600), fires=False) for name in silent]
    questions += [alert_question(alert.name, longest + SETTLING, fires=False) for alert in symptoms]
    questions += [question(burning(tier), tier.for_ + SETTLING, []) for tier in plan.tiers]
    return case("without any series", {}, GUARD_STEP, questions)


def broken_rules(plan: Plan) -> Case:
    """Return the case of failing evaluations and of an objective that the catalogue does not know."""
    stranger = {selector(names.OBJECTIVE, slo="stranger"): gauge(1)}
    inputs = (
        steady_series(plan, SteadyTraffic({}, GUARD_STEP)) | stranger | rule_failures(counter(1))
    )
    guards = (names.RULES_ALERT, names.COUNT_ALERT)
    questions = [alert_question(name, Decimal(600), fires=True) for name in guards]
    return case("failing evaluations and a strange objective", inputs, GUARD_STEP, questions)


def rule_failures(values: str) -> dict[str, str]:
    return {selector(names.RULE_FAILURES, rule_group=names.FINE_GROUP): values}


def pack(symptoms: list[Alert]) -> list[Case]:
    """Return the symptoms' own cases from the catalogue, in few tests: each costs an evaluation of all rules.

    Cases share a test where neither gives a series of a metric that the other gives or reads.
    """
    packed: list[Packed] = []
    for alert in symptoms:
        for state, given in (("fires", alert.fires), ("stays silent", alert.silent)):
            inputs = dict(given)
            gives = {key.partition("{")[0] for key in inputs}
            reads = gives | set(re.findall(r"[a-zA-Z_:][\w:]*", alert.expr or ""))
            asked = alert_question(alert.name, alert.for_ + SETTLING, fires=state == "fires")
            name = f"{alert.name} {state}"
            for other in packed:
                if not (gives & other.reads or other.gives & reads):
                    break
            else:
                other = Packed()
                packed.append(other)
            other.add(name, inputs, gives, reads, asked)
    return [case("; ".join(test.names), test.inputs, GUARD_STEP, test.questions) for test in packed]


@dataclass
class Packed:
    """A test that several cases share: their series, and the metrics that they give and read."""

    names: list[str] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    gives: set[str] = field(default_factory=set)
    reads: set[str] = field(default_factory=set)
    questions: list[Question] = field(default_factory=list)

    def add(
        self, name: str, inputs: dict[str, str], gives: set[str], reads: set[str], asked: Question
    ) -> None:
        self.names.append(name)
        self.inputs |= inputs
        self.gives |= gives
        self.reads |= reads
        self.questions.append(asked)
