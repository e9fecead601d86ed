"""Expressions in PromQL: the series and the bucket edges that they select."""

import re
from collections.abc import Iterator
from decimal import Decimal

import promql_parser

from observability.generate import prometheus
from observability.generate.sample import sample
from observability.lib.json_object import Json
from observability.lib.promql import edge
from observability.lib.scope import list_selectors
from observability.spec import names
from observability.spec.plan import Plan

Complaint = tuple[str, str]  # message and fix
NUMBER = re.compile(r"\d+(\.\d+)?")
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
    return exposed_series(plan) | names.FOREIGN | recorded | declared_series(plan)


def declared_series(plan: Plan) -> frozenset[str]:
    """Return every series name that an SLO or a signal of the catalogue names."""
    declared = {one.name or "" for one in declared_selectors(plan)}
    for signal in plan.signals.every():
        declared |= {signal.metric, *(signal.metric + part for part in names.SUFFIXES["histogram"])}
    return frozenset(declared)


def declared_selectors(plan: Plan) -> Iterator[promql_parser.VectorSelector]:
    """Return every selector of the SLOs that are declared by hand."""
    measures = (slo.measure for slo in plan.slos)
    exprs = " + ".join(filter(None, (text for one in measures for text in (one.expr, one.total))))
    return list_selectors(promql_parser.parse(exprs or "0"))


def known_edges(plan: Plan) -> frozenset[Decimal]:
    """Return the edges of our own histograms, and those that declared SLOs name of others."""
    edges = set(plan.buckets)
    own = exposed_series(plan)
    for selector in declared_selectors(plan):
        if selector.name in own:
            continue
        for matcher in selector.matchers.matchers:
            number = matcher.value.partition("|")[0]
            if matcher.name == "le" and NUMBER.fullmatch(number):
                edges.add(Decimal(number))
    return frozenset(edges)


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


def has_edge(matcher: promql_parser.Matcher, edges: frozenset[Decimal]) -> bool:
    """Return whether a matcher names one bucket in every spelling that a Prometheus stores."""
    is_regex = matcher.op == promql_parser.MatchOp.Re
    value = f"~{matcher.value}" if is_regex else matcher.value
    return value in {"+Inf", *map(edge, edges)}
