"""Check `lint`: conventions for rules, and the servers' own tools over the generated files."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from observability.generate import alertmanager, loki, prometheus, promtool_tests
from observability.generate.registry import GENERATED
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.problems import Problem
from observability.spec.quantities import Duration, parse_duration

Json = dict[str, Any]
STALE = 300  # seconds after which Prometheus forgets a series that is not evaluated again
PROMETHEUS_CONFIG = Path("observability/devstack/prometheus.yaml")
LOG_LABELS = (names.LOG_SERVICE, names.LOG_PROGRAM, names.LOG_LEVEL)
MEND = "correct the catalogue or the emitter, then make generate"


def check(plan: Plan, root: Path) -> list[Problem]:
    """Return the problems of rules and configuration; no server program is needed."""
    series, edges = known(plan), frozenset(plan.buckets)
    problems = []
    for group, rule in rules(plan):
        name = rule.get("record") or f"{rule['alert']} {rule['labels'].get(names.TIER, '')}".strip()
        where = f"{GENERATED / prometheus.RULES}: {name}"
        problems += [
            Problem(where, text, fix, "lint")
            for text, fix in expression(rule["expr"], series, edges)
        ]
        if "alert" in rule:
            problems += [Problem(where, text, fix, "lint") for text, fix in alert(rule, plan)]
        if parse_duration(group["interval"]).seconds >= STALE:
            text = f"is evaluated every {group['interval']}, after which series are stale"
            problems.append(Problem(where, text, "shorten the clock in policy.yaml", "lint"))
    return [*problems, *clock(plan, root / PROMETHEUS_CONFIG), *logs(plan)]


def logs(plan: Plan) -> Iterator[Problem]:
    """Yield problems of log alerts, among them stream labels that no line is shipped with."""
    for rule in (loki.rule(plan, entry) for entry in plan.log_alerts):
        where = f"{GENERATED / loki.RULES}: {rule['alert']}"
        yield from (Problem(where, text, fix, "lint") for text, fix in alert(rule, plan))
        for label in stream_labels(rule["expr"]):
            if label not in LOG_LABELS:
                yield Problem(
                    where,
                    f"asks for the label {label}, which no line has",
                    f"use one of: {', '.join(LOG_LABELS)}",
                    "lint",
                )


def stream_labels(expr: str) -> list[str]:
    """Return the labels in the stream selectors of a LogQL expression."""
    bare = re.sub(r'"(?:\\.|[^"\\])*"|`[^`]*`', '""', expr)
    return [
        label
        for selector in re.findall(r"\{([^}]*)\}", bare)
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)
    ]


def rules(plan: Plan) -> Iterator[tuple[Json, Json]]:
    """Return every rule with its group."""
    return ((group, rule) for group in prometheus.groups(plan) for rule in group["rules"])


def known(plan: Plan) -> frozenset[str]:
    """Return every series name that is exposed or recorded."""
    recorded = {rule["record"] for _, rule in rules(plan) if "record" in rule}
    return exposed() | names.FOREIGN | recorded


def exposed() -> frozenset[str]:
    """Return every series name that the app and its helpers expose."""
    return frozenset(
        name + suffix for name, kind in names.EMITTED.items() for suffix in names.SUFFIXES[kind]
    )


def selectors(node: Any) -> Iterator[Any]:
    """Yield every vector selector below a node of the parsed expression."""
    if type(node).__name__ == "VectorSelector":
        yield node
    for attribute in ("lhs", "rhs", "expr", "param", "args", "vector_selector"):
        child = getattr(node, attribute, None)
        for part in child if isinstance(child, list) else [child]:
            if part is not None:
                yield from selectors(part)


def expression(
    expr: str, known: frozenset[str], edges: frozenset[Decimal]
) -> Iterator[tuple[str, str]]:
    """Yield invalid PromQL, series that nothing exposes or records, and unknown bucket edges."""
    try:
        tree = promql_parser.parse(expr)
    except ValueError as error:
        yield f"is not PromQL: {error}", MEND
        return
    for selector in selectors(tree):
        if selector.name not in known:
            yield (
                f"asks for {selector.name}, which nothing exposes or records",
                "use a name from observability/spec/names.py",
            )
        for matcher in selector.matchers.matchers:
            if matcher.name == "le" and not has_edge(matcher, edges):
                fix = (
                    "add it to buckets in policy.yaml; "
                    'a whole number needs both spellings, as in le=~"1|1[.]0"'
                )
                yield f"asks for the bucket le={matcher.value}, which no histogram has", fix


def has_edge(matcher: Any, edges: frozenset[Decimal]) -> bool:
    """Return whether a bucket matches in every spelling that a version of Prometheus stores."""
    pattern = matcher.value if matcher.op == promql_parser.MatchOp.Re else re.escape(matcher.value)
    spellings = [
        ["+Inf"],
        *(
            [f"{edge.normalize():f}", *([f"{int(edge)}.0"] if edge == int(edge) else [])]
            for edge in edges
        ),
    ]
    return any(all(re.fullmatch(pattern, text) for text in alike) for alike in spellings)


def alert(rule: Json, plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield a missing severity, owner, summary or next step of an alert."""
    labels, annotations = rule["labels"], rule.get("annotations", {})
    if labels.get(names.SEVERITY) not in plan.policy.severities:
        yield "has no severity that the policy knows", "set severity"
    if (
        names.OWNER not in labels
        and names.OWNER not in rule["expr"]
        and names.OBJECTIVE not in rule["expr"]
    ):
        yield "has no owner", "set owner"
    for key in ("summary", names.NEXT_STEPS):
        if not annotations.get(key):
            yield f"has no {key}", f"write {key} in the catalogue"


def clock(plan: Plan, path: Path) -> Iterator[Problem]:
    """Yield intervals of the Prometheus configuration that differ from the policy's clock."""
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))["global"] if path.exists() else {}
    for key, wanted in (
        ("scrape_interval", plan.policy.clock.scrape),
        ("evaluation_interval", plan.policy.clock.evaluate),
    ):
        found: Duration | None = parse_duration(settings[key]) if key in settings else None
        if found is None or found.seconds != wanted.seconds:
            text = f"is {found.text if found else 'missing'}, the policy's clock says {wanted.text}"
            yield Problem(f"{path.name}: global.{key}", text, f"write {key}: {wanted.text}", "lint")


def tools(
    root: Path, path: str | None = None, loki_program: Path | None = None
) -> tuple[list[Problem], list[str]]:
    """Run promtool, amtool and, where there is one, Loki over the generated files.

    Return the problems, and the names of the tools that are missing.
    """
    folder = root / GENERATED
    search = os.pathsep.join(filter(None, [path, os.environ.get("PATH", "")]))
    promtool, amtool = (shutil.which(tool, path=search) for tool in ("promtool", "amtool"))
    commands: list[list[str]] = []
    if promtool:
        commands += [[promtool, "check", "rules", str(folder / prometheus.RULES)]]
        commands += [
            [promtool, "test", "rules", str(test)]
            for test in sorted((folder / promtool_tests.FOLDER).glob("*.yaml"))
        ]
    if amtool:
        commands += [[amtool, "check-config", str(folder / alertmanager.CONFIG)]]
    if loki_program:
        commands += [
            [
                str(loki_program),
                "-verify-config",
                "-config.expand-env=true",
                "-config.file",
                str(folder / loki.CONFIG),
            ]
        ]
    missing = [name for name, found in (("promtool", promtool), ("amtool", amtool)) if not found]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(
            pool.map(
                lambda command: (
                    command,
                    subprocess.run(command, capture_output=True, text=True, check=False),  # noqa: S603
                ),
                commands,
            )
        )
    return [
        failure(command, result, root) for command, result in results if result.returncode
    ], missing


def failure(command: list[str], result: "subprocess.CompletedProcess[str]", root: Path) -> Problem:
    lines = [
        re.sub(r"^(Unit Testing:|Checking)\s+\S+", "", line).strip()
        for line in (result.stdout + result.stderr).splitlines()
    ]
    said = " | ".join(line[:300] for line in [line for line in lines if line][:6])
    where = str(Path(command[-1]).relative_to(root))
    return Problem(where, f"{Path(command[0]).name} says: {said}", MEND, "lint")
