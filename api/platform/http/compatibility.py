"""Changes between two OpenAPI documents that break callers, by the rules of oasdiff.

A narrower request or a wider response is a break; texts, examples and `x-…` may change.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

from api.platform.http import openapi_document
from api.platform.http.schema_compatibility import (
    REQUEST,
    RESPONSE,
    Direction,
    schema_breaks,
)
from api.platform.types import JsonObject
from observability.spec.problems import Problem
from observability.spec.schema.fields import Http

Messages = Iterator[str]
FIX = (
    "serve it under a new version (docs/versioning.md),"
    " or accept the break: make generate BREAKING=1"
)
NO_KEY: JsonObject = {}  # OpenAPI's security requirement that every request meets


def breaking_changes(old: JsonObject, new: JsonObject, today: date) -> list[Problem]:
    """Return the changes that break callers of `old`, sorted.

    An operation may disappear on its sunset date.
    """
    successors = {match_key(http): operation for http, operation in operations(new)}
    problems = []
    for http, operation in operations(old):
        successor = successors.get(match_key(http))
        for message in operation_breaks(operation, successor, today):
            problems.append(Problem(f"openapi.json: {http}", message, FIX, "contract"))
    return sorted(problems)


def operations(document: JsonObject) -> Iterator[tuple[Http, JsonObject]]:
    """Yield the operations with references resolved and the document's security as default."""
    default = {"security": document.get("security")}
    for http, operation in openapi_document.operations(resolve(document, document)):
        yield http, default | operation


def match_key(http: Http) -> tuple[str, str]:
    """Return method and path without a trailing slash and without names of parameters.

    Neither makes a difference to callers.
    """
    parts = http.path.rstrip("/").split("/")
    anonymous = ["{}" if part.startswith("{") else part for part in parts]
    return http.method, "/".join(anonymous)


def resolve(document: JsonObject, part: Any, parents: tuple[str, ...] = ()) -> Any:
    """Return the part with each $ref replaced by its target and the keys beside the $ref.

    A schema that contains itself stays open there: `parents` are the references around the part.
    """
    if isinstance(part, list):
        return [resolve(document, item, parents) for item in part]
    if not isinstance(part, dict):
        return part
    resolved = {key: resolve(document, value, parents) for key, value in part.items()}
    reference = part.get("$ref")
    if not isinstance(reference, str):
        return resolved
    del resolved["$ref"]
    if reference in parents:
        return resolved
    target: Any = document
    for name in reference.removeprefix("#/").split("/"):
        target = target[name]
    return resolve(document, target, (*parents, reference)) | resolved


def operation_breaks(old: JsonObject, new: JsonObject | None, today: date) -> Messages:
    """Yield a sentence for each break of one operation."""
    if not new:
        sunset = old.get("x-sunset")
        if not sunset or date.fromisoformat(sunset) > today:
            yield "is gone"
        return
    yield from parameter_breaks(parameters(old), parameters(new))
    yield from body_breaks(old.get("requestBody"), new.get("requestBody"))
    for status, response in old["responses"].items():
        if status in new["responses"]:
            yield from response_breaks(response, new["responses"][status], status)
        else:
            yield f"status {status} is gone"
    accepted = new.get("security") or [NO_KEY]
    used = old.get("security") or [NO_KEY]
    if NO_KEY not in accepted and any(requirement not in accepted for requirement in used):
        yield "a security scheme is not accepted any more"


def parameters(operation: JsonObject) -> JsonObject:
    """Return the parameters by their names in messages, without those of the path."""
    return {
        f"{parameter['in']} parameter {parameter['name']}": parameter
        for parameter in operation.get("parameters", ())
        if parameter["in"] != "path"
    }


def parameter_breaks(old: JsonObject, new: JsonObject) -> Messages:
    """Yield a sentence for each parameter that is gone, newly required or narrower."""
    for label in old.keys() - new.keys():
        yield f"{label} is gone"
    for label, parameter in new.items():
        predecessor = old.get(label, {})
        if parameter.get("required") and not predecessor.get("required"):
            yield f"{label} is required now"
        if predecessor:
            yield from holder_breaks(predecessor, parameter, label, REQUEST)


def holder_breaks(old: JsonObject, new: JsonObject, where: str, direction: Direction) -> Messages:
    """Yield a sentence for each break between the schemas of two parameters or media types."""
    return schema_breaks(old.get("schema", {}), new.get("schema", {}), where, direction)


def body_breaks(old: JsonObject | None, new: JsonObject | None) -> Messages:
    """Yield a sentence for a body that is gone, newly required, of fewer types or narrower."""
    if not new:
        if old:
            yield "request body is gone"
        return
    if not old:
        old = {"content": {}}
    if new.get("required") and not old.get("required"):
        yield "request body is required now"
    for media_type, content in old["content"].items():
        if media_type in new["content"]:
            successor = new["content"][media_type]
            yield from holder_breaks(content, successor, "request body", REQUEST)
        else:
            yield f"{media_type} is not accepted any more"


def response_breaks(old: JsonObject, new: JsonObject, status: str) -> Messages:
    """Yield a sentence for each header or type that is gone, and for wider schemas."""
    for header in old.get("headers", {}):
        if header not in new.get("headers", ()):
            yield f"header {header} of {status} is gone"
    successors = new.get("content", {})
    for media_type, content in old.get("content", {}).items():
        if media_type in successors:
            successor = successors[media_type]
            yield from holder_breaks(content, successor, f"answer {status}", RESPONSE)
        else:
            yield f"{media_type} of {status} is gone"
