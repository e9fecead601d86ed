"""The published contract is complete, and requests, answers and deprecations are held to it."""

import copy
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient
from flask_smorest import Blueprint
from jsonschema import Draft202012Validator
from marshmallow import fields

from api import app as app_module
from api.platform import factory
from api.platform.http import openapi_document
from api.platform.http.compatibility import breaking_changes
from api.platform.http.parsing import AnswerSchema, ApiBlueprint
from api.platform.state import app_state
from api.services import nodes
from observability.spec import loading
from observability.spec.loading import CATALOGUE
from tests.api.conftest import NOUNS, MakeApp
from tests.api.helpers import NODE, NODES, READINGS, batch, reading
from tests.api.platform.helpers import is_problem
from tests.contract_validation import mismatch, validator_of

APP_KIND = NOUNS

ROOT = Path(__file__).resolve().parents[4]
DOCUMENT = json.loads((ROOT / "api" / "openapi.json").read_text(encoding="utf-8"))
OPERATIONS = [
    pytest.param(http, operation, id=str(http))
    for http, operation in openapi_document.operations(DOCUMENT)
]
WATCHED = {
    str(http)
    for http, operation in openapi_document.operations(DOCUMENT)
    if "health" not in operation["tags"]
}


@pytest.mark.parametrize(("http", "operation"), OPERATIONS)
def test_every_operation_is_documented(http: Any, operation: dict[str, Any]) -> None:
    """Each has a summary, a tag, an id, examples, the shared statuses and their headers."""
    assert operation["summary"]
    assert operation["tags"]
    assert operation["operationId"] == loading.load_plan().route_ids[http]
    assert all(parameter["description"] for parameter in operation.get("parameters", ()))
    answers = operation["responses"]
    common = {400, 422, 429, 500} | ({503} if str(http) in WATCHED else set())
    assert {str(status) for status in common} <= answers.keys()
    if "{" in http.path:
        assert "404" in answers
    if "requestBody" in operation:
        assert {"413", "415"} <= answers.keys()
        assert all(media["example"] for media in operation["requestBody"]["content"].values())
    good = [answer for status, answer in answers.items() if status < "300"]
    assert len(good) == 1
    for status, answer in answers.items():
        assert answer["description"]
        assert "X-Request-ID" in answer["headers"]
        assert ("Retry-After" in answer["headers"]) >= (status in {"429", "503"})
        assert "X-RateLimit-Remaining" in answer["headers"]
        assert answer.get("content") or status == "204"
        for media in answer.get("content", {}).values():
            assert media["schema"]
            assert media["example"]


def test_ids_of_operations_are_their_own() -> None:
    """Clients are generated from them."""
    ids = [operation["operationId"] for _, operation in openapi_document.operations(DOCUMENT)]
    assert len(ids) == len(set(ids))
    assert DOCUMENT["servers"] == [{"url": "/"}]
    assert {tag["name"] for tag in DOCUMENT["tags"]} == {"nodes", "readings", "keys", "health"}


def test_every_example_of_an_answer_fits_its_schema(app: Flask) -> None:
    """An example that lies is worse than none."""
    for http, operation in openapi_document.operations(DOCUMENT):
        for status, answer in operation["responses"].items():
            for mimetype, media in answer.get("content", {}).items():
                validator = validator_of(app, operation["operationId"], status, mimetype, media)
                assert not list(validator.iter_errors(media["example"])), (http, status)


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        (f"{NODES}?colour=red", "colour"),
        (f"{NODES}/tank-01?page=1", "page"),
        (f"{READINGS}?page=1&page=1", "page"),
        (f"{READINGS}?metric=a&metric=b", "metric"),
        (f"{NODES}?page=1_0", "page"),
        (f"{NODES}?page=%201", "page"),
        (f"{NODES}?page=%EF%BC%91", "page"),
        (f"{NODES}?page=", "page"),
        (f"{NODES}?page_size=1e2", "page_size"),
        (f"{NODES}?page_size=99999999999999999999", "page_size"),
        ("/health/live?verbose=1", "verbose"),
    ],
)
def test_a_query_is_taken_as_published_or_not_at_all(
    client: FlaskClient, node: str, path: str, parameter: str
) -> None:
    """Unknown or repeated parameters, and numbers that only Python reads, are refused by name."""
    assert node
    assert list(is_problem(client.get(path), 422)["errors"]["query"]) == [parameter]


@pytest.mark.parametrize(
    ("alarms", "fits"),
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
def test_alarms_are_taken_as_published(
    app: Flask, client: FlaskClient, alarms: dict[str, Any], fits: bool
) -> None:
    """The API refuses what the schema refuses; only its description can say that below < above."""
    components = app_state(app).document["components"]
    schema = {"$ref": "#/components/schemas/NodeNew", "components": components}
    body = NODE | {"alarms": alarms}
    assert Draft202012Validator(schema).is_valid(body) is fits
    assert client.post(NODES, json=body).status_code == (201 if fits else 422)
    properties = components["schemas"]["NodeNew"]["properties"]
    assert "below < above" in properties["alarms"]["additionalProperties"]["description"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_body_where_none_belongs_is_refused(client: FlaskClient, node: str, method: str) -> None:
    """Its sender expects an effect that it would not have; nothing is deleted."""
    url = f"{NODES}/{node}"
    chunked = {"Transfer-Encoding": "chunked"}
    empty = {"Content-Type": "application/json", "Content-Length": "0"}
    assert client.open(url, method=method, json={"force": True}).status_code == 400
    assert client.open(url, method=method, headers=chunked).status_code == 400
    assert client.get(url, headers=empty).status_code == 200


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
def test_only_plain_json_is_read(client: FlaskClient, headers: dict[str, str], status: int) -> None:
    """Another type, charset or encoding is 415, before anybody tries to parse it."""
    assert client.post(NODES, data=json.dumps(NODE), headers=headers).status_code == status


@pytest.mark.parametrize(("depth", "status"), [(16, 422), (17, 400), (1_000, 400), (100_000, 400)])
def test_deep_bodies_are_refused(client: FlaskClient, depth: int, status: int) -> None:
    """The schema refuses sixteen levels; the parser refuses more, however deep."""
    answer = client.post(NODES, data="[" * depth + "]" * depth, content_type="application/json")
    body = is_problem(answer, status)
    if depth == 17:
        assert body["detail"] == "The body is nested more than 16 levels deep."


@pytest.mark.parametrize("path", [NODES, f"{NODES}/"])
def test_both_spellings_know_their_methods(client: FlaskClient, path: str) -> None:
    """405 and OPTIONS list the allowed methods; HEAD is GET without a body."""
    refused = client.put(path, json={})
    is_problem(refused, 405)
    allowed = {"GET", "HEAD", "OPTIONS", "POST"}
    for answer in (refused, client.options(path)):
        assert set(answer.headers["Allow"].split(", ")) == allowed
    head = client.head(path)
    assert (head.status_code, head.data, head.mimetype) == (200, b"", "application/json")


@pytest.mark.parametrize(
    ("page", "says"),
    [
        (
            {"items": [], "page": 1, "page_size": 9},
            "nodes.list 200: $ 'total' is a required property",
        ),
        ({"items": [NODE], "page": 1, "page_size": 9, "total": 1}, "is a required property"),
    ],
)
def test_an_answer_that_breaks_the_contract_fails_the_test(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, page: dict[str, Any], says: str
) -> None:
    """Every test client validates what it gets; the API itself sends it."""
    monkeypatch.setattr(nodes, "page", lambda **_: page)
    with pytest.raises(AssertionError, match=re.escape(says)):
        client.get(NODES)


def test_an_undocumented_status_fails_the_test(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view that starts to send 418 must say so first."""

    def brew(**_: object) -> None:
        abort(418)

    monkeypatch.setattr(nodes, "page", brew)
    with pytest.raises(AssertionError, match=r"nodes\.list does not document 418"):
        client.get(NODES)


def test_an_undocumented_property_fails_the_test(app: Flask) -> None:
    """Readers must bear new properties, but we must publish them."""
    operation = next(
        operation
        for http, operation in openapi_document.operations(DOCUMENT)
        if str(http) == f"GET {NODES}"
    )
    sent = operation["responses"]["200"]["content"]["application/json"]["example"]
    assert mismatch(app, "GET", NODES, app.json.response(sent)) is None
    coloured = app.json.response(sent | {"colour": "red"})
    assert "'colour' was unexpected" in str(mismatch(app, "GET", NODES, coloured))
    page = app.make_response("<p>")
    assert "does not document text/html" in str(mismatch(app, "GET", NODES, page))
    deleted = app.make_response(("null", 204))
    assert mismatch(app, "DELETE", f"{NODES}/tank-01", deleted) is None
    assert mismatch(app, "GET", "/nothing", page) is None


V2 = """
routes:
  nodes2.list:
    http: GET /api/v2/nodes
    needs: [database]
    next_steps: [Look at the database]
"""


class NodesV2(AnswerSchema):
    nodes = fields.List(fields.String(), required=True)


@pytest.fixture
def with_v2(
    make_app: MakeApp, migrated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Flask:
    """Return an app with a second version of nodes and a catalogue that deprecates the first."""
    assert migrated
    blueprint: Blueprint = ApiBlueprint(
        "nodes2", __name__, url_prefix="/api/v2/nodes", description="Nodes, second version"
    )

    @blueprint.route("", methods=["GET"], endpoint="list")
    @blueprint.scope("read")
    @blueprint.response(200, NodesV2, example={"nodes": ["tank-01"]})
    def list_nodes() -> dict[str, Any]:
        """Ids of nodes"""
        return {"nodes": [node.id for node in nodes.page(page=1, page_size=10)["items"]]}

    deprecated = (
        "    deprecated: {since: 2026-01-01, sunset: 2026-07-01, successor: /api/v2/nodes}\n"
    )
    first = "    http: GET /api/v1/nodes\n"
    text = (
        CATALOGUE.read_text(encoding="utf-8")
        .replace("routes:\n", V2.lstrip(), 1)
        .replace(first, first + deprecated)
    )
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(text, encoding="utf-8")
    plan = loading.load_plan(catalogue)
    monkeypatch.setattr(app_module.loading, "load_plan", lambda: plan)
    register = factory.ProblemApi.register_blueprint

    def both(self: Any, registered: Blueprint, **options: Any) -> None:
        register(self, registered, **options)
        if registered.name == "nodes":
            register(self, blueprint)

    monkeypatch.setattr(factory.ProblemApi, "register_blueprint", both)
    return make_app()


def test_a_second_version_stands_beside_the_first(with_v2: Flask) -> None:
    """Both answer, both are in the contract, and the first one keeps its promises."""
    client = with_v2.test_client()
    assert client.post(NODES, json=NODE).status_code == 201
    assert client.get("/api/v2/nodes").get_json() == {"nodes": ["tank-01"]}
    assert [item["id"] for item in client.get(NODES).get_json()["items"]] == ["tank-01"]
    is_problem(client.get("/api/v2/nodes?page=1"), 422)
    document = client.get("/openapi.json").get_json()
    assert breaking_changes(DOCUMENT, document, date(2026, 1, 1)) == []
    assert document["paths"]["/api/v2/nodes"]["get"]["operationId"] == "nodes2.list"


def test_a_deprecated_route_says_so(with_v2: Flask) -> None:
    """Its answers, refusals too, carry the headers; the contract marks it; others have none."""
    client = with_v2.test_client()
    for answer in (client.get(NODES), client.get(f"{NODES}?page=x")):
        assert answer.headers["Deprecation"] == "@1767225600"
        assert answer.headers["Sunset"] == "Wed, 01 Jul 2026 00:00:00 GMT"
        assert '</api/v2/nodes>; rel="successor-version"' in answer.headers["Link"]
        assert 'rel="deprecation"' in answer.headers["Link"]
    for answer in (
        client.get("/api/v2/nodes"),
        client.post(NODES, json=NODE),
        client.get("/health/live"),
    ):
        assert not {"Deprecation", "Sunset", "Link"} & set(answer.headers.keys())
    marked = {
        str(http): operation
        for http, operation in openapi_document.operations(app_state(with_v2).document)
        if operation.get("deprecated")
    }
    assert list(marked) == [f"GET {NODES}"]
    assert marked[f"GET {NODES}"]["x-sunset"] == "2026-07-01"


def test_a_removed_route_is_refused_before_its_sunset_alone(with_v2: Flask) -> None:
    """The contract itself knows when a deprecated route may go."""
    old = copy.deepcopy(app_state(with_v2).document)
    left = copy.deepcopy(old)
    del left["paths"]["/api/v1/nodes"]["get"]
    [problem] = breaking_changes(old, left, date(2026, 6, 30))
    assert problem.message == "is gone"
    assert breaking_changes(old, left, date(2026, 7, 1)) == []


def test_a_batch_of_the_largest_size_is_within_the_contract(client: FlaskClient, node: str) -> None:
    """A thousand readings go in and come back, each held to its schema."""
    assert node
    readings = [reading(second) for second in range(1_000)]
    assert client.post(READINGS, json=batch(*readings)).status_code == 201
    assert client.get(f"{READINGS}?page_size=1000").get_json()["total"] == 1_000
