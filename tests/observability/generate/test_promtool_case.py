"""The parts of a promtool file."""

from decimal import Decimal

from observability.generate import promtool_case
from observability.spec.plan import Plan


def test_a_case_is_written_as_promtool_reads_it(plan: Plan) -> None:
    """Series in order, as rules select them, and one expected sample for each name."""
    query = promtool_case.question("expr", Decimal(60), ["x"])
    case = promtool_case.case(plan, "n", {"b": "1", "a": "2"}, Decimal(15), [query])
    series = [row["series"] for row in case["input_series"]]
    assert series == ['a{job="alertmanager"}', 'b{job="alertmanager"}']
    assert case["promql_expr_test"] == [
        {"expr": "expr", "eval_time": "1m", "exp_samples": [{"labels": '{slo="x"}', "value": 1}]}
    ]
