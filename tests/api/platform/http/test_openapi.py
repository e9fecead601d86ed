"""The OpenAPI document of an app is complete; requests and responses are checked against it."""

import json
import re
from typing import Any

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient

from api.platform.http import openapi_document
from api.platform.state import app_state
from tests.api.platform.helpers import ORDER, ORDERS, is_problem
from tests.api.platform.other_app import PLAN, orders
from tests.contract_validation import assert_documented, assert_examples_match, mismatch

KEY = "/api/v1/keys/read"


def test_every_operation_is_documented(app: Flask) -> None:
    """The platform adds the responses, headers and examples that all operations have in common."""
    for http, operation in openapi_document.operations(app_state(app).document):
        assert_documented(PLAN, http, operation)


def test_examples_of_responses_match_their_schemas(app: Flask) -> None:
    """The schemas allow no undeclared properties here."""
    assert_examples_match(app)


@pytest.mark.parametrize(
    ("method", "path", "parameter"),
    [
        ("GET", f"{ORDERS}?colour=red", "colour"),
        ("GET", f"{ORDERS}?page=1&page=1", "page"),
        ("GET", f"{ORDERS}?page=1_0", "page"),
        ("GET", f"{ORDERS}?page=%201", "page"),
        ("GET", f"{ORDERS}?page=%EF%BC%91", "page"),
        ("GET", f"{ORDERS}?page=", "page"),
        ("GET", f"{ORDERS}?page_size=1e2", "page_size"),
        ("GET", f"{ORDERS}?page_size=99999999999999999999", "page_size"),
        ("POST", f"{ORDERS}?page=1", "page"),
        ("DELETE", f"{KEY}?force=1", "force"),
        ("GET", "/health/live?verbose=1", "verbose"),
    ],
)
def test_unknown_repeated_and_invalid_query_parameters_are_refused(
    client: FlaskClient, method: str, path: str, parameter: str
) -> None:
    """422 names the parameter; numbers that only Python can read are invalid."""
    body = ORDER if method == "POST" else None
    answer = client.open(path, method=method, json=body)
    assert list(is_problem(answer, 422)["errors"]["query"]) == [parameter]


@pytest.mark.parametrize(("method", "path"), [("GET", ORDERS), ("HEAD", ORDERS), ("DELETE", KEY)])
def test_body_of_an_operation_without_one_is_refused(
    client: FlaskClient, method: str, path: str
) -> None:
    """The sender expects an effect that the body would not have, so nothing is done."""
    chunked = {"Transfer-Encoding": "chunked"}
    empty = {"Content-Type": "application/json", "Content-Length": "0"}
    assert client.open(path, method=method, json={"force": True}).status_code == 400
    assert client.open(path, method=method, headers=chunked).status_code == 400
    keys = client.get("/api/v1/keys").get_json()["items"]
    assert [key["revoked_at"] for key in keys if key["id"] == "read"] == [None]
    assert client.open(path, method=method, headers=empty).status_code in {200, 204}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 201),
        ({"Content-Type": "application/json; charset=utf-8"}, 201),
        ({"Content-Type": "application/json; charset=UTF-8"}, 201),
        ({"Content-Type": "application/json", "Content-Encoding": "identity"}, 201),
        ({"Content-Type": "application/json; charset=latin-1"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/problem+json"}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({}, 415),
    ],
)
def test_body_that_is_not_plain_json_is_refused(
    client: FlaskClient, headers: dict[str, str], status: int
) -> None:
    """Other types, charsets and encodings are answered with 415 before the body is parsed."""
    assert client.post(ORDERS, data=json.dumps(ORDER), headers=headers).status_code == status


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('{"amount": 1, "id": "a", "id": "b"}', "id"),
        ('{"amount": 1, "id": "a", "\\u0069d": "a"}', "id"),
        ('{"x": [{"y": {"k": 1, "k": null}}]}', "k"),
        ('[{"a": 1}, {"a": 2, "b": {"": 1, "": 2}}]', ""),
        ('{"n": 1e300, "n": 123456789012345678901234567890}', "n"),
    ],
)
def test_body_with_a_repeated_key_is_refused(client: FlaskClient, body: str, key: str) -> None:
    """Parsers differ in which of the values they take, so the answer names the key."""
    answer = client.post(ORDERS, data=body, content_type="application/json")
    problem = is_problem(answer, 400)
    assert problem["detail"] == f"The body has the key {key!r} more than once in one object."


def test_detail_of_a_repeated_key_is_short_and_redacted(client: FlaskClient) -> None:
    """A key of any length and content gives a short answer, without the secrets in it."""
    for key in ("k" * 100_000, "evara_" + "Ab3" * 14):
        body = f'{{"{key}": 1, "{key}": 2}}'
        answer = client.post(ORDERS, data=body, content_type="application/json")
        problem = is_problem(answer, 400)
        assert len(problem["detail"]) < 200
        assert "Ab3" not in problem["detail"]


@pytest.mark.parametrize(("depth", "status"), [(16, 422), (17, 400), (1_000, 400), (100_000, 400)])
def test_body_nested_more_than_16_levels_is_refused(
    client: FlaskClient, depth: int, status: int
) -> None:
    """The schema refuses 16 levels; the parser refuses any larger number of levels."""
    answer = client.post(ORDERS, data="[" * depth + "]" * depth, content_type="application/json")
    body = is_problem(answer, status)
    if depth == 17:
        assert body["detail"] == "The body is nested more than 16 levels deep."


@pytest.mark.parametrize("path", [ORDERS, f"{ORDERS}/"])
def test_url_with_and_without_slash_has_the_same_methods(client: FlaskClient, path: str) -> None:
    """405 and OPTIONS list the allowed methods; HEAD is GET without a body."""
    refused = client.put(path, json={})
    is_problem(refused, 405)
    allowed = {"GET", "HEAD", "OPTIONS", "POST"}
    for answer in (refused, client.options(path)):
        assert set(answer.headers["Allow"].split(", ")) == allowed
    head = client.head(path)
    assert (head.status_code, head.data, head.mimetype) == (200, b"", "application/json")


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (
            {"items": [], "page": 1, "page_size": 9},
            "orders.list 200: $ 'total' is a required property",
        ),
        ({"items": [ORDER], "page": 1, "page_size": 9, "total": 1}, "is a required property"),
    ],
)
def test_response_that_breaks_the_contract_fails_the_test(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, page: dict[str, Any], message: str
) -> None:
    """Only the client of tests validates responses; the API sends them as they are."""
    monkeypatch.setattr(orders, "paged", lambda *_, **__: page)
    with pytest.raises(AssertionError, match=re.escape(message)):
        client.get(ORDERS)


def test_undocumented_status_fails_the_test(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view that sends 418 must document it."""

    def refuse(*_: object, **__: object) -> None:
        abort(418)

    monkeypatch.setattr(orders, "paged", refuse)
    with pytest.raises(AssertionError, match=r"orders\.list does not document 418"):
        client.get(ORDERS)


def test_undocumented_property_fails_the_test(app: Flask) -> None:
    """So do another media type and a body where none is documented."""
    documented = app_state(app).document["paths"][ORDERS]["get"]["responses"]["200"]
    example = documented["content"]["application/json"]["example"]
    assert mismatch(app, "GET", ORDERS, app.json.response(example)) is None
    coloured = app.json.response(example | {"colour": "red"})
    assert "'colour' was unexpected" in str(mismatch(app, "GET", ORDERS, coloured))
    page = app.make_response("<p>")
    assert "does not document text/html" in str(mismatch(app, "GET", ORDERS, page))
    revoked = app.make_response(("null", 204))
    assert mismatch(app, "DELETE", KEY, revoked) is None
    assert mismatch(app, "GET", "/nothing", page) is None
