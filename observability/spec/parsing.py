"""Documents as models, and every problem of a document with its line, key and fix."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from observability.spec.documents import Document
from observability.spec.problems import Problem
from observability.spec.schema.entry import Entry

Model = TypeVar("Model", bound=Entry)
Location = tuple[str | int, ...]
JsonSchema = dict[str, Any]

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
                    where = document.where(section, entry_id)
                    message = f"is declared under {section_by_id[entry_id]}, too"
                    yield Problem(where, message, "rename or remove one of the two")
                section_by_id.setdefault(entry_id, section)


def section_ids(document: Document, section: str) -> list[str]:
    """Return the keys of a section; none where the document has another shape."""
    if not isinstance(document.data, dict):
        return []
    entries = document.data.get(section)
    if not isinstance(entries, dict):
        return []
    return list(map(str, entries))


def explain(document: Document, model: type[Entry], error: ValidationError) -> Iterator[Problem]:
    """Yield pydantic's errors as problems.

    Its location marks a wrong key with `[key]`, which is no part of the path.
    """
    for item in error.errors():
        location = tuple(part for part in item["loc"] if part != "[key]")
        message, fix = describe(model, location, item)
        yield Problem(document.where(*location), message, fix)


def describe(model: type[Entry], location: Location, item: Mapping[str, Any]) -> tuple[str, str]:
    """Return message and fix of one of pydantic's errors.

    Validators of our own write both into one text: `message; fix`.
    """
    kind = item["type"]
    if kind == "extra_forbidden":
        return "unknown key", suggest_key(model, location)
    if kind == "missing":
        return "is missing", f"add `{location[-1]}:` ({model.reference} says what it holds)"
    if kind == "literal_error":
        expected = item["ctx"]["expected"]
        return f"{item['input']!r} is not known here", f"write {expected}"
    if kind == "too_short":
        return "is empty", "write at least one entry"
    if kind in NOT_A_MAPPING:
        return "is no mapping", f"write `key: value` lines ({model.reference} says which)"
    text = item["msg"].removeprefix("Value error, ")
    message, _, fix = text.partition("; ")
    return message, fix or "correct the value"


def suggest_key(model: type[Entry], location: Location) -> str:
    """Return the fix of an unknown key: the key that looks like it, else all that are known."""
    *parents, unknown = location
    keys = known_keys(model, parents)
    similar = difflib.get_close_matches(str(unknown), keys, n=1)
    if similar:
        return f"did you mean {similar[0]}?"
    return f"remove it; known here: {', '.join(keys)}"


def known_keys(model: type[Entry], location: Sequence[str | int]) -> list[str]:
    """Return the keys that the mapping at `location` inside `model` may have, sorted.

    Raise nothing for a location that the model does not have: no key is known there.
    """
    schema = model.model_json_schema(by_alias=True)
    subschema = resolve(schema, schema)
    for part in location:
        subschema = resolve(schema, child_schema(subschema, part))
    return sorted(subschema.get("properties", {}))


def child_schema(subschema: JsonSchema, part: str | int) -> Any:
    """Return the schema of a key or of the elements of a list; None where there is none."""
    properties = subschema.get("properties", {})
    if part in properties:
        return properties[part]
    return subschema.get("additionalProperties") or subschema.get("items")


def resolve(schema: JsonSchema, subschema: Any) -> JsonSchema:
    """Return the JSON schema that a reference, or the first of several alternatives, stands for."""
    while isinstance(subschema, dict):
        if "$ref" in subschema:
            _, _, name = subschema["$ref"].rpartition("/")
            subschema = schema["$defs"][name]
        elif "anyOf" in subschema:
            subschema = subschema["anyOf"][0]
        else:
            return subschema
    return {}
