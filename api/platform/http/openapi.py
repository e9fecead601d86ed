"""The contract that the app publishes: made from its views, completed here, and held against requests."""

import copy
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, abort, request
from flask_smorest import abort as refuse
from marshmallow import fields
from werkzeug.http import http_date

from api.platform.http import errors
from api.platform.state import app_state
from api.platform.telemetry import metrics
from observability.spec.plan import Plan, Route
from observability.spec.schema.fields import Http

METHODS = ("get", "post", "put", "patch", "delete")
EVERYWHERE = (400, 422, 429, 500)
WATCHED = (503,)  # health has a 503 of its own
MEANINGS = {
    400: "The body is not JSON, is nested too deep, or stands where none belongs",
    401: "No key was sent, or one that is not known here, was revoked or has expired",
    403: "The key is of a lower scope than this needs",
    404: "What the URL names is not there",
    409: "What the URL or the body names is there already",
    413: "The body is larger than the server takes",
    415: "The body is not application/json in UTF-8 without Content-Encoding",
    422: "A parameter or a field is unknown, missing, given twice or out of range; `errors` says which",
    429: "Asked too often; wait for Retry-After",
    500: "Something broke on our side",
    503: "What this needs does not answer in time; nothing was stored, try again after Retry-After",
    504: "What this asks did not answer in the time that a request has",
}
HEADERS = {
    "X-Request-ID": (
        "string",
        "Find the request's log line by this; a well-formed one that was sent is kept",
    ),
    "Retry-After": ("integer", "Seconds to wait"),
    "X-RateLimit-Limit": ("integer", "Requests that one client may send per window"),
    "X-RateLimit-Remaining": ("integer", "Requests left in this window"),
    "X-RateLimit-Reset": ("integer", "When the window ends, in Unix seconds"),
}


def operations(document: dict[str, Any]) -> Iterator[tuple[Http, dict[str, Any]]]:
    """Every (method, path) of a document with its operation."""
    for path, item in document["paths"].items():
        yield from (
            (Http(method.upper(), path), item[method]) for method in METHODS if method in item
        )


def complete(document: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """smorest's document with what no view says: operation ids, statuses and headers that all share, examples, deprecations."""
    document = copy.deepcopy(document)
    routes = {route.http: route for route in plan.routes}
    headers = {
        name: {"schema": {"type": kind}, "description": text}
        for name, (kind, text) in HEADERS.items()
    }
    document["components"]["headers"] = headers
    del document["components"]["schemas"][
        "PaginationMetadata"
    ]  # smorest's own, used by none of ours
    for http, operation in operations(document):
        route = routes.get(http)
        operation["operationId"] = plan.route_ids.get(http, str(http))
        answers = operation["responses"]
        for status in (*EVERYWHERE, *(WATCHED if route else ())):
            problem = {errors.PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
            answers.setdefault(str(status), {"content": problem})
        for status, answer in answers.items():
            sent = [
                name for name in headers if name != "Retry-After" or status in ("429", "503", "504")
            ]
            answer["headers"] = answer.get("headers", {}) | {
                name: {"$ref": f"#/components/headers/{name}"} for name in sent
            }
            if media := answer.get("content", {}).get(errors.PROBLEM_JSON):
                answer["description"] = MEANINGS.get(int(status), HTTPStatus(int(status)).phrase)
                media["example"] = errors.members(
                    HTTPStatus(int(status)), f"{answer['description']}.", "0f8fad5bd9cb469fa165"
                )
        operation["responses"] = dict(sorted(answers.items()))
        if route and route.deprecated:
            operation |= {"deprecated": True} | (
                {"x-sunset": str(route.deprecated.sunset)} if route.deprecated.sunset else {}
            )
    return document


def field2map(converter: Any, field: fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
    """For apispec, which counts the entries of a map as if they were letters, and does not say what its keys are."""
    if not isinstance(field, fields.Dict):
        return {}
    sizes = {
        name.replace("Length", "Properties"): ret.pop(name)
        for name in ("minLength", "maxLength")
        if name in ret
    }
    return sizes | (
        {"propertyNames": converter.field2pattern(field.key_field)}
        if field.key_field and field.key_field.validators
        else {}
    )


def seconds(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())


def deprecation(route: Route) -> dict[str, str]:
    """Headers of a deprecated route (RFC 9745, RFC 8594, RFC 5829); {} of any other."""
    if not (said := route.deprecated):
        return {}
    links = [
        '</docs>; rel="deprecation"; type="text/html"',
        *([f'<{said.successor}>; rel="successor-version"'] if said.successor else []),
    ]
    headers = {"Deprecation": f"@{seconds(said.since)}", "Link": ", ".join(links)}
    return headers | ({"Sunset": http_date(seconds(said.sunset))} if said.sunset else {})


class Operations:
    """The document's operations by method and URL rule."""

    def __init__(self, app: Flask, document: dict[str, Any]):
        by_http = dict(operations(document))
        self._by_rule: dict[tuple[str, str], dict[str, Any]] = {}
        for rule in app.url_map.iter_rules():
            for method in rule.methods or ():
                documented = "GET" if method == "HEAD" else method
                http = Http(documented, metrics.openapi_path(rule.rule))
                if http in by_http:
                    self._by_rule[method, rule.rule] = by_http[http]

    def current(self) -> dict[str, Any] | None:
        """Return the operation of the current request; None outside the contract."""
        if not request.url_rule:
            return None
        return self._by_rule.get((request.method, request.url_rule.rule))


def refuse_unknown_input() -> None:
    """Refuse parameters that the operation does not have or that come twice, and bodies where none belongs."""
    operation = app_state().operations.current()
    if operation is None:
        return
    known = {
        parameter["name"]
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    }
    wrong = {
        name: ["Given more than once."] for name, values in request.args.lists() if len(values) > 1
    }
    wrong |= {name: ["Unknown field."] for name in request.args if name not in known}
    if wrong:
        refuse(422, messages={"query": wrong})
    if "requestBody" not in operation and (
        request.content_length or "Transfer-Encoding" in request.headers
    ):
        abort(400, "This operation takes no body.")


def document(app: Flask) -> dict[str, Any]:
    """The contract of the app."""
    return app_state(app).document


def init_app(app: Flask, document: dict[str, Any], plan: Plan) -> None:
    """Complete smorest's document and hold requests against it; call it when all routes are there."""
    state = app_state(app)
    state.document = complete(document, plan)
    state.operations = Operations(app, state.document)
    state.deprecations = {
        route.id: headers for route in plan.routes if (headers := deprecation(route))
    }


def add_deprecation_headers(answer: Response) -> Response:
    """Add the headers of a deprecated route."""
    deprecations = app_state().deprecations
    if deprecations:
        answer.headers.update(deprecations.get(metrics.current_route(), {}))
    return answer
