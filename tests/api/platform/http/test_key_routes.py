"""/api/v1/keys: creating, listing and revoking keys, for admins only."""

import json
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.platform.clock import now
from tests.api.platform.helpers import KEYS, ORDERS, bearer, is_problem

PATH = "/api/v1/keys"
KEY = {"name": "dashboard", "scope": "read"}
FIELDS = {
    "id",
    "name",
    "scope",
    "unlimited",
    "created_at",
    "expires_at",
    "revoked_at",
    "last_used_at",
}


def create(client: FlaskClient, **values: object) -> dict[str, str]:
    answer = client.post(PATH, json=KEY | values)
    assert answer.status_code == 201, answer.text
    return answer.get_json()


def test_new_key_is_shown_once_and_works(client: FlaskClient, app: Flask) -> None:
    """Only the uncached response contains it; it opens routes of its scope and no others."""
    answer = client.post(PATH, json=KEY)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    body = answer.get_json()
    assert set(body) == FIELDS | {"key"}
    assert (body["name"], body["scope"], body["unlimited"], len(body["id"])) == (
        "dashboard",
        "read",
        False,
        12,
    )
    assert body["key"].startswith("evara_")
    assert body["key"] not in client.get(PATH).text
    assert app.test_client().get(ORDERS, headers=bearer(body["key"])).status_code == 200
    assert app.test_client().get(PATH, headers=bearer(body["key"])).status_code == 403


def test_every_key_is_unique(client: FlaskClient) -> None:
    """Two keys may have one name."""
    first, second = create(client), create(client)
    assert first["key"] != second["key"]
    assert first["id"] != second["id"]


@pytest.mark.parametrize("form", ["{}", "of {}.", "percent-encoded"])
def test_name_must_not_contain_a_key(client: FlaskClient, form: str) -> None:
    """Names are listed and logged; the refusal does not repeat the key."""
    key = create(client)["key"]
    name = form.format(key) if "{}" in form else key.replace("_", "%5F")
    answer = client.post(PATH, json=KEY | {"name": name})
    assert "name" in is_problem(answer, 422)["errors"]["json"]
    assert key[6:] not in answer.text + client.get(PATH).text
    assert create(client, name="evara_http_requests_total")["name"] == "evara_http_requests_total"


def test_list_has_pages_and_no_secrets(client: FlaskClient) -> None:
    """The newest is first; revoked keys are listed; tokens and digests are not shown."""
    names = [f"key {number}" for number in range(3)]
    ids = [create(client, name=name)["id"] for name in names]
    page = client.get(PATH, query_string={"page_size": 2}).get_json()
    assert (page["total"], page["page"], page["page_size"]) == (7, 1, 2)
    assert [item["id"] for item in page["items"]] == ids[:0:-1]
    assert all(set(item) == FIELDS for item in page["items"])
    assert (
        client.get(PATH, query_string={"page_size": 2, "page": 2}).get_json()["items"][0]["id"]
        == ids[0]
    )
    client.delete(f"{PATH}/{ids[0]}")
    assert client.get(PATH).get_json()["total"] == 7


def test_revoked_key_is_refused_and_listed(client: FlaskClient, app: Flask) -> None:
    """Revoking twice answers 204 and keeps the first time."""
    key = create(client)
    assert app.test_client().get(ORDERS, headers=bearer(key["key"])).status_code == 200
    assert client.delete(f"{PATH}/{key['id']}").status_code == 204
    assert app.test_client().get(ORDERS, headers=bearer(key["key"])).status_code == 401
    first = client.get(PATH).get_json()["items"][0]["revoked_at"]
    assert first
    assert client.delete(f"{PATH}/{key['id']}").status_code == 204
    assert client.get(PATH).get_json()["items"][0]["revoked_at"] == first


@pytest.mark.parametrize("key_id", ["nothing", "x" * 500, "%00", "'"])
def test_revoking_an_unknown_key_is_404(client: FlaskClient, key_id: str) -> None:
    """Unknown and malformed ids."""
    is_problem(client.delete(f"{PATH}/{key_id}"), 404)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 101),
        ("name", "two\nlines"),
        ("name", None),
        ("scope", "root"),
        ("scope", None),
        ("unlimited", "perhaps"),
        ("unlimited", 0),
        ("unlimited", "true"),
        ("expires_at", "2020-01-01T00:00:00Z"),
        ("expires_at", "2120-01-01T00:00:00"),
        ("expires_at", "soon"),
        ("key", "evara_mine"),
        ("id", "mine"),
        ("digest", "0" * 64),
        ("last_used_at", "2026-01-01T00:00:00Z"),
    ],
)
def test_invalid_field_of_a_key_is_named(client: FlaskClient, field: str, value: object) -> None:
    """422 names the field; callers cannot choose the token or the id."""
    before = client.get(PATH).get_json()["total"]
    assert field in is_problem(client.post(PATH, json=KEY | {field: value}), 422)["errors"]["json"]
    assert client.get(PATH).get_json()["total"] == before


def test_a_key_may_expire(client: FlaskClient) -> None:
    """`expires_at` needs a zone; null means never."""
    moment = (now() + timedelta(days=90)).replace(microsecond=0)
    assert create(client, expires_at=moment.isoformat())["expires_at"] == moment.isoformat()
    assert create(client, expires_at=None)["expires_at"] is None


@pytest.mark.parametrize("scope", ["read", "write"])
def test_only_admins_manage_keys(app: Flask, scope: str) -> None:
    """The scopes read and write are not enough."""
    client = app.test_client()
    for answer in (
        client.get(PATH, headers=bearer(KEYS[scope])),
        client.post(PATH, json=KEY, headers=bearer(KEYS[scope])),
        client.delete(f"{PATH}/read", headers=bearer(KEYS[scope])),
    ):
        assert f"this key has scope {scope}" in is_problem(answer, 403)["detail"]


def test_token_is_never_logged(client: FlaskClient, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither when the key is created nor when it is used."""
    key = create(client)["key"]
    client.get(ORDERS, headers=bearer(key))
    client.get(ORDERS, headers=bearer(key + "x"))
    output = capsys.readouterr()
    assert key not in output.err + output.out
    assert json.dumps(key) not in output.err
