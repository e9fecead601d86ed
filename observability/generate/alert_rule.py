"""Alerting rules in the form that Prometheus and Loki share, with annotations and links."""

from decimal import Decimal
from typing import Any

from observability.spec import names
from observability.spec.board_slugs import LOG
from observability.spec.plan import Plan
from observability.spec.quantities import format_duration


def build_alert_rule(
    name: str, expr: str, wait: Decimal, labels: dict[str, str], annotations: dict[str, str]
) -> dict[str, Any]:
    """Return the rule of one alert that fires after `wait` seconds."""
    rule: dict[str, Any] = {"alert": name, "expr": expr}
    if wait:
        rule["for"] = format_duration(wait)
    return rule | {"labels": labels, "annotations": annotations}


def build_annotations(
    plan: Plan, name: str, summary: str, next_steps: tuple[str, ...], board: str
) -> dict[str, str]:
    """Return the annotations of an alert that has its own page in the runbook.

    `board` is the slug of the dashboard that shows the symptom.
    """
    board_path = names.board_uid(plan.service, board)
    texts = {"summary": summary, names.NEXT_STEPS: number_steps(next_steps)}
    return texts | build_links(plan, f"/alerts/{name}", board_path)


def build_links(plan: Plan, runbook_path: str, board_path: str) -> dict[str, str]:
    """Return the address of the runbook page; where Grafana runs, also of board and log lines."""
    addresses = plan.policy.links
    urls = {"runbook_url": addresses.console + runbook_path}
    if addresses.grafana:
        log_board = names.board_uid(plan.service, LOG)
        urls["dashboard_url"] = f"{addresses.grafana}/d/{board_path}"
        urls["logs_url"] = f"{addresses.grafana}/d/{log_board}"
    return urls


def number_steps(next_steps: tuple[str, ...]) -> str:
    """Return the next steps as one numbered line, as in `1. Look. 2. Act.`"""
    steps = [f"{number}. {step}" for number, step in enumerate(next_steps, 1)]
    return " ".join(steps)
