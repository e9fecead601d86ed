"""Documents as models, and every problem of a document with its line, key and fix."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from observability.spec.documents import Document
from observability.spec.problems import Problem
from observability.spec.schema.entry import Entry

Model = TypeVar("Model", bound=Entry)
Location = tuple[str | int, ...]

REFERENCE = "docs/catalogue.md"
NOT_A_MAPPING = {"dict_type", "model_type", "model_attributes_type"}


def parse(document: Document, model: type[Model]) -> tuple[Model | None, list[Problem]]:
    """Return the document's model, or None, and every problem of the document."""
    problems = list(document.problems)
    if document.data is None:
        return None, problems
    problems += repeated_ids(document, model)
    try:
        return model.model_validate(document.data), problems
    except ValidationError as error:
        return None, problems + list(explain(document, model, error))


def repeated_ids(document: Document, model: type[Entry]) -> Iterator[Problem]:
    """Yield a problem for each id that two sections declare which share one set of ids."""
    for sections in model.sections_sharing_ids:
        section_by_id: dict[str, str] = {}
        for section in sections:
            for entry_id in section_ids(document, section):
                if entry_id in section_by_id:
                    message = f"is declared under {section_by_id[entry_id]}, too"
                    fix = "rename or remove one of the two"
                    yield Problem(document.where(section, entry_id), message, fix)
                section_by_id.setdefault(entry_id, section)


def section_ids(document: Document, section: str) -> list[str]:
    """Return the keys of a section; none where the document has another shape."""
    if not isinstance(document.data, dict):
        return []
    entries = document.data.get(section)
    return list(map(str, entries)) if isinstance(entries, dict) else []


def explain(document: Document, model: type[Entry], error: ValidationError) -> Iterator[Problem]:
    """Yield pydantic's errors as problems."""
    for item in error.errors():
        location = tuple(part for part in item["loc"] if part != "[key]")
        message, fix = describe(model, location, item)
        yield Problem(document.where(*location), message, fix)


def describe(model: type[Entry], location: Location, item: Mapping[str, Any]) -> tuple[str, str]:
    """Return message and fix of one of pydantic's errors."""
    kind = item["type"]
    if kind == "extra_forbidden":
        return "unknown key", suggest_key(model, location)
    if kind == "missing":
        return "is missing", f"add `{location[-1]}:` ({REFERENCE} says what it holds)"
    if kind == "literal_error":
        return f"{item['input']!r} is not known here", f"write {item['ctx']['expected']}"
    if kind == "too_short":
        return "is empty", "write at least one entry"
    if kind in NOT_A_MAPPING:
        return "is no mapping", f"write `key: value` lines ({REFERENCE} says which)"
    message, _, fix = item["msg"].removeprefix("Value error, ").partition("; ")
    return message, fix or "correct the value"


def suggest_key(model: type[Entry], location: Location) -> str:
    """Return the fix of an unknown key: the key that looks like it, else all that are known."""
    keys = known_keys(model, location[:-1])
    similar = difflib.get_close_matches(str(location[-1]), keys, n=1)
    if similar:
        return f"did you mean {similar[0]}?"
    return f"remove it; known here: {', '.join(keys)}"


def known_keys(model: type[Entry], location: Location) -> list[str]:
    """Return the keys that the mapping at `location` inside `model` may have, sorted."""
    schema = model.model_json_schema(by_alias=True)
    node = resolve(schema, schema)
    for part in location:
        child = node.get("properties", {}).get(part)
        child = child or node.get("additionalProperties") or node.get("items")
        node = resolve(schema, child)
    return sorted(node.get("properties", {}))


def resolve(schema: dict[str, Any], node: Any) -> dict[str, Any]:
    """Return the JSON schema that a reference, or the first of several alternatives, stands for."""
    while isinstance(node, dict):
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
        elif "anyOf" in node:
            node = node["anyOf"][0]
        else:
            return node
    return {}
