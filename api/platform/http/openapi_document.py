"""The OpenAPI document: smorest's, completed with what all operations have in common."""

import copy
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from marshmallow import fields

from api.platform.http import errors, idempotency
from api.platform.http.response_headers import DOCUMENTED, REPLAYED, RETRY_AFTER
from api.platform.types import JsonObject
from observability.spec.plan import Plan
from observability.spec.schema.fields import Http

METHODS = ("get", "post", "put", "patch", "delete")
RETRY_STATUSES = (429, 503, 504)
MEANINGS = {
    400: "The body is not valid JSON, is nested too deeply, or is not expected here",
    401: "The API key is missing, unknown, revoked or expired",
    403: "The scope of the API key is not sufficient",
    404: "The resource does not exist",
    409: "The request conflicts with a stored resource, or with a request that is still running",
    413: "The body is larger than the server accepts",
    415: "The body is not application/json in UTF-8, or has a Content-Encoding",
    422: (
        "A parameter or a field is unknown, missing, repeated or out of range; `errors` lists them"
    ),
    429: "Rate limit exceeded; retry after Retry-After",
    500: "Internal error",
    503: "A dependency is unavailable; retry after Retry-After",
    504: "The upstream service did not respond before the request deadline",
}
EXAMPLE_REQUEST_ID = "0f8fad5bd9cb469fa165"


def operations(document: JsonObject) -> Iterator[tuple[Http, JsonObject]]:
    """Yield method and path of each operation with the operation."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield Http(method.upper(), path), item[method]


def complete(document: JsonObject, plan: Plan) -> JsonObject:
    """Return a copy of smorest's document with operation ids, shared responses and deprecations."""
    document = copy.deepcopy(document)
    components = document["components"]
    components["headers"] = DOCUMENTED
    # No operation uses what smorest adds.
    del components["schemas"]["PaginationMetadata"]
    components.pop("responses", None)
    routes = {route.http: route for route in plan.routes}
    for http, operation in operations(document):
        operation["operationId"] = plan.route_ids.get(http, str(http))
        route = routes.get(http)
        complete_responses(operation, common_errors(http, operation, bool(route)))
        if any(
            parameter["name"] == idempotency.HEADER for parameter in operation.get("parameters", ())
        ):
            document_repeats(operation["responses"])
        if route and route.deprecated:
            operation["deprecated"] = True
            if route.deprecated.sunset:
                operation["x-sunset"] = str(route.deprecated.sunset)
    return document


def document_repeats(responses: JsonObject) -> None:
    """Add the headers of responses to a repeated Idempotency-Key."""
    responses["409"]["headers"][RETRY_AFTER] = {"$ref": f"#/components/headers/{RETRY_AFTER}"}
    for status, response in responses.items():
        if status.startswith("2"):
            response["headers"][REPLAYED] = {
                "schema": {"type": "string"},
                "description": "`true` if this is the stored response to an earlier request",
            }


def common_errors(http: Http, operation: JsonObject, is_watched: bool) -> Iterator[int]:
    """Yield the error statuses that a view need not declare.

    Health, which the Plan exempts, declares its own 503.
    """
    yield from (400, 422, 429, 500)
    if is_watched:
        yield 503
    if "{" in http.path:
        yield 404
    if "requestBody" in operation:
        yield from (413, 415)


def complete_responses(operation: JsonObject, statuses: Iterable[int]) -> None:
    """Add responses with these statuses, and headers and examples to all responses."""
    responses = operation["responses"]
    for status in statuses:
        media_type = {"schema": {"$ref": "#/components/schemas/Problem"}}
        responses[str(status)] = {"content": {errors.PROBLEM_JSON: media_type}}
    for status, response in responses.items():
        complete_response(HTTPStatus(int(status)), response)
    operation["responses"] = dict(sorted(responses.items()))


def complete_response(status: HTTPStatus, response: JsonObject) -> None:
    """Add the headers of every response; add description and example to an error."""
    headers = {
        name: {"$ref": f"#/components/headers/{name}"}
        for name in DOCUMENTED
        if name != RETRY_AFTER or status in RETRY_STATUSES
    }
    response["headers"] = response.get("headers", {}) | headers
    media_type = response.get("content", {}).get(errors.PROBLEM_JSON)
    if media_type:
        description = MEANINGS.get(status, status.phrase)
        response["description"] = description
        media_type["example"] = errors.members(status, f"{description}.", EXAMPLE_REQUEST_ID)


def describe_map(converter: Any, field: fields.Field[Any], ret: JsonObject) -> JsonObject:
    """Return the JSON schema of a map's size and keys; {} for other fields.

    apispec writes limits of a text instead, into `ret`, and leaves the keys out.
    """
    if not isinstance(field, fields.Dict):
        return {}
    limits = {}
    for bound in ("min", "max"):
        if f"{bound}Length" in ret:
            limits[f"{bound}Properties"] = ret.pop(f"{bound}Length")
    if field.key_field and field.key_field.validators:
        limits["propertyNames"] = converter.field2pattern(field.key_field)
    return limits
