"""Expressions in PromQL: the series and the bucket edges that they select."""

from collections.abc import Iterator
from decimal import Decimal

import promql_parser

from observability.generate import prometheus
from observability.generate.sample import sample
from observability.lib.json_object import Json
from observability.lib.promql import edge
from observability.spec import names
from observability.spec.plan import Plan

OPERANDS = ("expr", "lhs", "rhs", "args", "param", "vector_selector")  # of promql_parser's classes
Complaint = tuple[str, str]  # message and fix
FIX = "correct the catalogue or the generator, then make generate"
EDGE_FIX = (
    'add it to buckets in policy.yaml; a whole number needs both spellings, as in le=~"1|1[.]0"'
)


def list_rules(plan: Plan) -> Iterator[tuple[Json, Json]]:
    """Yield every rule with its group."""
    for group in prometheus.groups(plan):
        for rule in group["rules"]:
            yield group, rule


def known_series(plan: Plan) -> frozenset[str]:
    """Return every series name that is exposed or recorded."""
    recorded = {rule["record"] for _, rule in list_rules(sample(plan)) if "record" in rule}
    return exposed_series(plan) | names.FOREIGN | recorded


def exposed_series(plan: Plan) -> frozenset[str]:
    """Return every series name that the app and its helpers expose."""
    series = set()
    for name, kind in plan.emitted.items():
        for suffix in names.SUFFIXES[kind]:
            series.add(name + suffix)
    return frozenset(series)


def check_expression(
    expr: str, series: frozenset[str], edges: frozenset[Decimal]
) -> Iterator[Complaint]:
    """Yield invalid PromQL, series that nothing exposes or records, and unknown bucket edges."""
    try:
        tree = promql_parser.parse(expr)
    except ValueError as error:
        yield f"is not PromQL: {error}", FIX
        return
    for selector in list_selectors(tree):
        if selector.name not in series:
            message = f"asks for {selector.name}, which nothing exposes or records"
            yield message, "use a name from observability/spec/names.py"
        for matcher in selector.matchers.matchers:
            if matcher.name == "le" and not has_edge(matcher, edges):
                yield f"asks for the bucket le={matcher.value}, which no histogram has", EDGE_FIX


def list_selectors(tree: promql_parser.Expr) -> Iterator[promql_parser.VectorSelector]:
    """Yield every vector selector of a parsed expression, however deep.

    `promql_parser.walk` copies the subtree of each expression that it visits.
    """
    waiting = [tree]
    while waiting:
        expression = waiting.pop()
        if isinstance(expression, promql_parser.VectorSelector):
            yield expression
            continue
        for field in OPERANDS:
            operand = getattr(expression, field, None)
            operands = operand if isinstance(operand, list) else [operand]
            waiting += (one for one in operands if isinstance(one, promql_parser.Expr))


def has_edge(matcher: promql_parser.Matcher, edges: frozenset[Decimal]) -> bool:
    """Return whether a matcher names one bucket in every spelling that a Prometheus stores."""
    is_regex = matcher.op == promql_parser.MatchOp.Re
    value = f"~{matcher.value}" if is_regex else matcher.value
    return value in {"+Inf", *map(edge, edges)}
