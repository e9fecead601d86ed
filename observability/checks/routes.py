"""Check `contract`: the catalogue's routes are the operations of the OpenAPI document."""

from typing import Any

from observability.spec.plan import Plan
from observability.spec.problems import Problem
from observability.spec.schema.fields import Http

Json = dict[str, Any]
METHODS = {"get", "post", "put", "patch", "delete"}
WHERE = "catalogue.yaml: routes"


def operations(openapi: Json) -> dict[Http, Json]:
    """Return (method, path) → operation object of the document."""
    return {
        Http(method.upper(), path): operation
        for path, item in openapi.get("paths", {}).items()
        for method, operation in item.items()
        if method in METHODS
    }


def check(plan: Plan, openapi: Json) -> list[Problem]:
    """Return routes without operation, operations without route, and bodies without example."""
    served = operations(openapi)
    problems = []
    for route in plan.routes:
        if route.http not in served:
            fix = (
                "correct `http:`, or add the view and run make generate; "
                f"the API serves {closest(route.http, served)}"
            )
            problems.append(
                Problem(f"{WHERE}.{route.id}", f"{route.http} is not in the app", fix, "contract")
            )
        elif route.load.weight and missing_example(served[route.http]):
            fix = "give its schema an example in api/v1, then make generate"
            problems.append(
                Problem(
                    f"{WHERE}.{route.id}",
                    "has load, but no example body in api/openapi.json",
                    fix,
                    "contract",
                )
            )
    for http in sorted(served.keys() - plan.route_ids.keys()):
        problems.append(
            Problem(
                WHERE,
                f"{http} is served, but watched by nothing",
                "declare it under routes, or under exempt",
                "contract",
            )
        )
    return problems


def missing_example(operation: Json) -> bool:
    content = operation.get("requestBody", {}).get("content", {})
    return any("example" not in media for media in content.values())


def closest(http: Http, served: dict[Http, Json]) -> str:
    """Return the operations on the same path, or else all."""
    same = [str(other) for other in served if other.path == http.path]
    return ", ".join(sorted(same or map(str, served)))
