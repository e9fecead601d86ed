"""The check `contract`: the catalogue and the API name the same operations."""

import copy
from typing import Any

from observability.checks import contract
from observability.spec.plan import Plan


def test_the_committed_contract_has_no_problem(plan: Plan, openapi: dict[str, Any]) -> None:
    """The committed catalogue and contract have no problem."""
    assert contract.check(plan, openapi) == []


def test_route_that_the_app_lacks_is_a_problem(plan: Plan, openapi: dict[str, Any]) -> None:
    """The problem names the route and the fix."""
    document = copy.deepcopy(openapi)
    del document["paths"]["/api/v1/orders"]["post"]
    [problem] = contract.check(plan, document)
    assert problem.where == "catalogue.yaml: routes.orders.create"
    assert problem.message == "POST /api/v1/orders is not in the app"
    assert problem.fix == "correct `http:`, or add the view and run make generate"
    assert problem.check == "contract"


def test_operation_without_a_catalogue_entry_is_a_problem(
    plan: Plan, openapi: dict[str, Any]
) -> None:
    """A new view, and another method on a known path."""
    document = copy.deepcopy(openapi)
    document["paths"]["/api/v1/new"] = {"get": {"responses": {}}, "parameters": []}
    document["paths"]["/api/v1/orders"]["delete"] = {"responses": {}}
    problems = contract.check(plan, document)
    assert [p.message for p in problems] == [
        "DELETE /api/v1/orders is served, but watched by nothing",
        "GET /api/v1/new is served, but watched by nothing",
    ]
    assert {p.fix for p in problems} == {"declare it under routes, or under exempt"}


def test_body_without_an_example_is_a_problem(plan: Plan, openapi: dict[str, Any]) -> None:
    """Load runs send the example."""
    document = copy.deepcopy(openapi)
    for media in document["paths"]["/api/v1/orders"]["post"]["requestBody"]["content"].values():
        del media["example"]
    [problem] = contract.check(plan, document)
    assert (problem.where, problem.message) == (
        "catalogue.yaml: routes.orders.create",
        "has load, but no example body in api/openapi.json",
    )


def test_unknown_parts_of_a_request_with_load_are_named(
    plan: Plan, openapi: dict[str, Any]
) -> None:
    """A load run would only get refusals; so `check` says which part of the request is unknown."""
    document = copy.deepcopy(openapi)
    listing = document["paths"]["/api/v1/orders"]["get"]
    listing["parameters"] = [
        {"in": "query", "name": "day", "required": True},
        {"in": "query", "name": "page", "required": True, "example": 1},
        {"in": "header", "name": "X-Tenant", "required": True, "example": "a"},
        {"in": "query", "name": "kind"},
    ]
    listing["responses"] = {"default": {}, "400": {}}
    assert [problem.message for problem in contract.check(plan, document)] == [
        "has load, but no example of its required query parameter 'day' in api/openapi.json",
        "has load, but load runs do not send its required header parameter 'X-Tenant'",
        "has load, but api/openapi.json promises no status 2xx, so all would fail",
    ]


def test_varied_field_that_the_example_lacks_is_named(plan: Plan, openapi: dict[str, Any]) -> None:
    """Otherwise every client would raise an exception, or send a field that the API refuses."""
    document = copy.deepcopy(openapi)
    path = "/api/v1/orders/{order_id}/parcels"
    media = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    del media["example"]["parcels"][0]["time"]
    [problem] = contract.check(plan, document)
    assert problem.where == "catalogue.yaml: routes.parcels.ingest"
    message = "`vary` names 'parcels.time', which the example body does not have"
    assert problem.message == message


def test_body_that_load_runs_cannot_send_is_named(plan: Plan, openapi: dict[str, Any]) -> None:
    """They send JSON and forms; a service refuses anything else with 415."""
    document = copy.deepcopy(openapi)
    body = document["paths"]["/api/v1/orders"]["post"]["requestBody"]
    [media] = body["content"].values()
    for content_type in ("application/merge-patch+json", "application/x-www-form-urlencoded"):
        body["content"] = {"image/png": media, content_type: media}
        assert contract.check(plan, document) == []
    body["content"] = {"image/png": media}
    [problem] = contract.check(plan, document)
    assert problem.message == "has load, but load runs do not send bodies of image/png"


def test_provided_field_that_no_response_has_is_named(plan: Plan, openapi: dict[str, Any]) -> None:
    """Otherwise every creation would count as a failure of the service."""
    document = copy.deepcopy(openapi)
    response = document["paths"]["/api/v1/orders"]["post"]["responses"]["201"]
    response["content"] = {"application/json": {"example": {"id": 1}}}
    assert contract.check(plan, document) == []
    response["content"]["application/json"]["example"] = {"order": {"id": 1}}
    [problem] = contract.check(plan, document)
    assert problem.where == "catalogue.yaml: routes.orders.create"
    assert problem.message == "`provides` names 'id', which no example of its response has"


def test_range_of_statuses_is_no_promise(plan: Plan, openapi: dict[str, Any]) -> None:
    """Load runs judge by single statuses, so `2XX` would make every response a failure."""
    document = copy.deepcopy(openapi)
    document["paths"]["/api/v1/orders"]["get"]["responses"] = {"2XX": {}}
    [problem] = contract.check(plan, document)
    assert problem.message.startswith("has load, but api/openapi.json promises no status 2xx")
