"""Expressions in PromQL: the series and the bucket edges that they select."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import promql_parser

from observability.generate import prometheus
from observability.spec import names
from observability.spec.plan import Plan

Json = dict[str, Any]
Complaint = tuple[str, str]  # message and fix
FIX = "correct the catalogue or the emitter, then make generate"
CHILDREN = ("lhs", "rhs", "expr", "param", "args", "vector_selector")  # of a parsed expression


def list_rules(plan: Plan) -> Iterator[tuple[Json, Json]]:
    """Yield every rule with its group."""
    for group in prometheus.groups(plan):
        for rule in group["rules"]:
            yield group, rule


def known_series(plan: Plan) -> frozenset[str]:
    """Return every series name that is exposed or recorded."""
    recorded = {rule["record"] for _, rule in list_rules(plan) if "record" in rule}
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
                message = f"asks for the bucket le={matcher.value}, which no histogram has"
                yield (
                    message,
                    (
                        "add it to buckets in policy.yaml; "
                        'a whole number needs both spellings, as in le=~"1|1[.]0"'
                    ),
                )


def list_selectors(node: Any) -> Iterator[Any]:
    """Yield every vector selector at or below a node of the parsed expression."""
    if node is None:
        return
    if type(node).__name__ == "VectorSelector":
        yield node
    for attribute in CHILDREN:
        child = getattr(node, attribute, None)
        if isinstance(child, list):
            for part in child:
                yield from list_selectors(part)
        else:
            yield from list_selectors(child)


def has_edge(matcher: Any, edges: frozenset[Decimal]) -> bool:
    """Return whether a bucket matches in every spelling that a version of Prometheus stores."""
    pattern = matcher.value
    if matcher.op != promql_parser.MatchOp.Re:
        pattern = re.escape(pattern)
    spellings_by_edge = [["+Inf"], *map(spell_edge, edges)]
    return any(matches_all(pattern, spellings) for spellings in spellings_by_edge)


def matches_all(pattern: str, texts: list[str]) -> bool:
    """Return whether a regular expression matches each of the texts as a whole."""
    return all(re.fullmatch(pattern, text) for text in texts)


def spell_edge(edge: Decimal) -> list[str]:
    """Return an edge as Prometheus 2 and, where that differs, as Prometheus 3 stores it."""
    spellings = [f"{edge.normalize():f}"]
    if edge == int(edge):
        spellings.append(f"{int(edge)}.0")
    return spellings
