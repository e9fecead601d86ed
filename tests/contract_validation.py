"""Validation of the contract that an app publishes, and of responses against it."""

from typing import Any

from flask import Flask
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect
from werkzeug.wrappers import Response

from api.platform.http import openapi_document
from api.platform.state import app_state
from api.platform.telemetry.metrics import openapi_path
from observability.spec.plan import Plan
from observability.spec.schema.fields import Http

VALIDATORS = "tests_contract_validators"  # key of the app's extensions


def mismatch(app: Flask, method: str, path: str, answer: Response) -> str | None:
    """Return how response and contract differ; None if they do not, or outside the contract."""
    operation = operation_of(app, method, path)
    if operation is None:
        return None
    name, status = operation["operationId"], str(answer.status_code)
    if status not in operation["responses"]:
        return f"{name} does not document {status}"
    content = operation["responses"][status].get("content")
    body = answer.get_data()
    if content is None:
        is_sent = bool(body) and status != "204"  # werkzeug sends no 204 with a body
        return f"{name} documents no body for {status}" if is_sent else None
    if answer.mimetype not in content:
        return f"{name} does not document {answer.mimetype} for {status}"
    if method == "HEAD":
        return None
    validator = validator_of(app, name, status, answer.mimetype, content[answer.mimetype])
    error = best_match(validator.iter_errors(answer.get_json()))
    return f"{name} {status}: {error.json_path} {error.message}" if error else None


def operation_of(app: Flask, method: str, path: str) -> dict[str, Any] | None:
    """Return the contract's operation of a request; None outside the contract."""
    adapter = app.url_map.bind("localhost")
    try:
        rule, _ = adapter.match(path, method, return_rule=True)
    except (HTTPException, RequestRedirect):
        return None
    documented_method = "get" if method == "HEAD" else method.lower()
    operations = app_state(app).document["paths"].get(openapi_path(rule.rule), {})
    operation: dict[str, Any] | None = operations.get(documented_method)
    return operation


def validator_of(
    app: Flask, name: str, status: str, mimetype: str, media: dict[str, Any]
) -> Draft202012Validator:
    """Return the validator of one body; it is compiled once for each app."""
    validators = app.extensions.setdefault(VALIDATORS, {})
    key = (name, status, mimetype)
    if key not in validators:
        components = closed(app_state(app).document["components"])
        schema = closed(media["schema"]) | {"components": components}
        validators[key] = Draft202012Validator(schema)
    validator: Draft202012Validator = validators[key]
    return validator


def assert_documented(plan: Plan, http: Http, operation: dict[str, Any]) -> None:
    """Fail unless the operation documents itself, its parameters, its body and its responses."""
    assert operation["operationId"] == plan.route_ids[http]
    assert operation["summary"]
    assert operation["tags"]
    assert all(parameter["description"] for parameter in operation.get("parameters", ()))
    responses = operation["responses"]
    assert {"400", "422", "429", "500"} <= responses.keys()
    if http in {route.http for route in plan.routes}:
        assert "503" in responses
    if "{" in http.path:
        assert "404" in responses
    if "requestBody" in operation:
        assert {"413", "415"} <= responses.keys()
        assert all(media["example"] for media in operation["requestBody"]["content"].values())
    successes = [status for status in responses if status.startswith("2")]
    assert len(successes) == 1, f"{http} documents {successes}"
    for status, response in responses.items():
        assert_response_documented(status, response)


def assert_response_documented(status: str, response: dict[str, Any]) -> None:
    """Fail unless the response has a description, the shared headers, a schema and an example."""
    assert response["description"]
    assert {"X-Request-ID", "X-RateLimit-Remaining"} <= response["headers"].keys()
    if status in {"429", "503"}:
        assert "Retry-After" in response["headers"]
    assert response.get("content") or status == "204"
    for media in response.get("content", {}).values():
        assert media["schema"]
        assert media["example"]


def assert_examples_match(app: Flask) -> None:
    """Fail unless every documented example of a response matches its schema."""
    for http, operation in openapi_document.operations(app_state(app).document):
        for status, response in operation["responses"].items():
            for mimetype, media in response.get("content", {}).items():
                validator = validator_of(app, operation["operationId"], status, mimetype, media)
                errors = list(validator.iter_errors(media["example"]))
                assert errors == [], f"{http} {status}"


def closed(node: Any) -> Any:
    """Return a schema in which no object may have undeclared properties.

    Clients must tolerate new properties, but the API must publish what it sends.
    """
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    schema = {key: closed(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict):
        schema.setdefault("additionalProperties", False)
    return schema
