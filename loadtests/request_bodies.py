"""The bodies of requests: the contract's examples, in which the catalogue names what varies."""

import copy
import json
import uuid
from datetime import UTC, datetime
from typing import Any

from observability.spec.load_terms import FORM, JSON


def build_body(scenario: dict[str, Any]) -> Any:
    """Return the contract's example with the fields varied that the catalogue names."""
    example = copy.deepcopy(scenario["body"])
    for field, variation in scenario["vary"].items():
        *path, key = field.split(".")
        for mapping in find_holders(example, path):
            if variation == "unique":
                mapping[key] = f"load-{uuid.uuid4().hex[:16]}"
            else:
                mapping[key] = datetime.now(UTC).isoformat()
    return example


def encode_body(scenario: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the client for a body of the content type that the contract has."""
    body = build_body(scenario)
    content_type = scenario["content_type"]
    if content_type == FORM:
        return {"data": body}
    if content_type in (None, JSON):
        return {"json": body}
    return {"data": json.dumps(body), "headers": {"Content-Type": content_type}}


def find_holders(node: Any, path: list[str]) -> list[Any]:
    """Return the mappings at a path; a list on the way means each of its elements."""
    nodes = node if isinstance(node, list) else [node]
    if not path:
        return nodes
    key, *rest = path
    mappings = []
    for child in nodes:
        mappings += find_holders(child[key], rest)
    return mappings
