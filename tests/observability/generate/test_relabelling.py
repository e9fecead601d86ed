"""Rules for scrapes of metrics that are labelled with concrete paths."""

import re
from collections.abc import Callable

import pytest
import yaml

from observability.generate import relabelling
from observability.spec.loading import load_plan
from observability.spec.plan import Plan
from tests.observability.compiler_support import SMALL, changed

ROUTES = """routes:
  orders.get: {http: "GET /orders/{order_id}", next_steps: [Look at it.]}
  orders.new: {http: GET /orders/new, next_steps: [Look at it.]}
  orders.add: {http: POST /orders/new, next_steps: [Look at it.]}
  files.get: {http: "GET /files/v1.0/{name}.csv", next_steps: [Look at it.]}
"""
CATALOGUE = changed(
    SMALL,
    ("load: {weight: 1}", "load: {weight: 0}"),
    (
        "service: small\n",
        "service: small\nsignals: {preset: flask-exporter, concrete_paths: true}\n",
    ),
    ("routes:\n  things.list: {http: GET /things/, next_steps: [Look at it.]}\n", ROUTES),
)
CONTRACT = {
    "paths": {
        "/orders/{order_id}": {
            "get": {
                "parameters": [{"in": "path", "name": "order_id", "schema": {"type": "integer"}}]
            }
        }
    }
}
COUNT = "flask_http_request_duration_seconds_count"


def relabel(plan: Plan, labels: dict[str, str]) -> dict[str, str] | None:
    """Return the labels of a series after the generated rules, None for one that is dropped.

    It does what Prometheus does: every rule in turn, with anchored expressions.
    """
    document = yaml.safe_load(relabelling.render(plan)[relabelling.FILE])
    for rule in document["metric_relabel_configs"]:
        text = ";".join(labels.get(name, "") for name in rule["source_labels"])
        if not re.fullmatch(rule["regex"], text):
            continue
        if rule.get("action") == "drop":
            return None
        labels = labels | {rule["target_label"]: rule["replacement"]}
    return labels


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/orders/17", "/orders/<int:order_id>"),
        ("/orders/new", "/orders/new"),
        ("/files/v1.0/a b.csv", "/files/v1.0/<int:name>.csv"),
        ("/files/v1x0/a.csv", None),
        ("/files/v1.0/a/b.csv", None),
        ("/orders/seventeen", None),
        ("/orders/17/", None),
        ("/orders", None),
        ("/wp-login.php", None),
    ],
)
def test_concrete_paths_get_the_template_of_their_route(
    files: Callable[..., tuple[object, object]], path: str, template: str | None
) -> None:
    """The path stays beside it, so that two orders are two series; what no route has is dropped."""
    plan = load_plan(*files(CATALOGUE), contract=CONTRACT)
    series = {"__name__": COUNT, "method": "GET", "path": path, "status": "200"}
    expected = series | {"url_rule": template} if template else None
    assert relabel(plan, series) == expected


def test_other_metrics_are_left_alone(plan_of: Callable[..., Plan]) -> None:
    """Neither those of other names, nor those that have templates already."""
    plan = plan_of(CATALOGUE)
    for series in (
        {"__name__": "flask_http_request_exceptions_total", "method": "GET"},
        {"__name__": f"{COUNT}er", "path": "/orders/17"},
        {"__name__": COUNT, "url_rule": "/orders/new", "method": "GET"},
    ):
        assert relabel(plan, series) == series


def test_metrics_with_templates_need_no_rules(plan: Plan) -> None:
    """No file is written for them."""
    assert relabelling.render(plan) == {}
