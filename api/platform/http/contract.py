"""What may not change within a version: compares two OpenAPI documents, and the commands that write and check the committed one.

The law is oasdiff's: what narrows a request or widens an answer breaks somebody. Texts, examples and `x-…` are free.
"""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from api.platform.http import openapi
from observability.spec.problems import Problem

Schema = dict[str, Any]
COMMITTED = Path(__file__).resolve().parents[2] / "openapi.json"
FIX = "serve it under a new version (docs/versioning.md), or accept the break: make generate BREAKING=1"
LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
EXACT = (
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


def breaking(old: dict[str, Any], new: dict[str, Any], today: date) -> list[Problem]:
    """What callers that keep to `old` would lose with `new`. An operation that was deprecated may go once its sunset has passed."""
    before, after = resolved(old, old), resolved(new, new)
    served = {
        (http.method, shape(http.path)): operation for http, operation in openapi.operations(after)
    }
    problems = []
    for http, operation in openapi.operations(before):
        successor = served.get((http.method, shape(http.path)))
        if successor is None:
            sunset = operation.get("x-sunset")
            losses = [] if sunset and date.fromisoformat(sunset) <= today else ["is gone"]
        else:
            secured = (
                {"security": before.get("security")} | operation,
                {"security": after.get("security")} | successor,
            )
            losses = list(lost(*secured))
        problems += [Problem(f"openapi.json: {http}", loss, FIX, "contract") for loss in losses]
    return sorted(problems)


def shape(path: str) -> str:
    """A path without what callers do not notice: its last slash and the names of its parameters."""
    return "/".join("{}" if part.startswith("{") else part for part in path.rstrip("/").split("/"))


def resolved(document: dict[str, Any], node: Any, inside: tuple[str, ...] = ()) -> Any:
    """`node` with its $refs replaced by what they name and what stands beside them; a schema that holds itself is left open there."""
    if isinstance(node, list):
        return [resolved(document, item, inside) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: resolved(document, value, inside) for key, value in node.items()}
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return found
    del found["$ref"]
    if reference in inside:
        return found
    target: Any = document
    for part in reference.removeprefix("#/").split("/"):
        target = target[part]
    return resolved(document, target, (*inside, reference)) | found


def lost(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Sentences about one operation, old and new."""
    given, wanted = (
        {(p["in"], p["name"]): p for p in operation.get("parameters", ()) if p["in"] != "path"}
        for operation in (old, new)
    )
    for key in given.keys() - wanted.keys():
        yield f"{key[0]} parameter {key[1]} is gone"
    for key, parameter in wanted.items():
        if parameter.get("required") and not given.get(key, {}).get("required"):
            yield f"{key[0]} parameter {key[1]} is required now"
        if key in given:
            yield from narrowed(
                given[key].get("schema", {}),
                parameter.get("schema", {}),
                f"{key[0]} parameter {key[1]}",
            )
    yield from body(old.get("requestBody"), new.get("requestBody"))
    for status, answer in old["responses"].items():
        if status not in new["responses"]:
            yield f"status {status} is gone"
            continue
        successor = new["responses"][status]
        yield from (
            f"header {name} of {status} is gone"
            for name in answer.get("headers", {}).keys() - successor.get("headers", {}).keys()
        )
        for media, content in answer.get("content", {}).items():
            if media not in successor.get("content", {}):
                yield f"{media} of {status} is gone"
            else:
                yield from narrowed(
                    successor["content"][media].get("schema", {}),
                    content.get("schema", {}),
                    f"answer {status}",
                    answer=True,
                )
    allowed = new.get("security") or [{}]
    if any(way not in allowed for way in old.get("security") or [{}]) and {} not in allowed:
        yield "a way to authenticate is not taken any more"


def body(old: dict[str, Any] | None, new: dict[str, Any] | None) -> Iterator[str]:
    """Request bodies: gone, newly required, of fewer kinds, or narrower."""
    if old is None or new is None:
        if old or (new and new.get("required")):
            yield "request body is gone" if old else "request body is required now"
        return
    if new.get("required") and not old.get("required"):
        yield "request body is required now"
    for media, content in old["content"].items():
        if media not in new["content"]:
            yield f"{media} is not taken any more"
        else:
            yield from narrowed(
                content.get("schema", {}), new["content"][media].get("schema", {}), "request body"
            )


def types(schema: Schema) -> set[str]:
    said = schema.get("type", TYPES)
    found = {said} if isinstance(said, str) else set(said)
    return found | {"integer"} if "number" in found else found


def narrowed(old: Schema, new: Schema, where: str, *, answer: bool = False) -> Iterator[str]:
    """How `new` takes fewer values than `old`. For an answer the two are given in exchange: what it may hold must not grow."""
    lost, ever = ("may be", "now") if answer else ("may not be", "any more")
    gone = types(old) - types(new)
    if "enum" in new:
        gone |= (
            {json.dumps(value) for value in old["enum"] if value not in new["enum"]}
            if "enum" in old
            else {"outside its enum"}
        )
    if gone:
        yield f"{where} {lost} {', '.join(sorted(gone))} {ever}"
    for key in (*LOWER, *UPPER, *EXACT):
        narrower = (
            new.get(key) != old.get(key)
            if key in EXACT or key not in old
            else (new.get(key, 0) > old[key]) == (key in LOWER)
        )
        if key in new and new[key] != old.get(key) and narrower:
            change = (
                (new[key], old.get(key, "none")) if answer else (old.get(key, "none"), new[key])
            )
            yield f"{where}: {key} {change[0]} → {change[1]}"
    yield from inside(old, new, where, answer=answer)


def inside(old: Schema, new: Schema, where: str, *, answer: bool) -> Iterator[str]:
    """The same about properties, items and the values of maps. New properties of an answer are no break: readers must bear them."""
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in set(new.get("required", ())) - set(old.get("required", ())):
        if not answer or name in before:
            yield f"{where}.{name} {'may be missing' if answer else 'is required'} now"
    for name in before.keys() & after.keys():
        yield from narrowed(before[name], after[name], f"{where}.{name}", answer=answer)
    shut = new.get("additionalProperties") is False and not answer
    one_way = "writeOnly" if answer else "readOnly"  # such a property was never there
    for name in (
        after.keys() - before.keys() if answer else before.keys() - after.keys() if shut else ()
    ):
        if not (after if answer else before)[name].get(one_way):
            yield f"{where}.{name} is {'gone' if answer else 'refused now'}"
    if shut and old.get("additionalProperties") is not False:
        yield f"{where} refuses unknown properties now"
    for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if (
            (key in old or key in new)
            and isinstance(old.get(key, {}), dict)
            and isinstance(new.get(key, {}), dict)
        ):
            yield from narrowed(old.get(key, {}), new.get(key, {}), where + mark, answer=answer)


def text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def compare(base: Path) -> list[Problem]:
    """What the app breaks of the contract in `base`; nothing where there is none yet."""
    if not base.exists():
        return []
    return breaking(
        json.loads(base.read_text(encoding="utf-8")), openapi.document(current_app), date.today()
    )


def init_app(app: Flask) -> None:
    group = AppGroup("contract", help="Write and check api/openapi.json.")
    app.cli.add_command(group)

    @group.command("write")
    @click.option(
        "--breaking", "accepted", is_flag=True, help="Write it although callers would break."
    )
    def write(accepted: bool) -> None:
        """Write the contract; exit 1, with every reason, when callers of the old one would break."""
        problems = [] if accepted else compare(COMMITTED)
        fail(problems)
        COMMITTED.write_text(text(openapi.document(current_app)), encoding="utf-8")

    @group.command("check")
    @click.option(
        "--base",
        type=click.Path(path_type=Path, exists=True),
        help="Compare with this instead of the committed one.",
    )
    def check(base: Path | None) -> None:
        """Exit 1 when callers of the committed contract would break, or when it is not what the app serves."""
        problems = compare(base or COMMITTED)
        if not (base or problems) and COMMITTED.read_text(encoding="utf-8") != text(
            openapi.document(current_app)
        ):
            problems = [
                Problem(
                    "api/openapi.json",
                    "is not what the app serves",
                    "touch api/app.py && make generate",
                    "contract",
                )
            ]
        fail(problems)


def fail(problems: list[Problem]) -> None:
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise click.exceptions.Exit(1)
