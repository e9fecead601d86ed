"""Helpers of the compiler's tests."""

from pathlib import Path
from typing import Any

import yaml

from observability.devstack import binaries
from observability.devstack.layout import servers_folder
from observability.lib import scope
from observability.spec import names
from observability.spec.plan import Plan, Slo

SERVICE = Path(__file__).parent / "service" / "catalogue.yaml"
CONTRACT = SERVICE.with_name("openapi.json")
SMALL = """
service: small
owner: platform
period: 30d
defaults: {availability: 99.9, latency: [], rate_limit: 10/second, load: {weight: 1}}
routes:
  things.list: {http: GET /things/, next_steps: [Look at it.]}
probe: {every: 5s, fresh_within: 12s, objective: 99.9, routes: [], next_steps: [Look at it.]}
"""
ROUTES = "".join(
    f"  things.r{n}: {{http: GET /things/{n}, next_steps: [Look at it.]}}\n" for n in range(50)
)
MANY = SMALL.replace("  things.list: {http: GET /things/, next_steps: [Look at it.]}\n", ROUTES)


def changed(text: str, *edits: tuple[str, str]) -> str:
    """Return `text` with passages replaced, each of which must occur exactly once."""
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} stands there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def program(name: str) -> str:
    """Return the path of a server's tool; fail if it is missing."""
    found = binaries.find_server(name, servers_folder())
    assert found, f"{name} is missing; unpack it with: python -m observability fetch"
    return str(found)


def openapi_for(plan: Plan) -> dict[str, Any]:
    """Return a contract that serves exactly the plan's routes."""
    document: dict[str, Any] = {"paths": {}}
    for http in plan.route_ids:
        operations = document["paths"].setdefault(http.path, {})
        operations[http.method.lower()] = {"responses": {"200": {}}}
    return document


def slo_of(plan: Plan, name: str) -> Slo:
    """Return the SLO of that name; raise KeyError if there is none."""
    return {slo.name: slo for slo in plan.slos}[name]


def exposed_case(plan: Plan, inputs: dict[str, str], *questions: tuple[str, list[str]]) -> str:
    """Return a promtool file with series of one sample per 5 s, and questions asked after 20 min.

    A question is an expression, and for each of its samples the SLO and the value.
    """
    tests = [
        {
            "expr": expr,
            "eval_time": "20m",
            "exp_samples": [
                {"labels": f'{{slo="{slo}"}}', "value": float(value)}
                for slo, value in (sample.split("=") for sample in samples)
            ],
        }
        for expr, samples in questions
    ]
    document = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "5s",
        "group_eval_order": [scope.group_name(plan, group) for group in names.GROUPS],
        "tests": [
            {
                "interval": "5s",
                "input_series": [
                    {"series": scope.exposed(plan, series), "values": values}
                    for series, values in inputs.items()
                ],
                "promql_expr_test": tests,
            }
        ],
    }
    return yaml.safe_dump(document)
