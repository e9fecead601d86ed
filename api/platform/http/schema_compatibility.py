"""Changes of JSON schemas: requests must not accept fewer values, nor responses hold new ones."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from api.platform.types import JsonObject

Messages = Iterator[str]
LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
# Two values of these cannot be ordered, so that every change counts as narrower.
UNORDERED = (
    "pattern",
    "format",
    "const",
    "multipleOf",
    "uniqueItems",
    "propertyNames",
    "oneOf",
    "anyOf",
    "allOf",
    "not",
)
TYPES = {"null", "boolean", "object", "array", "number", "string", "integer"}


class Direction(NamedTuple):
    """The differences of requests and responses: wording, and properties that are not sent."""

    values: str
    required: str
    missing: str
    omitted: str


REQUEST = Direction("may not be {} any more", "is required now", "is refused now", "readOnly")
RESPONSE = Direction("may be {} now", "may be missing now", "is gone", "writeOnly")


def schema_breaks(old: JsonObject, new: JsonObject, where: str, direction: Direction) -> Messages:
    """Yield a sentence for each break between two schemas of a request or of a response."""
    if old == new:
        return
    # A break is what `wide` allows and `narrow` does not.
    wide = new
    narrow = old
    if direction is REQUEST:
        wide = old
        narrow = new
    values = lost_values(wide, narrow)
    if values:
        listed = ", ".join(sorted(values))
        yield f"{where} {direction.values.format(listed)}"
    for keyword in (*LOWER_BOUNDS, *UPPER_BOUNDS, *UNORDERED):
        if keyword in narrow and is_narrower(keyword, wide.get(keyword), narrow[keyword]):
            yield f"{where}: {keyword} {old.get(keyword, 'none')} → {new.get(keyword, 'none')}"
    for name in set(narrow.get("required", ())).difference(wide.get("required", ())):
        # A required property of a response that is gone is not also missing.
        if direction is REQUEST or name in new.get("properties", ()):
            yield f"{where}.{name} {direction.required}"
    yield from property_breaks(old, new, where, direction)
    old_parts = parts(old)
    new_parts = parts(new)
    for suffix in old_parts.keys() & new_parts.keys():
        part = where + suffix
        yield from schema_breaks(old_parts[suffix], new_parts[suffix], part, direction)


def property_breaks(old: JsonObject, new: JsonObject, where: str, direction: Direction) -> Messages:
    """Yield a sentence for each property that is gone.

    A new property is no break: readers ignore properties that they do not know.
    """
    if direction is REQUEST:
        if new.get("additionalProperties") is not False:
            return
        if old.get("additionalProperties") is not False:
            yield f"{where} refuses unknown properties now"
    for name, schema in old.get("properties", {}).items():
        if name in new.get("properties", ()) or schema.get(direction.omitted):
            continue
        yield f"{where}.{name} {direction.missing}"


def lost_values(wide: JsonObject, narrow: JsonObject) -> set[str]:
    """Return the types and enum values that `wide` allows and `narrow` does not."""
    lost = types(wide) - types(narrow)
    if "enum" not in narrow:
        return lost
    if "enum" not in wide:
        return {*lost, "outside its enum"}
    for value in wide["enum"]:
        if value not in narrow["enum"]:
            lost.add(json.dumps(value))
    return lost


def types(schema: JsonObject) -> set[str]:
    """Return the types that the schema allows; an integer is also a number."""
    allowed = schema.get("type", TYPES)
    if isinstance(allowed, str):
        allowed = [allowed]
    if "number" in allowed:
        return {*allowed, "integer"}
    return set(allowed)


def is_narrower(keyword: str, wide: Any, narrow: Any) -> bool:
    """Return True if a keyword's value `narrow` allows less than `wide`, which may be absent."""
    if narrow == wide:
        return False
    if wide is None or keyword in UNORDERED:
        return True
    grew: bool = narrow > wide
    return grew == (keyword in LOWER_BOUNDS)


def parts(schema: JsonObject) -> dict[str, JsonObject]:
    """Return the schemas inside by path: `.name` of a property, `[]` of items, `.*` of a map."""
    inner = {f".{name}": part for name, part in schema.get("properties", {}).items()}
    inner["[]"] = schema.get("items", {})
    inner[".*"] = schema.get("additionalProperties", {})
    # True and False may stand for a schema.
    return {suffix: part for suffix, part in inner.items() if isinstance(part, dict)}
