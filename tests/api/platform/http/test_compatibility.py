"""Changes of the contract that break callers, and changes that do not."""

import copy
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from api.platform.http import compatibility

TODAY = date(2026, 6, 1)
PATH = "/things/{id}"
OLD: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        PATH: {
            "parameters": [
                {"in": "path", "name": "id", "required": True, "schema": {"type": "string"}}
            ],
            "get": {
                "summary": "Get",
                "parameters": [
                    {
                        "in": "query",
                        "name": "size",
                        "required": False,
                        "schema": {"type": "integer", "minimum": 1, "maximum": 10},
                    },
                ],
                "responses": {
                    "200": {
                        "description": "OK",
                        "headers": {"X-Request-ID": {"schema": {"type": "string"}}},
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}
                        },
                    },
                    "404": {"description": "gone"},
                },
            },
            "post": {
                "requestBody": {
                    "required": False,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/New"}}
                    },
                },
                "responses": {"201": {"description": "made"}},
            },
        },
    },
    "components": {
        "schemas": {
            "Thing": {
                "type": "object",
                "properties": {
                    "id": {"type": "string", "maxLength": 9},
                    "kind": {"type": "string", "enum": ["a", "b"]},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "part": {"$ref": "#/components/schemas/Thing"},
                },
                "required": ["id", "kind"],
            },
            "New": {
                "type": "object",
                "properties": {
                    "id": {"type": "string", "maxLength": 9},
                    "kind": {"type": "string", "enum": ["a", "b"]},
                    "level": {"type": "number", "maximum": 5},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "made": {"type": "string", "readOnly": True},
                },
                "required": ["id"],
                "additionalProperties": False,
            },
        }
    },
}
Edit = Callable[[dict[str, Any]], object]


def thing(document: dict[str, Any]) -> dict[str, Any]:
    return document["components"]["schemas"]["Thing"]


def new(document: dict[str, Any]) -> dict[str, Any]:
    return document["components"]["schemas"]["New"]


def get(document: dict[str, Any]) -> dict[str, Any]:
    return document["paths"][PATH]["get"]


def post(document: dict[str, Any]) -> dict[str, Any]:
    return document["paths"][PATH]["post"]


def size(document: dict[str, Any]) -> dict[str, Any]:
    return get(document)["parameters"][0]


BREAKS: dict[str, tuple[Edit, str]] = {
    "path": (lambda d: d["paths"].pop(PATH), "is gone"),
    "operation": (lambda d: d["paths"][PATH].pop("get"), "is gone"),
    "status": (lambda d: get(d)["responses"].pop("404"), "status 404 is gone"),
    "header": (
        lambda d: get(d)["responses"]["200"]["headers"].clear(),
        "header X-Request-ID of 200 is gone",
    ),
    "media type of an answer": (
        lambda d: get(d)["responses"]["200"]["content"].clear(),
        "application/json of 200 is gone",
    ),
    "field of an answer": (lambda d: thing(d)["properties"].pop("tags"), "answer 200.tags is gone"),
    "required field of an answer": (
        lambda d: thing(d)["required"].remove("kind"),
        "answer 200.kind may be missing now",
    ),
    "wider enum of an answer": (
        lambda d: thing(d)["properties"]["kind"]["enum"].append("c"),
        'answer 200.kind may be "c" now',
    ),
    "no enum of an answer": (
        lambda d: thing(d)["properties"]["kind"].pop("enum"),
        "answer 200.kind may be outside its enum now",
    ),
    "wider type of an answer": (
        lambda d: thing(d)["properties"]["id"].update(type=["string", "null"]),
        "answer 200.id may be null now",
    ),
    "wider items of an answer": (
        lambda d: thing(d)["properties"]["tags"]["items"].update(type=["string", "integer"]),
        "answer 200.tags[] may be integer now",
    ),
    "wider range of an answer": (
        lambda d: thing(d)["properties"]["id"].update(maxLength=10),
        "answer 200.id: maxLength 9 → 10",
    ),
    "parameter": (lambda d: get(d)["parameters"].clear(), "query parameter size is gone"),
    "parameter required": (
        lambda d: size(d).update(required=True),
        "query parameter size is required now",
    ),
    "new required parameter": (
        lambda d: get(d)["parameters"].append(
            {"in": "query", "name": "n", "required": True, "schema": {}}
        ),
        "query parameter n is required now",
    ),
    "narrower range of a parameter": (
        lambda d: size(d)["schema"].update(maximum=9),
        "query parameter size: maximum 10 → 9",
    ),
    "narrower lower bound": (
        lambda d: size(d)["schema"].update(minimum=2),
        "query parameter size: minimum 1 → 2",
    ),
    "new bound": (
        lambda d: new(d)["properties"]["id"].update(minLength=2),
        "request body.id: minLength none → 2",
    ),
    "other pattern": (
        lambda d: new(d)["properties"]["id"].update(pattern="x"),
        "request body.id: pattern none → x",
    ),
    "body required": (
        lambda d: post(d)["requestBody"].update(required=True),
        "request body is required now",
    ),
    "new required body": (
        lambda d: get(d).update(requestBody={"required": True, "content": {}}),
        "request body is required now",
    ),
    "body": (lambda d: post(d).pop("requestBody"), "request body is gone"),
    "media type of a body": (
        lambda d: post(d)["requestBody"]["content"].clear(),
        "application/json is not accepted any more",
    ),
    "required field": (
        lambda d: new(d)["required"].append("level"),
        "request body.level is required now",
    ),
    "field": (lambda d: new(d)["properties"].pop("level"), "request body.level is refused now"),
    "narrower enum": (
        lambda d: new(d)["properties"]["kind"]["enum"].remove("b"),
        'request body.kind may not be "b" any more',
    ),
    "new enum": (
        lambda d: new(d)["properties"]["id"].update(enum=["x"]),
        "request body.id may not be outside its enum any more",
    ),
    "narrower type": (
        lambda d: new(d)["properties"]["level"].update(type="integer"),
        "request body.level may not be number any more",
    ),
    "narrower values of a map": (
        lambda d: new(d)["properties"]["labels"]["additionalProperties"].update(maxLength=3),
        "request body.labels.*: maxLength none → 3",
    ),
    "beside a reference": (
        lambda d: post(d)["requestBody"]["content"]["application/json"]["schema"].update(
            minProperties=2
        ),
        "request body: minProperties none → 2",
    ),
    "closed map": (
        lambda d: new(d)["properties"]["labels"].update(additionalProperties=False),
        "request body.labels refuses unknown properties now",
    ),
    "a key for everybody": (
        lambda d: d.update(security=[{"key": []}]),
        "a security scheme is not accepted any more",
    ),
}


@pytest.mark.parametrize(("edit", "message"), BREAKS.values(), ids=BREAKS)
def test_breaking_changes_are_named(edit: Edit, message: str) -> None:
    """A problem names the operation, the break and the fix; unchanged operations have none."""
    changed = copy.deepcopy(OLD)
    edit(changed)
    problems = compatibility.breaking_changes(OLD, changed, TODAY)
    assert message in [problem.message for problem in problems]
    assert {problem.check for problem in problems} == {"contract"}
    assert all(
        problem.where.startswith("openapi.json: ") and "make generate BREAKING=1" in problem.fix
        for problem in problems
    )
    if message.startswith(("answer", "query")):
        assert {problem.where for problem in problems} == {f"openapi.json: GET {PATH}"}


FREE: dict[str, Edit] = {
    "nothing": lambda d: d,
    "new path": lambda d: d["paths"].update({"/new": {"get": {"responses": {}}}}),
    "new status": lambda d: get(d)["responses"].update({"429": {"description": "slow down"}}),
    "new optional parameter": lambda d: get(d)["parameters"].append(
        {"in": "query", "name": "n", "schema": {}}
    ),
    "new field of an answer": lambda d: thing(d)["properties"].update(more={"type": "string"}),
    "narrower answer": lambda d: thing(d)["properties"]["kind"]["enum"].remove("b"),
    "answer promises more": lambda d: thing(d)["required"].append("tags"),
    "new optional field": lambda d: new(d)["properties"].update(more={"type": "string"}),
    "wider request": lambda d: new(d)["properties"]["level"].pop("maximum"),
    "wider enum": lambda d: new(d)["properties"]["kind"]["enum"].append("c"),
    "any number for a whole one": lambda d: size(d)["schema"].update(type="number"),
    "optional now": lambda d: new(d)["required"].clear(),
    "read-only field leaves the request": lambda d: new(d)["properties"].pop("made"),
    "open body": lambda d: new(d).pop("additionalProperties"),
    "words": lambda d: (
        d["info"].update(title="other"),
        get(d).update(summary="x", description="y", **{"x-any": 1}),
    ),
    "examples": lambda d: get(d)["responses"]["200"]["content"]["application/json"].update(
        example={}
    ),
    "last slash": lambda d: d["paths"].update({f"{PATH}/": d["paths"].pop(PATH)}),
    "name of a path parameter": lambda d: d["paths"].update(
        {"/things/{thing_id}": d["paths"].pop(PATH)}
    ),
    "a key that nobody needs": lambda d: d.update(security=[{"key": []}, {}]),
    "another name of a schema": lambda d: (
        d["components"]["schemas"].update(Renamed=copy.deepcopy(new(d))),
        post(d)["requestBody"]["content"]["application/json"].update(
            schema={"$ref": "#/components/schemas/Renamed"}
        ),
    ),
}


@pytest.mark.parametrize("edit", FREE.values(), ids=FREE)
def test_compatible_changes_are_accepted(edit: Edit) -> None:
    """Additions, wider requests, narrower responses and new texts break no caller."""
    changed = copy.deepcopy(OLD)
    edit(changed)
    assert compatibility.breaking_changes(OLD, changed, TODAY) == []


@pytest.mark.parametrize(
    ("security", "breaks"),
    [([{"other": []}], 2), ([{"other": []}, {}], 0), ([{"other": []}, {"key": []}], 0), ([], 0)],
)
def test_replaced_security_scheme_is_a_break(security: list[dict[str, Any]], breaks: int) -> None:
    """Every operation is affected; a scheme may be added or dropped."""
    old = OLD | {"security": [{"key": []}]}
    changed = OLD | {"security": security}
    assert len(compatibility.breaking_changes(old, changed, TODAY)) == breaks


@pytest.mark.parametrize(
    ("sunset", "breaks"), [("2026-05-31", 0), ("2026-06-01", 0), ("2026-06-02", 1)]
)
def test_deprecated_operation_may_be_removed_on_its_sunset_date(sunset: str, breaks: int) -> None:
    """Before that day the removal is a break."""
    old = copy.deepcopy(OLD)
    get(old).update({"deprecated": True, "x-sunset": sunset})
    changed = copy.deepcopy(OLD)
    del changed["paths"][PATH]["get"]
    assert len(compatibility.breaking_changes(old, changed, TODAY)) == breaks
