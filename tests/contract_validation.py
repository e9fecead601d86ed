"""Validation of responses against the contract that an app publishes."""

from typing import Any

from flask import Flask
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect
from werkzeug.wrappers import Response

from api.platform.state import app_state
from api.platform.telemetry.metrics import openapi_path

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
