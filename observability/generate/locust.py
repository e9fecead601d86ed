"""Plan and OpenAPI examples → the load scenarios that loadtests/locustfile.py interprets; pure."""

import json
import re
from typing import Any

from observability.lib.json_object import Json
from observability.spec.load_resources import (
    Created,
    consumed_parameter,
    is_sent,
    list_available,
    list_created,
    list_needed,
    rank_routes,
)
from observability.spec.load_terms import FORM, JSON
from observability.spec.plan import Plan, Route, Slo

SCENARIOS = "scenarios.json"


def render(plan: Plan, openapi: Json) -> dict[str, str]:
    """Return the file; examples of `openapi`, the committed contract, become request bodies."""
    available = list_available(plan.routes)
    ranks = rank_routes(plan.routes)
    scenarios = [
        scenario(route, available, openapi) | {"rank": ranks.get(route.http, len(ranks))}
        for route in plan.routes
        if is_sent(route.load)
    ]
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in scenarios)
    service = json.dumps(plan.service)
    return {SCENARIOS: f'{{"service": {service}, "scenarios": [\n{lines}\n]}}\n'}


def scenario(route: Route, available: list[Created], openapi: Json) -> Json:
    """Return what to send to a route, which status is good, and the SLOs that judge the run.

    `available` has what other routes create.
    """
    operation = openapi.get("paths", {}).get(route.http.path, {}).get(route.http.method.lower(), {})
    content = operation.get("requestBody", {}).get("content", {})
    content_type = choose_content_type(content)
    return {
        "id": route.id,
        "method": route.http.method,
        "path": route.http.path,
        "weight": route.load.weight,
        "body": content[content_type].get("example") if content_type else None,
        "content_type": content_type,
        "vary": dict(route.load.vary),
        "query": required_query(operation),
        "provides": [new._asdict() for new in list_created(route.http, route.load)],
        "needs": {
            parameter: need._asdict()
            for parameter, need in list_needed(route.http, route.load, available).items()
        },
        "consumes": consumed_parameter(route.http, route.load),
        "fixed": dict(route.load.fixed),
        "expect": list_successes(operation),
        "objectives": [objective(slo) for slo in route.slos],
    }


def choose_content_type(content: Json) -> str | None:
    """Return the content type of a request's body: JSON, else the first that can be sent."""
    types = [name for name in content if is_json(name) or name == FORM]
    return next(iter([*filter(is_json, types), *types, *content]), None)


def is_json(content_type: str) -> bool:
    """Return whether a body of the content type is JSON."""
    return content_type == JSON or content_type.endswith("+json")


def list_successes(operation: Json) -> list[int]:
    """Return the statuses 2xx of a contract's operation."""
    return sorted(
        int(code) for code in operation.get("responses", {}) if re.fullmatch(r"2\d\d", code)
    )


def required_query(operation: Json) -> Json:
    """Return the contract's examples of the query parameters that a request must have."""
    return {
        parameter["name"]: write_query(parameter["example"])
        for parameter in operation.get("parameters", [])
        if parameter.get("in") == "query" and parameter.get("required") and "example" in parameter
    }


def write_query(value: Any) -> Any:
    """Return a value as a query has it: `true`, which Python would write `True`."""
    return json.dumps(value) if isinstance(value, bool) else value


def objective(slo: Slo) -> Json:
    """Return an SLO; `within` is the slowest good answer in seconds, where durations are judged.

    `events_needed` is the number of events below which there is no verdict.
    """
    return {
        "slo": slo.name,
        "objective": float(slo.objective),
        "within": float(slo.threshold.seconds) if slo.threshold else None,
        "kind": slo.sli,
        "events_needed": slo.events_needed,
    }
