"""The check of expressions: unknown series and bucket edges, at any depth."""

import sys
from decimal import Decimal

import promql_parser
import pytest

from observability.checks.expressions import check_expression, list_rules, list_selectors
from observability.spec.plan import Plan

KNOWN = frozenset({"known", "seconds_bucket"})

EDGES = frozenset({Decimal("0.2"), Decimal(1), Decimal("2.5")})


@pytest.mark.parametrize(
    ("expr", "message"),
    [
        ("rate(known[5m]) +", "is not PromQL"),
        ("sum(rate(unknwon[5m]))", "asks for unknwon, which nothing exposes or records"),
        ("known / on (a) group_left (b) (known > bool other)", "asks for other, which"),
        ("topk(1, other)", "asks for other, which"),
        ("max_over_time(rate(other[1m])[5m:1m])", "asks for other, which"),
        ("-(other)", "asks for other, which"),
        ('label_replace(other, "a", "b", "c", "d")', "asks for other, which"),
        ("quantile(scalar(other), known)", "asks for other, which"),
        ("other @ 5", "asks for other, which"),
        ('seconds_bucket{le="0.3"}', "asks for the bucket le=0.3, which no histogram has"),
        ('seconds_bucket{le=~"0.3|0.4"}', "asks for the bucket le=0.3|0.4, which no histogram has"),
        ('seconds_bucket{le="1"}', "asks for the bucket le=1, which no histogram has"),
        ('seconds_bucket{le="0x2"}', "asks for the bucket le=0x2, which no histogram has"),
    ],
)
def test_expression_that_can_never_fire_is_a_problem(expr: str, message: str) -> None:
    """An unknown series or edge is reported once, at any depth of the expression."""
    problems = list(check_expression(expr, KNOWN, EDGES))
    assert len(problems) == 1
    assert message in problems[0][0]
    assert problems[0][1]


@pytest.mark.parametrize(
    "expr",
    [
        'seconds_bucket{le="0.2"}',
        'seconds_bucket{le=~"1|1[.]0"}',
        'seconds_bucket{le="+Inf"}',
        "1 + known",
    ],
)
def test_expression_over_known_series_is_no_problem(expr: str) -> None:
    """Edges in both notations, and +Inf."""
    assert list(check_expression(expr, KNOWN, EDGES)) == []


def test_selectors_of_the_rules_are_those_that_the_parser_walks_through(plan: Plan) -> None:
    """No operand of an expression is forgotten."""
    for _, rule in list_rules(plan):
        tree = promql_parser.parse(rule["expr"])
        walked: list[promql_parser.Expr] = []
        promql_parser.walk(tree, walked.append)
        expected = [one for one in walked if isinstance(one, promql_parser.VectorSelector)]
        assert sorted(map(repr, list_selectors(tree))) == sorted(map(repr, expected))


def test_an_expression_may_be_deeper_than_pythons_stack() -> None:
    """A chain of `or` is as deep as it is long."""
    chain = " or ".join(["known"] * (sys.getrecursionlimit() + 1))
    assert list(check_expression(chain, KNOWN, EDGES)) == []
    assert len(list(check_expression(f"{chain} or other", KNOWN, EDGES))) == 1
