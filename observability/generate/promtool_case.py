"""The parts of a promtool file: input series, and the samples that a query has at one moment."""

from collections.abc import Collection
from decimal import Decimal

from observability.generate.yaml_text import generated_yaml
from observability.lib import scope
from observability.lib.json_object import Json
from observability.lib.promql import firing, one_of
from observability.spec import names
from observability.spec.plan import Plan, Slo, Tier
from observability.spec.quantities import format_duration

Case = Json
Question = Json


def document(plan: Plan, interval: Decimal, tests: list[Case]) -> str:
    """Return a file whose rules are evaluated every `interval` seconds."""
    settings = {
        "rule_files": ["../sample.yaml"],
        "evaluation_interval": format_duration(interval),
        # else promtool takes any order, and results move by one evaluation
        "group_eval_order": [scope.group_name(plan, group) for group in names.GROUPS],
    }
    return generated_yaml(settings | {"tests": tests})


def case(
    plan: Plan, name: str, inputs: dict[str, str], step: Decimal, questions: list[Question]
) -> Case:
    """Return one test: its input series, as rules select them, and the questions asked of them."""
    input_series = [
        {"series": scope.exposed(plan, series), "values": values}
        for series, values in sorted(inputs.items())
    ]
    return {
        "name": name,
        "interval": format_duration(step),
        "input_series": input_series,
        "promql_expr_test": questions,
    }


def question(expr: str, at: Decimal, values: list[str], label: str = names.SLO) -> Question:
    """Return what `expr` has at second `at`: exactly one sample for each of the label's values."""
    samples = [{"labels": f'{{{label}="{value}"}}', "value": 1} for value in values]
    return {"expr": expr, "eval_time": format_duration(at), "exp_samples": samples}


def alert_question(name: str, at: Decimal, *, fires: bool) -> Question:
    """Return the question whether an alert fires at second `at`."""
    expr = f"count by (alertname) ({firing(alertname=name)}) > bool 0"
    return question(expr, at, [name] if fires else [], "alertname")


def tier_question(
    tier: Tier, at: Decimal, slos: list[str], among: Collection[Slo] = ()
) -> Question:
    """Return the question for which SLOs a tier's alert fires at second `at`: exactly these.

    `among` are the SLOs that it is asked of; without them it is asked of all.
    """
    asked = {names.SLO: one_of(slo.name for slo in among)} if among else {}
    alert = firing(alertname=names.BURN_ALERT, tier=tier.name, **asked)
    return question(f"count by ({names.SLO}) ({alert})", at, sorted(slos))
