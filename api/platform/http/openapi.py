"""The published OpenAPI document: it restricts requests, and marks deprecated routes."""

from datetime import UTC, date, datetime, time

from flask import Flask, Response, abort, request
from flask_smorest import abort as abort_with_messages
from werkzeug.http import http_date

from api.platform.http import openapi_document
from api.platform.state import app_state
from api.platform.telemetry import metrics
from api.platform.types import Headers, JsonObject
from observability.spec.plan import Plan
from observability.spec.schema.catalogue import DeprecationEntry


def refuse_unknown_input() -> None:
    """Answer 422 to unknown and repeated parameters, and 400 to a body that has no schema."""
    operation = app_state().operations.get(metrics.current_route())
    if not operation:
        return
    errors = query_errors(operation)
    if errors:
        abort_with_messages(422, messages={"query": errors})
    has_body = request.content_length or "Transfer-Encoding" in request.headers
    if has_body and "requestBody" not in operation:
        abort(400, "This operation accepts no body.")


def query_errors(operation: JsonObject) -> dict[str, list[str]]:
    """Return the errors of the query by parameter."""
    parameters = operation.get("parameters", ())
    known = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    errors = {}
    for name, values in request.args.lists():
        if name not in known:
            errors[name] = ["Unknown field."]
        elif len(values) > 1:
            errors[name] = ["Must not be repeated."]
    return errors


def init_app(app: Flask, document: JsonObject, plan: Plan) -> None:
    """Publish smorest's document, completed; call it when all routes exist."""
    state = app_state(app)
    state.document = openapi_document.complete(document, plan)
    state.operations = {
        operation["operationId"]: operation
        for _, operation in openapi_document.operations(state.document)
    }
    state.deprecations = {
        route.id: deprecation_headers(route.deprecated) for route in plan.routes if route.deprecated
    }


def deprecation_headers(deprecated: DeprecationEntry) -> Headers:
    """Return the headers of a deprecated route (RFC 9745, RFC 8594, RFC 5829)."""
    links = ['</docs>; rel="deprecation"; type="text/html"']
    if deprecated.successor:
        links.append(f'<{deprecated.successor}>; rel="successor-version"')
    headers = {"Deprecation": f"@{unix_seconds(deprecated.since)}", "Link": ", ".join(links)}
    if deprecated.sunset:
        headers["Sunset"] = http_date(unix_seconds(deprecated.sunset))
    return headers


def unix_seconds(day: date) -> int:
    """Return the start of the day in UTC."""
    start = datetime.combine(day, time(), UTC)
    return int(start.timestamp())


def add_deprecation_headers(response: Response) -> Response:
    """Add the headers of a deprecated route."""
    headers = app_state().deprecations.get(metrics.current_route())
    if headers:
        response.headers.update(headers)
    return response
