"""Plan and OpenAPI examples → the load scenarios that loadtests/locustfile.py interprets; pure."""

import json
import re

from observability.lib.json_object import Json
from observability.spec.load_resources import (
    Created,
    is_sent,
    list_available,
    list_created,
    list_needed,
    rank_routes,
)
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
    text = json.dumps(
        {"service": plan.service, "scenarios": scenarios}, indent=2, ensure_ascii=False
    )
    return {SCENARIOS: text + "\n"}


def scenario(route: Route, available: list[Created], openapi: Json) -> Json:
    """Return what to send to a route, which status is good, and the SLOs that judge the run.

    `available` has what other routes create.
    """
    operation = openapi.get("paths", {}).get(route.http.path, {}).get(route.http.method.lower(), {})
    content = operation.get("requestBody", {}).get("content", {})
    body = next((media.get("example") for media in content.values()), None)
    return {
        "id": route.id,
        "method": route.http.method,
        "path": route.http.path,
        "weight": route.load.weight,
        "body": body,
        "content_type": next(iter(content), None),
        "vary": dict(route.load.vary),
        "query": required_query(operation),
        "provides": [new._asdict() for new in list_created(route.http, route.load)],
        "needs": {
            parameter: need._asdict()
            for parameter, need in list_needed(route.http, route.load, available).items()
        },
        "consumes": route.load.consumes,
        "fixed": dict(route.load.fixed),
        "expect": sorted(
            int(code) for code in operation.get("responses", {}) if re.fullmatch(r"2\d\d", code)
        ),
        "objectives": [objective(slo) for slo in route.slos],
    }


def required_query(operation: Json) -> Json:
    """Return the contract's examples of the query parameters that a request must have."""
    return {
        parameter["name"]: parameter["example"]
        for parameter in operation.get("parameters", [])
        if parameter.get("in") == "query" and parameter.get("required") and "example" in parameter
    }


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
