"""Rules for one panel of a dashboard: texts, units, colours and queries."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from observability.checks import expressions
from observability.lib.panels import GREY, LOGS, METRICS, PALETTE, Unit

Json = dict[str, Any]
Findings = Iterator[tuple[str, str]]  # what is wrong, and how to fix it
FIX = "correct the board's module in observability/generate/dashboards/boards, then make generate"
BUILT_IN = {"__rate_interval": "1m", "__auto": "1m", "__range": "1h"}  # variables of Grafana
COLOURS = frozenset({*PALETTE, GREY, "text"})
REQUIRED = {"title": "title", "description": "description", "targets": "query"}
VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")


def panel_findings(
    panel: Json, variables: dict[str, str], lint_promql: Callable[[str], Findings]
) -> Findings:
    """Yield the problems of one panel.

    `variables` are those that its queries may use, each with a value that parses in its place.
    """
    yield from text_findings(panel)
    yield from unit_findings(panel)
    yield from colour_findings(panel)
    for target in panel["targets"]:
        yield from query_findings(target, panel, variables, lint_promql)


def text_findings(panel: Json) -> Findings:
    """Yield a missing title, description, query or text for no data."""
    for key, name in REQUIRED.items():
        if not panel[key]:
            yield f"has no {name}", FIX
    if not panel["fieldConfig"]["defaults"]["noValue"]:
        yield "says nothing when there is no data", "set noValue"


def unit_findings(panel: Json) -> Findings:
    """Yield units that are none of ours."""
    default = panel["fieldConfig"]["defaults"]["unit"]
    fix = f"choose one of {', '.join(Unit)}"
    for unit in [default, *overridden(panel, "unit")]:
        if unit not in set(Unit):
            yield f"has the unit {unit!r}, which is none of ours", fix


def colour_findings(panel: Json) -> Findings:
    """Yield colours that are not in the palette."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    colours = {step["color"] for step in steps}
    colours |= {colour["fixedColor"] for colour in overridden(panel, "color")}
    fix = "use the palette of observability/lib/panels.py"
    for colour in sorted(colours - COLOURS):
        yield f"uses the colour {colour}, which is not in the palette", fix


def overridden(panel: Json, name: str) -> Iterator[Any]:
    """Yield the values that the panel's overrides give to a property."""
    for rule in panel["fieldConfig"]["overrides"]:
        for entry in rule["properties"]:
            if entry["id"] == name:
                yield entry["value"]


def query_findings(
    target: Json,
    panel: Json,
    variables: dict[str, str],
    lint_promql: Callable[[str], Findings],
) -> Findings:
    """Yield undefined variables, a wrong data source, and what `lint` finds in the query.

    Variables are replaced by values first, because `$route` is not PromQL.
    """
    expr = target["expr"]
    undefined = set(VARIABLE.findall(expr)) - variables.keys()
    for name in sorted(undefined):
        yield f"uses ${name}, which the board does not define", "add the variable to the board"
    bound = VARIABLE.sub(lambda match: variables.get(match[1], "x"), expr)
    source = target["datasource"]["type"]
    if source not in (METRICS, LOGS) or source != panel["datasource"]["type"]:
        yield f"asks a data source of type {source!r}", FIX
    elif source == METRICS:
        yield from lint_promql(bound)
    else:
        yield from stream_findings(bound)


def stream_findings(expr: str) -> Findings:
    """Yield the labels by which LogQL selects streams although no stream has them."""
    labels = ", ".join(sorted(expressions.LOG_LABELS))
    fix = f"use one of {labels}, or a filter"
    unknown = set(expressions.stream_labels(expr)).difference(expressions.LOG_LABELS)
    for label in sorted(unknown):
        yield f"selects streams by {label}, which is no label of them", fix
