"""The routes of /api/v1/nodes."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from api.platform.state import app_state
from tests.api.helpers import NODE, NODES, READINGS, reading, send, stored
from tests.api.platform.helpers import is_problem


@pytest.mark.parametrize("path", [NODES, NODES + "/"])
def test_url_with_trailing_slash_is_not_redirected(client: FlaskClient, path: str) -> None:
    """Listing and creating work with both forms of the URL."""
    assert client.post(path, json=NODE).status_code == 201
    assert client.get(path).get_json()["total"] == 1


def test_created_node_is_returned(client: FlaskClient) -> None:
    """As it was sent, with times, and without the channel's key."""
    sent = NODE | {"channel_id": 7, "channel_key": "ABCDEFGH12", "fields": {"field1": "flow_lps"}}
    created = client.post(NODES, json=sent).get_json()
    assert created == client.get(f"{NODES}/tank-01").get_json()
    assert "channel_key" not in created
    assert {key: created[key] for key in sent if key != "channel_key"} == {
        key: sent[key] for key in sent if key != "channel_key"
    }
    assert created["created_at"].endswith("+00:00")


def test_list_has_filters_and_pages(client: FlaskClient) -> None:
    """It is sorted by id; `total` counts the matching nodes."""
    for number in range(5):
        client.post(
            NODES,
            json=NODE | {"id": f"n{number}", "kind": "bore_well" if number % 2 else "water_tank"},
        )
    second = client.get(f"{NODES}?page=2&page_size=2").get_json()
    assert [item["id"] for item in second.pop("items")] == ["n2", "n3"]
    assert second == {"page": 2, "page_size": 2, "total": 5}
    wells = client.get(f"{NODES}?kind=bore_well").get_json()
    assert ([item["id"] for item in wells["items"]], wells["total"]) == (["n1", "n3"], 2)
    assert client.get(f"{NODES}?page=9").get_json()["items"] == []


def test_existing_id_is_a_conflict(client: FlaskClient, node: str) -> None:
    """The stored node does not change."""
    is_problem(client.post(NODES, json=NODE | {"name": "Another"}), 409)
    assert client.get(f"{NODES}/{node}").get_json()["name"] == NODE["name"]


def test_patch_changes_only_the_given_fields(client: FlaskClient, node: str) -> None:
    """An empty body changes nothing."""
    changed = client.patch(f"{NODES}/{node}", json={"name": "West"}).get_json()
    assert (changed["name"], changed["kind"]) == ("West", "water_tank")
    assert client.patch(f"{NODES}/{node}", json={}).get_json()["name"] == "West"
    assert client.patch(f"{NODES}/{node}", json={"channel_id": 5}).get_json()["channel_id"] == 5
    assert (
        client.patch(f"{NODES}/{node}", json={"channel_id": None}).get_json()["channel_id"] is None
    )


def test_delete_deletes_the_readings(client: FlaskClient, app: Flask, node: str) -> None:
    """The node, its readings and its latest values."""
    send(client, reading(0), reading(1))
    answer = client.delete(f"{NODES}/{node}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert stored(app) == 0
    assert client.post(NODES, json=NODE).status_code == 201
    assert client.get(f"{NODES}/{node}/latest").get_json() == {"items": []}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"{NODES}/nobody", None),
        ("PATCH", f"{NODES}/nobody", {"name": "x"}),
        ("DELETE", f"{NODES}/nobody", None),
        ("GET", f"{NODES}/nobody/readings", None),
        ("GET", f"{NODES}/nobody/latest", None),
        ("POST", f"{NODES}/nobody/readings", {"readings": [reading()]}),
        ("GET", f"{NODES}/%00", None),
        ("GET", f"{NODES}/%ff%fe", None),
        ("GET", f"{NODES}/{'x' * 5000}", None),
        ("POST", f"{NODES}/a%00b/readings", {"readings": [reading()]}),
    ],
)
def test_unknown_node_is_404(client: FlaskClient, method: str, path: str, body: object) -> None:
    """On every route of a node, whatever the id."""
    is_problem(client.open(path, method=method, json=body), 404)


INVALID_VALUES: dict[str, list[object]] = {
    "id": ["UPPER", "", "-first", "x" * 64, "tank-01\n", "a/b", 5, None],
    "name": ["", "x" * 201, None, 5, "nul\0", "two\nlines"],
    "kind": ["house", None, ["water_tank"]],
    "channel_id": [0, True, "7", 1.5, 2**31, 10**18],
    "channel_key": ["short", "ABCDEFGH\n", 12345678],
    "fields": [{"field9": "flow"}, {"field1": "Flow"}, {"field1": None}, [], None],
    "alarms": [
        None,
        {"Level": {"below": 1}},
        {"level_m": {}},
        {"level_m": None},
        {"level_m": {"below": "1"}},
        {"level_m": {"below": True}},
        {"level_m": {"above": None}},
        {"level_m": {"below": 2, "above": 1}},
        {"level_m": {"below": 1, "above": 1}},
        {"level_m": {"below": 1, "around": 2}},
        {"level_m": {"above": 1e13}},
        {f"metric_{number}": {"below": 1} for number in range(21)},
    ],
    "unknown": [1],
    "created_at": ["2026-01-01T00:00:00Z"],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in INVALID_VALUES.items() for value in values],
)
def test_invalid_node_is_refused(client: FlaskClient, field: str, value: object) -> None:
    """422 names the invalid field, and nothing is stored."""
    body = is_problem(client.post(NODES, json=NODE | {field: value}), 422)
    assert list(body["errors"]["json"]) == [field]
    assert client.get(NODES).get_json()["total"] == 0


@pytest.mark.parametrize(
    "change",
    [{"id": "other"}, {"name": None}, {"kind": "house"}, {"fields": None}, {"name": "nul\0"}],
)
def test_invalid_patch_changes_nothing(
    client: FlaskClient, node: str, change: dict[str, object]
) -> None:
    """The id can never be changed."""
    before = client.get(f"{NODES}/{node}").get_json()
    is_problem(client.patch(f"{NODES}/{node}", json=change), 422)
    assert client.get(f"{NODES}/{node}").get_json() == before


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=-1",
        f"page={10**30}",
        "page=x",
        f"page={'9' * 5000}",
        "page_size=0",
        "page_size=1001",
        "kind=house",
        "foo=1",
    ],
)
def test_invalid_query_is_refused(client: FlaskClient, query: str) -> None:
    """Pages out of range, unknown kinds and unknown parameters are 422."""
    body = is_problem(client.get(f"{NODES}?{query}"), 422)
    assert list(body["errors"]["query"]) == [query.split("=")[0]]


def test_head_is_get_without_the_body(client: FlaskClient, node: str) -> None:
    """Content-Length is that of GET."""
    answer = client.head(f"{NODES}/{node}")
    assert (answer.status_code, answer.data) == (200, b"")
    assert (
        answer.headers["Content-Length"] == client.get(f"{NODES}/{node}").headers["Content-Length"]
    )


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        (f"{NODES}/", {"GET", "HEAD", "OPTIONS", "POST"}),
        (f"{NODES}/tank-01", {"GET", "HEAD", "OPTIONS", "PATCH", "DELETE"}),
        (READINGS, {"GET", "HEAD", "OPTIONS", "POST"}),
    ],
)
def test_options_lists_the_allowed_methods(
    client: FlaskClient, path: str, methods: set[str]
) -> None:
    """OPTIONS names exactly the methods that the URL has."""
    answer = client.options(path)
    assert (answer.status_code, set(answer.allow)) == (200, methods)


def test_alarms_can_be_stored_changed_and_removed(client: FlaskClient, node: str) -> None:
    """One limit is enough; {} removes all alarms."""
    assert client.get(f"{NODES}/{node}").get_json()["alarms"] == {}
    for alarms in (
        {"level_m": {"below": 0.5, "above": 3.0}, "flow_lps": {"above": 0}},
        {"level_m": {"below": -1.5}},
        {},
    ):
        assert (
            client.patch(f"{NODES}/{node}", json={"alarms": alarms}).get_json()["alarms"] == alarms
        )
        assert client.get(f"{NODES}/{node}").get_json()["alarms"] == alarms


def test_examples_of_the_contract_are_accepted(client: FlaskClient) -> None:
    """Load runs send them."""
    paths = client.get("/openapi.json").get_json()["paths"]
    node = body_example(paths["/api/v1/nodes"]["post"])
    assert client.post("/api/v1/nodes", json=node).status_code == 201
    path = "/api/v1/nodes/{node_id}/readings"
    readings = body_example(paths[path]["post"])
    assert client.post(path.format(node_id=node["id"]), json=readings).status_code == 201


def body_example(operation: dict[str, Any]) -> Any:
    """Return the example of an operation's request body."""
    return operation["requestBody"]["content"]["application/json"]["example"]


@pytest.mark.parametrize(
    "value",
    [
        "' OR '1'='1",
        "tank-01'; DROP TABLE nodes; --",
        'tank-01" --',
        "%' UNION SELECT channel_key FROM nodes --",
    ],
)
def test_sql_in_values_is_not_executed(client: FlaskClient, node: str, value: str) -> None:
    """Quotes and statements in ids, filters and bodies match nothing and change nothing."""
    path = f"{NODES}/{quote(value, safe='')}"
    assert client.get(path).status_code == 404
    assert client.delete(path).status_code == 404
    assert client.get(f"{path}/latest").status_code == 404
    assert client.get(NODES, query_string={"kind": value}).status_code == 422
    assert client.get(READINGS, query_string={"metric": value}).status_code == 422
    assert client.patch(f"{NODES}/{node}", json={"name": value}).get_json()["name"] == value
    assert [item["id"] for item in client.get(NODES).get_json()["items"]] == [node]


def test_requests_cannot_name_a_host(client: FlaskClient) -> None:
    """No field or parameter is a URL, and a channel number cannot become one."""
    contract = client.get("/openapi.json").text
    assert not re.search(r'"format": *"(uri|url|hostname|ipv4|ipv6)', contract)
    for channel in ("http://169.254.169.254/", "1001/../..", "1001@evil.org"):
        is_problem(client.post(NODES, json=NODE | {"channel_id": channel}), 422)


@pytest.mark.parametrize(
    ("alarms", "is_valid"),
    [
        ({"level_m": {"below": 1}, "m2": {"above": -1.5}, "m3": {"below": 1, "above": 2}}, True),
        ({}, True),
        ({f"m{number}": {"below": 1} for number in range(20)}, True),
        ({f"m{number}": {"below": 1} for number in range(21)}, False),
        ({"Level": {"below": 1}}, False),
        ({"level_m": {}}, False),
        ({"level_m": {"beneath": 1}}, False),
        ({"level_m": {"below": "1"}}, False),
    ],
)
def test_api_and_schema_accept_the_same_alarms(
    app: Flask, client: FlaskClient, alarms: dict[str, Any], is_valid: bool
) -> None:
    """JSON Schema cannot express below < above, so the description says it."""
    components = app_state(app).document["components"]
    schema = {"$ref": "#/components/schemas/NodeNew", "components": components}
    body = NODE | {"alarms": alarms}
    assert Draft202012Validator(schema).is_valid(body) is is_valid
    assert client.post(NODES, json=body).status_code == (201 if is_valid else 422)
    properties = components["schemas"]["NodeNew"]["properties"]
    assert "below < above" in properties["alarms"]["additionalProperties"]["description"]
