"""One pure `render(plan) -> {path: text}` per file here; paths are relative to the folder of generated files."""

from decimal import Decimal
from typing import Any

import yaml

from observability.spec import names
from observability.spec.board_slugs import LOG
from observability.spec.plan import DEPENDENCY_SOURCE, GATEWAY_SOURCE, HTTP_SOURCE, Plan, span

HEADER = "# Generated from observability/catalogue.yaml and policy.yaml; mend those, then: make generate\n"

COUNTED = {  # source of events → series of their count, label of the subject, labels of the bad ones and of good ones
    HTTP_SOURCE: (
        names.HTTP_DURATION + "_count",
        names.ROUTE,
        {names.STATUS: "5xx"},
        {names.STATUS: "~2xx|3xx"},
    ),
    DEPENDENCY_SOURCE: (
        names.DEPENDENCY_DURATION + "_count",
        names.DEPENDENCY,
        {names.OUTCOME: "error"},
        {names.OUTCOME: "ok"},
    ),
    GATEWAY_SOURCE: (
        names.GATEWAY_RESPONSES,
        names.PROXY,
        {names.CODE: "5xx"},
        {names.CODE: "~2xx|3xx"},
    ),
}


class Dumper(yaml.SafeDumper):
    """Block scalars for texts of several lines, so that a diff shows the line that moved."""


def _text(dumper: Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    )


Dumper.add_representer(str, _text)


def steps(lines: tuple[str, ...]) -> str:
    """Next steps as one numbered line."""
    return " ".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def links(plan: Plan, runbook: str, board: str) -> dict[str, str]:
    """Where a person reads on: the console's page with the runbook, the board, and the log lines."""
    console, grafana = plan.policy.links.console, plan.policy.links.grafana
    boards = (
        {
            "dashboard_url": f"{grafana}/d/{board}",
            "logs_url": f"{grafana}/d/{names.board_uid(plan.service, LOG)}",
        }
        if grafana
        else {}
    )
    return {"runbook_url": console + runbook} | boards


def alerting(
    name: str, expr: str, wait: Decimal, labels: dict[str, str], annotations: dict[str, str]
) -> dict[str, Any]:
    """An alerting rule in the form that Prometheus and Loki share; `wait` is in seconds."""
    pending = {"for": span(wait)} if wait else {}
    return {"alert": name, "expr": expr, **pending, "labels": labels, "annotations": annotations}


def texts(
    plan: Plan, name: str, summary: str, next_steps: tuple[str, ...], board: str
) -> dict[str, str]:
    """The annotations of an alert that has a page of its own."""
    return {
        "summary": summary,
        names.NEXT_STEPS: steps(next_steps),
        **links(plan, f"/alerts/{name}", names.board_uid(plan.service, board)),
    }


def dump(data: Any) -> str:
    """YAML in the order of the data, long lines unbroken."""
    return yaml.dump(data, Dumper=Dumper, sort_keys=False, width=10_000, allow_unicode=True)
