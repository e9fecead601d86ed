"""Check `lint`: conventions for rules and for the hand-written configuration of Prometheus."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from observability.checks.expressions import check_expression, known_edges, known_series, list_rules
from observability.generate import prometheus
from observability.generate.registry import GENERATED
from observability.lib.json_object import Json
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.problems import Problem
from observability.spec.quantities import format_duration, parse_duration

STALE_SECONDS = 300  # after which Prometheus forgets a series that is not evaluated again
COMPOSE_SERVICES = Path("compose.services.yaml")
RETENTION = re.compile(r"--storage\.tsdb\.retention\.time=(\w+)")
PROMETHEUS_CONFIG = Path("observability/devstack/prometheus.yaml")


def check(plan: Plan, root: Path) -> list[Problem]:
    """Return the problems of rules and configuration; no server program is needed."""
    return [
        *check_rules(plan),
        *check_clock(plan, root / PROMETHEUS_CONFIG),
        *check_retention(plan, root / COMPOSE_SERVICES),
    ]


def check_rules(plan: Plan) -> Iterator[Problem]:
    """Yield the problems of recording and alerting rules.

    A group that is evaluated too seldom has no value most of the time.
    """
    series = known_series(plan)
    edges = known_edges(plan)
    for group, rule in list_rules(plan):
        complaints = list(check_expression(rule["expr"], series, edges))
        interval = group["interval"]
        if parse_duration(interval).seconds >= STALE_SECONDS:
            message = f"is evaluated every {interval}, after which series are stale"
            complaints.append((message, "shorten the clock in policy.yaml"))
        where = f"{GENERATED / prometheus.RULES}: {name_rule(rule)}"
        for message, fix in complaints:
            yield Problem(where, message, fix, "lint")


def name_rule(rule: Json) -> str:
    """Return the name of a rule, and its tier where there are several of that name."""
    if "record" in rule:
        return str(rule["record"])
    tier = rule["labels"].get(names.TIER, "")
    return f"{rule['alert']} {tier}".strip()


def check_clock(plan: Plan, path: Path) -> Iterator[Problem]:
    """Yield intervals of the Prometheus configuration that differ from the policy's clock.

    Another service has none in the folder of its generated files.
    """
    if not path.exists():
        return
    settings = yaml.safe_load(path.read_text(encoding="utf-8")).get("global", {})
    clock = plan.policy.clock
    wanted = {"scrape_interval": clock.scrape.text, "evaluation_interval": clock.evaluate.text}
    for key, interval in wanted.items():
        setting = settings.get(key, "missing")
        if setting != interval:
            message = f"is {setting}, the policy's clock says {interval}"
            yield Problem(f"{path.name}: global.{key}", message, f"write {key}: {interval}", "lint")


def check_retention(plan: Plan, path: Path) -> Iterator[Problem]:
    """Yield a retention of the compose stack that is shorter than the period and a day.

    Natively `make up` computes it; another service has no such file.
    """
    if not path.exists():
        return
    for written in RETENTION.findall(path.read_text(encoding="utf-8")):
        if parse_duration(written).seconds < plan.retention:
            wanted = format_duration(plan.retention)
            message = f"keeps samples for {written}, but the period and a day are {wanted}"
            fix = f"write --storage.tsdb.retention.time={wanted}"
            yield Problem(f"{path.name}: services.prometheus.command", message, fix, "lint")
