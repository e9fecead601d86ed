"""The OpenAPI document: what smorest makes of the views, completed with what no view says."""

import copy
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from marshmallow import fields

from api.platform.http import errors
from api.platform.types import JsonObject
from observability.spec.plan import Plan
from observability.spec.schema.fields import Http

METHODS = ("get", "post", "put", "patch", "delete")
SHARED_STATUSES = (400, 422, 429, 500)
ROUTE_STATUSES = (*SHARED_STATUSES, 503)  # health, which is no route of the Plan, has its own 503
RETRY_STATUSES = (429, 503, 504)
MEANINGS = {
    400: "The body is not JSON, is nested too deep, or stands where none belongs",
    401: "No key was sent, or one that is not known here, was revoked or has expired",
    403: "The key is of a lower scope than this needs",
    404: "What the URL names is not there",
    409: "What the URL or the body names is there already",
    413: "The body is larger than the server takes",
    415: "The body is not application/json in UTF-8 without Content-Encoding",
    422: (
        "A parameter or a field is unknown, missing, given twice or out of range;"
        " `errors` says which"
    ),
    429: "Asked too often; wait for Retry-After",
    500: "Something broke on our side",
    503: (
        "What this needs does not answer in time; nothing was stored, try again after Retry-After"
    ),
    504: "What this asks did not answer in the time that a request has",
}
HEADERS = {
    "X-Request-ID": {
        "schema": {"type": "string"},
        "description": (
            "Find the request's log line by this; a well-formed one that was sent is kept"
        ),
    },
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait"},
    "X-RateLimit-Limit": {
        "schema": {"type": "integer"},
        "description": "Requests that one client may send per window",
    },
    "X-RateLimit-Remaining": {
        "schema": {"type": "integer"},
        "description": "Requests left in this window",
    },
    "X-RateLimit-Reset": {
        "schema": {"type": "integer"},
        "description": "When the window ends, in Unix seconds",
    },
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
    components["headers"] = HEADERS
    del components["schemas"]["PaginationMetadata"]  # smorest adds it, no operation uses it
    routes = {route.http: route for route in plan.routes}
    for http, operation in operations(document):
        operation["operationId"] = plan.route_ids.get(http, str(http))
        route = routes.get(http)
        if not route:
            complete_responses(operation, SHARED_STATUSES)
            continue
        complete_responses(operation, ROUTE_STATUSES)
        if route.deprecated:
            operation["deprecated"] = True
            if route.deprecated.sunset:
                operation["x-sunset"] = str(route.deprecated.sunset)
    return document


def complete_responses(operation: JsonObject, statuses: tuple[int, ...]) -> None:
    """Add the responses with these statuses, and what no view says to all responses."""
    responses = operation["responses"]
    for status in statuses:
        media_type = {"schema": {"$ref": "#/components/schemas/Problem"}}
        responses.setdefault(str(status), {"content": {errors.PROBLEM_JSON: media_type}})
    for status, response in responses.items():
        complete_response(HTTPStatus(int(status)), response)
    operation["responses"] = dict(sorted(responses.items()))


def complete_response(status: HTTPStatus, response: JsonObject) -> None:
    """Add the headers of every response; add description and example to an error."""
    headers = {
        name: {"$ref": f"#/components/headers/{name}"}
        for name in HEADERS
        if name != "Retry-After" or status in RETRY_STATUSES
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
