"""Load scenarios: bodies come from the contract, weights and objectives from the catalogue."""

import copy
import json
from collections.abc import Callable
from typing import Any

from observability.generate import locust
from observability.spec.plan import Plan


def scenarios(plan: Plan, openapi: dict[str, Any]) -> dict[str, dict[str, Any]]:
    listed = json.loads(locust.render(plan, openapi)[locust.SCENARIOS])["scenarios"]
    return {entry["id"]: entry for entry in listed}


def test_every_loaded_route_has_a_scenario(plan: Plan, openapi: dict[str, Any]) -> None:
    """Weights are those of the catalogue, defaults included."""
    scenario_by_id = scenarios(plan, openapi)
    assert {name: entry["weight"] for name, entry in scenario_by_id.items()} == {
        route.id: route.load.weight for route in plan.routes
    }
    assert scenario_by_id["parcels.ingest"]["weight"] == 50


def test_bodies_are_the_contracts_examples(plan: Plan, openapi: dict[str, Any]) -> None:
    """A request is what the API's own documentation shows; reading ones have no body."""
    scenario_by_id = scenarios(plan, openapi)
    for name, entry in scenario_by_id.items():
        operation = openapi["paths"][entry["path"]][entry["method"].lower()]
        content = operation.get("requestBody", {}).get("content", {})
        assert entry["body"] == next((media["example"] for media in content.values()), None), name
        assert (entry["body"] is None) == (entry["content_type"] is None)
    assert scenario_by_id["orders.create"]["body"]


def test_expected_statuses_are_the_contracts_successes(plan: Plan, openapi: dict[str, Any]) -> None:
    """Only the contract's success statuses are expected."""
    scenario_by_id = scenarios(plan, openapi)
    assert scenario_by_id["orders.create"]["expect"] == [201]
    assert all(
        entry["expect"] and all(200 <= code < 300 for code in entry["expect"])
        for entry in scenario_by_id.values()
    )


def test_runs_are_judged_by_the_same_objectives(plan: Plan, openapi: dict[str, Any]) -> None:
    """Each SLO of a route is in its scenario, with the limit in seconds where there is one."""
    for route in plan.routes:
        entry = scenarios(plan, openapi)[route.id]
        assert [row["slo"] for row in entry["objectives"]] == [slo.name for slo in route.slos]
    assert scenarios(plan, openapi)["orders.list"]["objectives"] == [
        {
            "slo": "orders.list-availability",
            "objective": 0.999,
            "within": None,
            "kind": "availability",
            "events_needed": 1000,
        },
        {
            "slo": "orders.list-latency-200ms",
            "objective": 0.95,
            "within": 0.2,
            "kind": "latency",
            "events_needed": 20,
        },
        {
            "slo": "orders.list-latency-1s",
            "objective": 0.995,
            "within": 1.0,
            "kind": "latency",
            "events_needed": 200,
        },
    ]


def test_parameters_come_from_the_catalogue(plan: Plan, openapi: dict[str, Any]) -> None:
    """Which routes create and remove resources, and which fields differ between requests."""
    scenario_by_id = scenarios(plan, openapi)
    create, delete = scenario_by_id["orders.create"], scenario_by_id["orders.delete"]
    resource = "/api/v1/orders/{}"
    assert create["provides"] == [{"resource": resource, "field": "id", "below": []}]
    assert create["vary"] == {"id": "unique"}
    assert delete["consumes"] == "order_id"
    assert delete["needs"] == {"order_id": {"resource": resource, "fills": ["order_id"]}}


def test_required_query_has_the_contracts_example(plan: Plan, openapi: dict[str, Any]) -> None:
    """A request without a required parameter would be refused."""
    document = copy.deepcopy(openapi)
    document["paths"]["/api/v1/orders"]["get"]["parameters"] = [
        {"in": "query", "name": "day", "required": True, "example": "2026-03-01"},
        {"in": "query", "name": "page", "example": 1},
        {"in": "query", "name": "all", "required": True, "example": True},
    ]
    query = scenarios(plan, document)["orders.list"]["query"]
    assert query == {"day": "2026-03-01", "all": "true"}


def test_fixed_resource_is_in_the_scenario(
    plan_of: Callable[..., Plan], openapi: dict[str, Any]
) -> None:
    """Where only some resources have a response, the catalogue names one."""
    fixed_plan = plan_of((("vary: {parcels.time: now}}", "fixed: {order_id: main-branch}}"),))
    assert scenarios(fixed_plan, openapi)["parcels.ingest"]["fixed"] == {"order_id": "main-branch"}
    assert scenarios(fixed_plan, openapi)["orders.get"]["fixed"] == {}


def test_route_missing_in_the_contract_has_no_body(plan: Plan) -> None:
    """Rendering succeeds; `check` reports the route."""
    entry = scenarios(plan, {})["orders.create"]
    assert (entry["body"], entry["content_type"], entry["expect"]) == (None, None, [])


def test_json_is_preferred_to_other_bodies(plan: Plan, openapi: dict[str, Any]) -> None:
    """The body is the example of the content type that it is sent with."""
    document = copy.deepcopy(openapi)
    content = document["paths"]["/api/v1/orders"]["post"]["requestBody"]["content"]
    [media] = content.values()
    content.clear()
    content |= {"image/png": {"example": "p"}, "application/merge-patch+json": media}
    entry = scenarios(plan, document)["orders.create"]
    assert (entry["content_type"], entry["body"]) == (
        "application/merge-patch+json",
        media["example"],
    )


def test_delete_removes_what_its_path_ends_with(
    plan_of: Callable[..., Plan], openapi: dict[str, Any]
) -> None:
    """Without `consumes`, too: other requests for the resource would get 404."""
    silent = plan_of((("weight: 1, consumes: order_id", "weight: 1"),))
    assert scenarios(silent, openapi)["orders.delete"]["consumes"] == "order_id"
    fixed = plan_of((("weight: 1, consumes: order_id", "weight: 1, fixed: {order_id: a}"),))
    assert scenarios(fixed, openapi)["orders.delete"]["consumes"] is None
