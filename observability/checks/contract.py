"""Check `contract`: the catalogue's routes are the operations of the OpenAPI document."""

from collections.abc import Iterator

from observability.lib.json_object import Json
from observability.spec.plan import Plan
from observability.spec.problems import Problem
from observability.spec.schema.fields import Http

METHODS = {"get", "post", "put", "patch", "delete"}
Operations = dict[Http, Json]
WHERE = "catalogue.yaml: routes"


def list_operations(openapi: Json) -> Operations:
    """Return the document's operation objects by method and path."""
    operations = {}
    for path, item in openapi.get("paths", {}).items():
        for method, operation in item.items():
            if method in METHODS:
                operations[Http(method.upper(), path)] = operation
    return operations


def check(plan: Plan, openapi: Json) -> list[Problem]:
    """Return routes without operation, operations without route, and bodies without example."""
    operations = list_operations(openapi)
    return [*check_routes(plan, operations), *check_unwatched(plan, operations)]


def check_routes(plan: Plan, operations: Operations) -> Iterator[Problem]:
    """Yield routes that the app does not serve, and loaded ones without an example body."""
    for route in plan.routes:
        where = f"{WHERE}.{route.id}"
        if route.http not in operations:
            fix = "correct `http:`, or add the view and run make generate"
            yield contract_problem(where, f"{route.http} is not in the app", fix)
        elif route.load.weight and lacks_example(operations[route.http]):
            message = "has load, but no example body in api/openapi.json"
            fix = "give its schema an example in api/v1, then make generate"
            yield contract_problem(where, message, fix)


def check_unwatched(plan: Plan, operations: Operations) -> Iterator[Problem]:
    """Yield operations that are neither watched nor exempt."""
    for http in sorted(operations.keys() - plan.route_ids.keys()):
        message = f"{http} is served, but watched by nothing"
        yield contract_problem(WHERE, message, "declare it under routes, or under exempt")


def contract_problem(where: str, message: str, fix: str) -> Problem:
    """Return a problem of this check."""
    return Problem(where, message, fix, "contract")


def lacks_example(operation: Json) -> bool:
    """Return whether a kind of request body has no example."""
    content = operation.get("requestBody", {}).get("content", {})
    return any("example" not in media for media in content.values())
