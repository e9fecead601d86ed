"""Check `contract`: the catalogue's routes are the operations of the OpenAPI document."""

from collections.abc import Iterator
from typing import Any

from observability.generate.locust import choose_content_type, is_json, list_successes
from observability.lib.json_object import Json
from observability.spec.load_resources import is_sent
from observability.spec.load_terms import FORM
from observability.spec.plan import Plan, Route
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
    """Yield routes that the app does not serve, and those whose load cannot be sent."""
    for route in plan.routes:
        where = f"{WHERE}.{route.id}"
        if route.http not in operations:
            fix = "correct `http:`, or add the view and run make generate"
            yield contract_problem(where, f"{route.http} is not in the app", fix)
        elif is_sent(route.load):
            yield from check_request(route, operations[route.http], where)


def check_request(route: Route, operation: Json, where: str) -> Iterator[Problem]:
    """Yield what a load run cannot know of a request: it sends the contract's examples."""
    fix = "give its schema an example in api/v1, then make generate"
    content = operation.get("requestBody", {}).get("content", {})
    if any("example" not in media for media in content.values()):
        yield contract_problem(where, "has load, but no example body in api/openapi.json", fix)
        return
    for parameter in operation.get("parameters", []):
        if not parameter.get("required"):
            continue
        place = parameter["in"]
        name = f"required {place} parameter {parameter['name']!r}"
        if place == "query" and "example" not in parameter:
            message = f"has load, but no example of its {name} in api/openapi.json"
            yield contract_problem(where, message, f"{fix}; or set `load: {{weight: 0}}`")
        elif place in ("header", "cookie"):
            message = f"has load, but load runs do not send its {name}"
            yield contract_problem(where, message, "make it optional, or set `load: {weight: 0}`")
    content_type = choose_content_type(content)
    if content_type and not (is_json(content_type) or content_type == FORM):
        message = f"has load, but load runs do not send bodies of {content_type}"
        yield contract_problem(where, message, "set `load: {weight: 0}`")
        return
    body = content[content_type]["example"] if content_type else None
    for field in route.load.vary:
        if not has_field(body, field.split(".")):
            message = f"`vary` names {field!r}, which the example body does not have"
            yield contract_problem(where, message, "correct `load.vary`, or the example in api/v1")
    yield from check_response(route, operation, where)


def check_response(route: Route, operation: Json, where: str) -> Iterator[Problem]:
    """Yield what a load run expects of a response and the contract does not promise."""
    successes = [operation["responses"][str(code)] for code in list_successes(operation)]
    if not successes:
        message = "has load, but api/openapi.json promises no status 2xx, so all would fail"
        yield contract_problem(where, message, "document its response, then make generate")
    for field in route.load.provides.values():
        examples = [
            media["example"]
            for response in successes
            for media in response.get("content", {}).values()
            if "example" in media
        ]
        if examples and not any(has_field(example, [field]) for example in examples):
            message = f"`provides` names {field!r}, which no example of its response has"
            yield contract_problem(
                where, message, "correct `load.provides`, or the example in api/v1"
            )


def check_unwatched(plan: Plan, operations: Operations) -> Iterator[Problem]:
    """Yield operations that are neither watched nor exempt."""
    for http in sorted(operations.keys() - plan.route_ids.keys()):
        message = f"{http} is served, but watched by nothing"
        yield contract_problem(WHERE, message, "declare it under routes, or under exempt")


def contract_problem(where: str, message: str, fix: str) -> Problem:
    """Return a problem of this check."""
    return Problem(where, message, fix, "contract")


def has_field(value: Any, path: list[str]) -> bool:
    """Return whether mappings have the field at a path; a list means each of its elements."""
    if isinstance(value, list):
        return all(has_field(element, path) for element in value)
    if not path:
        return True
    return isinstance(value, dict) and path[0] in value and has_field(value[path[0]], path[1:])
