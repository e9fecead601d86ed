"""Every alert's texts as Prometheus expands them, in the case in which the alert fires.

promtool prints the alerts that a case does not expect. Each case is asked for all alerts and
expects none. Alerts on log lines, which only Loki evaluates, are expanded from a constant series.
"""

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from observability.checks.server_tools import RARE_COLLECTIONS, quote
from observability.generate import loki, prometheus, promtool_tests
from observability.generate.promtool_case import Case
from observability.generate.registry import GENERATED
from observability.generate.sample import sample
from observability.lib import scope
from observability.lib.escaping import go_template
from observability.lib.json_object import Json
from observability.lib.promql import labelled
from observability.spec import names
from observability.spec.alert import Alert
from observability.spec.plan import Plan
from observability.spec.problems import Problem
from observability.spec.quantities import format_duration
from observability.spec.schema.catalogue import LogEntry

RULES = "rules.yaml"
LOG_VALUE = 21
# The last is that of Go's printf, as in %!d(float64=3).
FAILURE = re.compile(r"<error expanding template|<no value>|%!\w?\(")
PRINTED = re.compile(r"Labels:\{(?P<labels>.*)\}\n\s*Annotations:\{(?P<annotations>.*)\}")
PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*")')
ACTION = re.compile(r"\{\{.*?\}\}")
LABEL = re.compile(r'(?:\$labels|\.Labels)(?:\.|\s+")(\w+)')  # also index $labels "job"
FIX = "correct the text in the catalogue or the policy, then make generate"
Texts = dict[str, str]


def check(plan: Plan, promtool: str) -> list[Problem]:
    """Return a problem for each text that is blank, or that Prometheus could not expand.

    The texts are the same for every SLO, so that a sample shows them all.
    """
    plan = sample(plan)
    rules = [rule for group in all_groups(plan) for rule in group["rules"] if "alert" in rule]
    outputs = run_all_cases(plan, promtool)
    expanded = alerts_by_identity(outputs)
    if not expanded:  # the rules cannot be loaded
        output = quote("\n".join(outputs))
        return [Problem(str(GENERATED), f"promtool says: {output}", FIX, "lint")]
    log_alerts = {alert.name for alert in plan.log_alerts}
    problems = []
    for rule in rules:
        file = loki.RULES if rule["alert"] in log_alerts else prometheus.RULES
        for message in complaints(rule, expanded.get(identify(rule["alert"], rule["labels"]), [])):
            where = f"{GENERATED / file}: {rule['alert']}"
            problem = Problem(where, message, FIX, "lint")
            if problem not in problems:  # tiers share their texts
                problems.append(problem)
    return problems


def complaints(rule: Json, alerts: list[tuple[Texts, Texts]]) -> Iterator[str]:
    """Yield what is wrong with the texts of the alerts that a rule has raised."""
    if not alerts:
        yield "fires in none of its cases, so that its texts cannot be expanded"
    for labels, annotations in alerts:
        for name, template in rule["annotations"].items():
            text = annotations.get(name, "")
            for label in labels_read(template):
                if not labels.get(label):
                    yield f"{name} reads the label {label}, which the alert does not have"
            if not text.strip():
                yield f"{name} is blank"
            if FAILURE.search(text) and not FAILURE.search(template):
                yield f"{name} cannot be expanded: {text}"


def labels_read(template: str) -> list[str]:
    """Return the labels that a template reads."""
    actions = ACTION.findall(template.replace(go_template("{{"), ""))
    return LABEL.findall(" ".join(actions))


def identify(name: str, labels: Texts) -> tuple[str, str]:
    """Return what tells the rules apart: the alert's name and its tier."""
    return name, labels.get(names.TIER, "")


def run_all_cases(plan: Plan, promtool: str) -> list[str]:
    """Return what promtool prints about each file of cases."""
    with TemporaryDirectory() as folder:
        rules = yaml.safe_dump({"groups": all_groups(plan)})
        (Path(folder) / RULES).write_text(rules, encoding="utf-8")
        paths = []
        for number, (step, cases) in enumerate(promtool_tests.firing_cases(plan)):
            path = Path(folder) / f"{number}.yaml"
            tests = [expect_nothing(plan, case) for case in cases]
            text = document(plan, format_duration(step), tests)
            path.write_text(text, encoding="utf-8")
            paths.append(path)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda path: run_cases(promtool, path), paths))


def alerts_by_identity(outputs: list[str]) -> dict[tuple[str, str], list[tuple[Texts, Texts]]]:
    """Return labels and annotations of the alerts that promtool printed."""
    alerts: dict[tuple[str, str], list[tuple[Texts, Texts]]] = {}
    for output in outputs:
        for labels, annotations in parse(output):
            identity = identify(labels[names.ALERT_NAME], labels)
            alerts.setdefault(identity, []).append((labels, annotations))
    return alerts


def all_groups(plan: Plan) -> list[Json]:
    """Return the groups of rules, and the log alerts as one more group."""
    log_rules = [log_rule(plan, alert) for alert in plan.log_alerts]
    log_group = {"name": scope.group_name(plan, names.LOG_GROUP), "rules": log_rules}
    return [*prometheus.groups(plan), log_group]


def log_rule(plan: Plan, alert: Alert[LogEntry]) -> Json:
    """Return a log alert that always fires, with the labels that Loki's result would have."""
    rule = loki.build_rule(plan, alert)
    labels = {names.LOG_PROGRAM: alert.entry.program or "api"}
    if alert.entry.silence:  # the labels that the query selects
        labels = {**scope.own_labels(plan), names.LOG_PROGRAM: alert.entry.program or ""}
    given = {label: value for label, value in labels.items() if value}
    rule.pop("for", None)
    return rule | {"expr": labelled(f"vector({LOG_VALUE})", given)}


def expect_nothing(plan: Plan, case: Case) -> Case:
    """Return a case that expects no alert in the moments in which it expects something to fire."""
    rules = [rule for group in all_groups(plan) for rule in group["rules"]]
    alerts = {rule["alert"] for rule in rules if "alert" in rule}
    moments = {
        question["eval_time"] for question in case["promql_expr_test"] if question["exp_samples"]
    }
    questions = [
        {"eval_time": moment, "alertname": alert, "exp_alerts": []}
        for moment in sorted(moments)
        for alert in sorted(alerts)
    ]
    inputs = {key: case[key] for key in ("name", "interval", "input_series")}
    return inputs | {"alert_rule_test": questions}


def document(plan: Plan, interval: str, tests: list[Case]) -> str:
    """Return a file of cases whose rules are evaluated in this interval."""
    settings = {"rule_files": [RULES], "evaluation_interval": interval}
    order = [scope.group_name(plan, group) for group in (names.LOG_GROUP, *names.GROUPS)]
    return yaml.safe_dump(settings | {"group_eval_order": order, "tests": tests})


def run_cases(promtool: str, path: Path) -> str:
    """Return what promtool prints."""
    command = [promtool, "test", "rules", str(path)]
    result = subprocess.run(  # noqa: S603
        command, env=RARE_COLLECTIONS | os.environ, capture_output=True, text=True, check=False
    )
    return result.stdout + result.stderr


def parse(output: str) -> Iterator[tuple[Texts, Texts]]:
    """Yield labels and annotations of each alert that promtool prints."""
    for printed in PRINTED.finditer(output):
        yield parse_pairs(printed["labels"]), parse_pairs(printed["annotations"])


def parse_pairs(text: str) -> Texts:
    """Return labels from Go's notation, whose string literals are valid in Python."""
    return {name: ast.literal_eval(literal) for name, literal in PAIR.findall(text)}
