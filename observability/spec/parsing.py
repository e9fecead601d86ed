"""YAML files → the models of schema.py, and every problem of a file with its line, key and fix."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from observability.spec.problems import Problem


class UniqueKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml's where there is one
    """SafeLoader keeps the last of two equal keys without a word; this one remembers that there were two."""

    def __init__(self, stream: str):
        super().__init__(stream)
        self.duplicates: list[tuple[str, int]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    self.duplicates.append((key.value, key.start_mark.line + 1))
                seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def parse(path: Path) -> tuple[Any, list[Problem]]:
    """YAML text → data and the problems of its form (unreadable, keys written twice)."""
    try:
        loader = UniqueKeyLoader(path.read_text(encoding="utf-8"))
        data = loader.get_single_data()
    except OSError as error:
        return None, [
            Problem(
                str(path),
                error.strerror or "cannot be read",
                "name the file with --catalogue or --policy",
            )
        ]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path.name}:{mark.line + 1}" if mark else path.name
        what = getattr(error, "problem", None) or error
        return None, [
            Problem(
                where,
                f"is not YAML: {what}",
                "correct that line; quote texts with : ? # or brackets",
            )
        ]
    twice = [
        Problem(
            f"{path.name}:{line}",
            f"the key {key!r} is written twice",
            "rename or remove one of the two",
        )
        for key, line in loader.duplicates
    ]
    return data, twice


def known_keys(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """The keys that the mapping at `location` inside `model` may have."""
    schema = model.model_json_schema(by_alias=True)
    node: Any = schema
    for part in location:
        node = resolve(schema, node)
        node = (
            node.get("properties", {}).get(part)
            or node.get("additionalProperties")
            or node.get("items")
            or {}
        )
    return sorted(resolve(schema, node).get("properties", {}))


def resolve(schema: dict[str, Any], node: Any) -> dict[str, Any]:
    while isinstance(node, dict) and ("$ref" in node or "anyOf" in node):
        node = (
            schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node["anyOf"][0]
        )
    return node if isinstance(node, dict) else {}


def explain(path: Path, model: type[BaseModel], error: ValidationError) -> Iterator[Problem]:
    """pydantic's errors → problems that say where, what and the edit that mends."""
    for item in error.errors():
        location = tuple(part for part in item["loc"] if part != "[key]")
        where = f"{path.name}: {'.'.join(map(str, location)) or 'the whole file'}"
        message, _, fix = item["msg"].removeprefix("Value error, ").partition("; ")
        fix = fix or "correct the value"
        if item["type"] == "extra_forbidden":
            keys = known_keys(model, location[:-1])
            close = difflib.get_close_matches(str(location[-1]), keys, n=1)
            message, fix = (
                "unknown key",
                f"did you mean {close[0]}?"
                if close
                else f"remove it; known here: {', '.join(keys)}",
            )
        elif item["type"] == "literal_error":
            message, fix = (
                f"{item['input']!r} is not known here",
                f"write {item['ctx']['expected']}",
            )
        elif item["type"] == "missing":
            message, fix = (
                "is missing",
                f"add `{location[-1]}:` (docs/catalogue.md says what it holds)",
            )
        elif item["type"] in {"too_short", "dict_type", "model_type", "model_attributes_type"}:
            empty = item["type"] == "too_short"
            message = "is empty" if empty else "is no mapping"
            fix = (
                "write at least one entry"
                if empty
                else "write `key: value` lines (docs/catalogue.md says which)"
            )
        yield Problem(where, message, fix)


M = TypeVar("M", bound=BaseModel)


def read(path: Path, model: type[M]) -> tuple[M | None, list[Problem]]:
    """Return the model of a file, or None, and every problem of the file."""
    data, problems = parse(path)
    if data is None:
        return None, problems or [Problem(path.name, "is empty", "see docs/catalogue.md")]
    try:
        return model.model_validate(data), problems
    except ValidationError as error:
        return None, problems + list(explain(path, model, error))
