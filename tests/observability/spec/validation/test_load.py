"""Load that cannot be sent is a problem of the catalogue, named with its route."""

from pathlib import Path

import pytest

from observability.spec.loading import load_plan
from observability.spec.problems import Invalid
from tests.loadtests.shop import CATALOGUE


def problems_of(tmp_path: Path, *edits: tuple[str, str]) -> list[tuple[str, str, str]]:
    """Return key, message and fix of each problem of the shop's catalogue with edits."""
    text = CATALOGUE
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "catalogue.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        load_plan(path)
    except Invalid as error:
        return [(p.where.split(": ")[1], p.message, p.fix) for p in error.problems]
    return []


def test_resources_by_path_are_complete(tmp_path: Path) -> None:
    """Resources below others, and a path that `provides` names in full, need nothing more."""
    assert problems_of(tmp_path) == []


@pytest.mark.parametrize(
    ("edit", "key", "resource"),
    [
        (("weight: 1, provides: {id: id}}", "weight: 1}"), "users.get", "/users/{id}"),
        (('id: id, "/invoices/{number}": id', "id: id"), "invoices.get", "/invoices/{number}"),
        (("{note: id}", '{"/notes/{id}": id}'), "notes.get", "/users/{user}/notes/{note}"),
        (
            ("/orders\n    load: {weight: 1,", "/orders/{day}\n    load: {weight: 1,"),
            "orders.create",
            "/orders/{day}",
        ),
    ],
)
def test_parameter_that_no_route_provides_is_named(
    tmp_path: Path, edit: tuple[str, str], key: str, resource: str
) -> None:
    """Another resource with a parameter of the same name does not count."""
    other_import = ('{"/users/{id}/notes/{note}": id}', '{"/imports/{id}": id}')
    problems = problems_of(tmp_path, edit, other_import)
    message = f"cannot be sent: no route with load creates a resource for {resource}"
    [fix] = [
        fix for where, text, fix in problems if (where, text) == (f"routes.{key}.load", message)
    ]
    assert f'`provides: {{"{resource}": <field of its response>}}`' in fix


def test_fixed_resource_needs_no_provider(tmp_path: Path) -> None:
    """A parameter whose value is fixed is complete, also for the routes below it."""
    edits = [
        ("weight: 1, provides: {id: id}}", "weight: 1}"),
        ('GET /users/{id}", next', 'GET /users/{id}", load: {weight: 1, fixed: {id: a}}, next'),
        (
            'DELETE /users/{id}", load: {weight: 1, consumes: id}',
            'DELETE /users/{id}", load: {weight: 0}',
        ),
        ("provides: {note: id}", "provides: {note: id}, fixed: {id: a}"),
        ('1, provides: {"/users/{id}/notes', '1, fixed: {id: a}, provides: {"/users/{id}/notes'),
        ('load: {weight: 1, provides: {"/users/{id}": id}}', "load: {weight: 0}"),
    ]
    assert problems_of(tmp_path, *edits) == []


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            (
                "weight: 1, provides: {note: id}",
                "weight: 1, provides: {note: id}, fixed: {user: a}",
            ),
            "'user' is not a parameter of POST /users/{id}/notes",
        ),
        (
            ("weight: 1, consumes: note", "weight: 1, consumes: notes"),
            "'notes' is not a parameter of DELETE /users/{id}/notes/{note}",
        ),
        (
            ("weight: 1, consumes: note", "weight: 1, consumes: note, fixed: {note: a}"),
            "deletes the 'note' that it names as fixed, so only once",
        ),
    ],
)
def test_load_names_only_parameters_of_its_path(
    tmp_path: Path, edit: tuple[str, str], message: str
) -> None:
    """A name that the path does not have would change nothing, or raise in every client."""
    assert message in [text for _, text, _ in problems_of(tmp_path, edit)]


def test_routes_that_need_each_other_cannot_be_sent(tmp_path: Path) -> None:
    """Two routes that each need what the other creates would never send a request."""
    edits = [
        (
            "POST /users, load: {weight: 1, provides: {id: id}}",
            '"POST /orders/{id}/users", load: {weight: 1, provides: {"/users/{id}": id}}',
        ),
        ("http: POST /orders\n", "http: POST /users/{id}/orders\n"),
        ('provides: {id: id, "/invoices', 'provides: {"/orders/{id}": id, "/invoices'),
    ]
    keys = {where for where, _, _ in problems_of(tmp_path, *edits)}
    assert {"routes.users.create.load", "routes.orders.create.load"} <= keys
