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
