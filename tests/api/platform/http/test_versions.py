"""A second version of a route beside the first, which is deprecated."""

import copy
from datetime import date
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from marshmallow import fields
from sqlalchemy import select

from api.platform.db import database
from api.platform.http import openapi_document
from api.platform.http.compatibility import breaking_changes
from api.platform.http.parsing import AnswerSchema, ApiBlueprint
from api.platform.state import app_state
from api.platform.types import JsonObject
from tests.api.conftest import MakeApp
from tests.api.platform.helpers import ORDER, ORDERS, is_problem
from tests.api.platform.other_app import app as other_app
from tests.api.platform.other_app.models import Order

ORDERS_V2 = "/api/v2/orders"
ROUTE_V2 = f"""routes:
  orders2.list:
    http: GET {ORDERS_V2}
    needs: [database]
    next_steps: ["Does the database respond?"]
"""
ROUTE_V1 = f"    http: GET {ORDERS}\n"
DEPRECATED = f"    deprecated: {{since: 2026-01-01, sunset: 2026-07-01, successor: {ORDERS_V2}}}\n"
SINCE = date(2026, 1, 1)
SUNSET = date(2026, 7, 1)


class OrdersV2(AnswerSchema):
    ids = fields.List(fields.String(), required=True)


def new_blueprint() -> ApiBlueprint:
    """Return the second version of the orders, which lists only their ids."""
    blueprint = ApiBlueprint(
        "orders2", __name__, url_prefix=ORDERS_V2, description="Orders, second version"
    )

    @blueprint.get("", endpoint="list")
    @blueprint.scope("read")
    @blueprint.response(200, OrdersV2, example={"ids": ["a-1"]})
    def list_ids() -> JsonObject:
        """List the ids of the orders"""
        with database().read() as session:
            return {"ids": session.scalars(select(Order.id).order_by(Order.id)).all()}

    return blueprint


@pytest.fixture
def app_v2(app: Flask, make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """Return an app with both versions, whose catalogue deprecates the first."""
    assert app  # was created before its blueprints and its catalogue are replaced
    catalogue = tmp_path / "catalogue.yaml"
    text = other_app.CATALOGUE.read_text(encoding="utf-8")
    text = text.replace("routes:\n", ROUTE_V2, 1).replace(ROUTE_V1, ROUTE_V1 + DEPRECATED)
    catalogue.write_text(text, encoding="utf-8")
    monkeypatch.setattr(other_app, "CATALOGUE", catalogue)
    monkeypatch.setattr(other_app, "BLUEPRINTS", (*other_app.BLUEPRINTS, new_blueprint()))
    return make_app()


@pytest.fixture
def client_v2(app_v2: Flask) -> FlaskClient:
    return app_v2.test_client()


def test_two_versions_serve_the_same_orders(client_v2: FlaskClient) -> None:
    """Both routes work, and each is checked against its own schema."""
    assert client_v2.post(ORDERS, json=ORDER).status_code == 201
    assert client_v2.get(ORDERS_V2).get_json() == {"ids": ["a-1"]}
    assert [item["id"] for item in client_v2.get(ORDERS).get_json()["items"]] == ["a-1"]
    is_problem(client_v2.get(f"{ORDERS_V2}?page=1"), 422)


def test_second_version_does_not_break_callers_of_the_first(app: Flask, app_v2: Flask) -> None:
    """The contract gains an operation and loses nothing."""
    old, new = app_state(app).document, app_state(app_v2).document
    assert breaking_changes(old, new, SINCE) == []
    assert new["paths"][ORDERS_V2]["get"]["operationId"] == "orders2.list"


def test_responses_of_a_deprecated_route_carry_its_dates(client_v2: FlaskClient) -> None:
    """So do refused requests; other routes have none of the headers."""
    for answer in (client_v2.get(ORDERS), client_v2.get(f"{ORDERS}?page=x")):
        assert answer.headers["Deprecation"] == "@1767225600"
        assert answer.headers["Sunset"] == "Wed, 01 Jul 2026 00:00:00 GMT"
        assert f'<{ORDERS_V2}>; rel="successor-version"' in answer.headers["Link"]
        assert 'rel="deprecation"' in answer.headers["Link"]
    for answer in (
        client_v2.get(ORDERS_V2),
        client_v2.post(ORDERS, json=ORDER),
        client_v2.get("/health/live"),
    ):
        assert not {"Deprecation", "Sunset", "Link"} & set(answer.headers.keys())


def test_contract_marks_the_deprecated_route(app_v2: Flask) -> None:
    """It carries the sunset date, too."""
    marked = {
        str(http): operation["x-sunset"]
        for http, operation in openapi_document.operations(app_state(app_v2).document)
        if operation.get("deprecated")
    }
    assert marked == {f"GET {ORDERS}": str(SUNSET)}


def test_deprecated_route_may_be_removed_on_its_sunset_date(app_v2: Flask) -> None:
    """The day before, the removal is a breaking change."""
    old = app_state(app_v2).document
    new = copy.deepcopy(old)
    del new["paths"][ORDERS]["get"]
    [problem] = breaking_changes(old, new, date(2026, 6, 30))
    assert problem.message == "is gone"
    assert breaking_changes(old, new, SUNSET) == []
