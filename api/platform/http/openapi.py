"""The published OpenAPI document, and what it means for requests and for deprecated routes."""

from datetime import UTC, date, datetime, time
from typing import Any

from flask import Flask, Response, abort, request
from flask_smorest import abort as abort_with_messages
from werkzeug.http import http_date

from api.platform.http import openapi_document
from api.platform.state import app_state
from api.platform.telemetry import metrics
from observability.spec.plan import Plan
from observability.spec.schema.catalogue import DeprecationEntry
from observability.spec.schema.fields import Http

Node = dict[str, Any]  # an object of the document


class Operations:
    """The document's operations by method and URL rule."""

    def __init__(self, app: Flask, document: Node):
        by_http = dict(openapi_document.operations(document))
        self._by_rule: dict[tuple[str, str], Node] = {}
        for rule in app.url_map.iter_rules():
            path = metrics.openapi_path(rule.rule)
            for method in rule.methods or ():
                documented_method = method.replace("HEAD", "GET")
                http = Http(documented_method, path)
                if http in by_http:
                    self._by_rule[method, rule.rule] = by_http[http]

    def current(self) -> Node | None:
        """Return the operation of the current request; None outside the contract."""
        if not request.url_rule:
            return None
        return self._by_rule.get((request.method, request.url_rule.rule))


def refuse_unknown_input() -> None:
    """Answer 422 to unknown and repeated parameters, and 400 to a body that has no schema."""
    operation = app_state().operations.current()
    if not operation:
        return
    errors = query_errors(operation)
    if errors:
        abort_with_messages(422, messages={"query": errors})
    has_body = request.content_length or "Transfer-Encoding" in request.headers
    if has_body and "requestBody" not in operation:
        abort(400, "This operation takes no body.")


def query_errors(operation: Node) -> dict[str, list[str]]:
    """Return what is wrong with the query by parameter."""
    parameters = operation.get("parameters", ())
    known = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    errors = {}
    for name, values in request.args.lists():
        if name not in known:
            errors[name] = ["Unknown field."]
        elif len(values) > 1:
            errors[name] = ["Given more than once."]
    return errors


def document(app: Flask) -> Node:
    """Return the OpenAPI document of the app."""
    return app_state(app).document


def init_app(app: Flask, document: Node, plan: Plan) -> None:
    """Publish smorest's document, completed; call it when all routes exist."""
    state = app_state(app)
    state.document = openapi_document.complete(document, plan)
    state.operations = Operations(app, state.document)
    state.deprecations = {
        route.id: deprecation_headers(route.deprecated) for route in plan.routes if route.deprecated
    }


def deprecation_headers(deprecated: DeprecationEntry) -> dict[str, str]:
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
    deprecations = app_state().deprecations
    if deprecations:
        headers = deprecations.get(metrics.current_route(), {})
        response.headers.update(headers)
    return response
