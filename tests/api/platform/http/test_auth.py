"""Keys, their expiry and revocation, scopes, and what callers without a key get."""

import sqlite3
import time
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from api.platform import db, factory, keys
from api.platform.clock import now
from api.platform.http import auth
from api.platform.http.parsing import ApiBlueprint
from api.platform.state import app_state
from api.platform.tables import SCOPES, ApiKey
from tests.api.conftest import MakeApp
from tests.api.platform.helpers import KEYS, ORDER, ORDERS, UNLIMITED, bearer, is_problem
from tests.api.platform.other_app import PLAN

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
UNKNOWN = "evara_" + "x" * 43
LIMITS = {name: int(limit.split("/")[0]) for name, limit in PLAN.rate_limits.items()}


@pytest.fixture
def anonymous(app: Flask) -> FlaskClient:
    """Return a client without a key."""
    return FlaskClient(app, app.response_class)


def make_key(app: Flask, **values: object) -> ApiKey:
    with app.app_context():
        return keys.create(name="made by a test", scope="read", **values)


def revoke(app: Flask, key_id: str) -> None:
    with app.app_context():
        keys.revoke(key_id)


def last_used(app: Flask, key_id: str) -> object:
    with app_state(app).database.read() as session:
        key = session.get(ApiKey, key_id)
        return key and key.last_used_at


class KeyQueries:
    """The number of statements about keys that an app sends."""

    def __init__(self, app: Flask):
        self.count = 0
        event.listen(app_state(app).database.engine, "before_cursor_execute", self._count)

    def _count(self, *args: object) -> None:
        self.count += "api_keys" in str(args[2])

    def during(self, client: FlaskClient) -> int:
        before = self.count
        assert client.get(ORDERS).status_code == 200
        return self.count - before


# --- every route ---


def test_every_route_but_health_and_docs_requires_a_key(app: Flask, anonymous: FlaskClient) -> None:
    """Each URL and method answers 401, or 405 if the URL does not allow the method."""
    rules = list(app.url_map.iter_rules())
    served = {
        rule.rule: set().union(*(other.methods or () for other in rules if other.rule == rule.rule))
        for rule in rules
    }
    for rule in rules:
        path = rule.rule.replace("<string:", "").replace("<", "").replace(">", "")
        for method in METHODS:
            answer = anonymous.open(path, method=method)
            if rule.endpoint.startswith(("health.", "docs.")):
                assert answer.status_code != 401, f"{method} {path}"
            elif method in served[rule.rule]:
                assert answer.status_code == 401, f"{method} {path}"
                assert answer.headers["WWW-Authenticate"] == 'Bearer realm="evara"'
            else:
                assert answer.status_code == 405, f"{method} {path}"
    assert sum(not rule.endpoint.startswith(("health.", "docs.")) for rule in rules) >= 5


def test_route_refuses_keys_of_lower_scope(app: Flask) -> None:
    """403 names both scopes; keys of a sufficient scope are accepted."""
    client = app.test_client()
    requests = 0
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(("health.", "docs.")):
            continue
        needed = app.view_functions[rule.endpoint].scope  # type: ignore[attr-defined]
        path = rule.rule.replace("<string:", "").replace("<", "").replace(">", "")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            for held in SCOPES:
                answer = client.open(path, method=method, headers=bearer(KEYS[held]))
                requests += 1
                if SCOPES.index(held) < SCOPES.index(needed):
                    detail = (
                        f"This route requires a key of scope {needed}; this key has scope {held}."
                    )
                    challenge = (
                        f'Bearer realm="evara", error="insufficient_scope", scope="{needed}"'
                    )
                    assert is_problem(answer, 403)["detail"] == detail
                    assert answer.headers["WWW-Authenticate"] == challenge
                else:
                    assert answer.status_code not in (401, 403), f"{method} {path} {held}"
    assert requests >= 15


def test_scope_of_a_view_matches_its_method(app: Flask) -> None:
    """GET requires read, other methods write, and the key routes admin."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(("health.", "docs.")):
            continue
        expected = "read" if "GET" in (rule.methods or ()) else "write"
        if rule.endpoint.startswith("keys."):
            expected = "admin"
        scope = app.view_functions[rule.endpoint].scope  # type: ignore[attr-defined]
        assert scope == expected


def test_app_with_an_undeclared_scope_does_not_start(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the route and the fix."""
    forgotten = ApiBlueprint("forgotten", __name__, url_prefix="/api/v1/forgotten")
    forgotten.route("/", methods=["GET"], endpoint="view")(lambda: {"all": "there is"})
    monkeypatch.setattr(factory.docs_page, "blueprint", forgotten)
    with pytest.raises(
        RuntimeError,
        match=r"forgotten\.view would respond to everybody: declare `@blueprint",
    ):
        make_app()


def test_404_and_405_are_answered_without_a_key(anonymous: FlaskClient) -> None:
    """An unknown URL is 404 and a wrong method 405, with or without a key."""
    is_problem(anonymous.get("/api/v1/nothing"), 404)
    is_problem(anonymous.put(f"{ORDERS}/"), 405)


def test_contract_documents_the_scope_of_each_operation(client: FlaskClient) -> None:
    """Each operation names its scope, 401 and 403; Swagger UI offers Authorize."""
    contract = client.get("/openapi.json").get_json()
    assert contract["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, item in contract["paths"].items():
        for method in item.keys() & {"get", "post", "patch", "delete"}:
            if path.startswith("/health"):
                assert "security" not in item[method]
                continue
            assert item[method]["security"][0]["bearer"][0] in SCOPES
            assert {"401", "403"} <= item[method]["responses"].keys()


# --- keys and their ends ---


@pytest.mark.parametrize(
    "token",
    [
        UNKNOWN,
        "x",
        KEYS["read"][:-1],
        KEYS["read"] + "x",
        "evara_" + "é" * 43,
        "\xff\xfe",
        "a=b",
        "evara-development-key",
        "' OR 1=1 --",
    ],
)
def test_wrong_key_is_challenged_as_invalid_token(anonymous: FlaskClient, token: str) -> None:
    """A missing key is 401, too, but without this error."""
    answer = anonymous.get(ORDERS, headers=bearer(token))
    assert is_problem(answer, 401)["detail"] == auth.UNUSABLE
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="evara", error="invalid_token"'


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic YTpi", KEYS["admin"], f"Token {KEYS['admin']}"],
)
def test_other_authorization_schemes_count_as_no_key(
    anonymous: FlaskClient, authorization: str
) -> None:
    """Basic and others are answered like a request without a key."""
    answer = anonymous.get(ORDERS, headers={"Authorization": authorization})
    assert is_problem(answer, 401)["detail"] == auth.MISSING


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_authorization_scheme_is_case_insensitive(anonymous: FlaskClient, scheme: str) -> None:
    """HTTP defines schemes so."""
    headers = {"Authorization": f"{scheme} {KEYS['read']}"}
    assert anonymous.get(ORDERS, headers=headers).status_code == 200


@pytest.mark.sqlite_only("looks into the file")
def test_database_stores_only_the_digest(app: Flask, database_file: Path) -> None:
    """No file of the database contains a usable key."""
    key = make_key(app)
    token = key.token
    assert app.test_client().get(ORDERS, headers=bearer(token)).status_code == 200
    assert app.test_client().get(ORDERS, headers=bearer(key.digest)).status_code == 401
    stored = b"".join(path.read_bytes() for path in database_file.parent.glob("evara.db*"))
    assert key.digest.encode() in stored
    assert token.encode() not in stored
    assert token.removeprefix("evara_").encode() not in stored


def test_expired_key_is_refused(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """It works until it expires, even while it is cached; then it is refused as unknown."""
    client = app.test_client()
    token = make_key(app, expires_at=now() + timedelta(hours=1)).token
    assert client.get(ORDERS, headers=bearer(token)).status_code == 200
    monkeypatch.setattr(keys, "now", lambda: now() + timedelta(hours=1, seconds=1))
    answer = client.get(ORDERS, headers=bearer(token))
    assert is_problem(answer, 401)["detail"] == auth.UNUSABLE
    assert "invalid_token" in answer.headers["WWW-Authenticate"]


def test_revoked_key_is_refused_when_caches_expire(
    make_app: MakeApp, migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that revokes it refuses it at once, others when their cache expires."""
    assert migrated
    app = make_app()
    here = app.test_client()
    elsewhere = make_app().test_client()
    key = make_key(app)
    headers = bearer(key.token)
    assert here.get(ORDERS, headers=headers).status_code == 200
    assert elsewhere.get(ORDERS, headers=headers).status_code == 200
    revoke(app, key.id)
    assert here.get(ORDERS, headers=headers).status_code == 401
    assert elsewhere.get(ORDERS, headers=headers).status_code == 200
    later = time.monotonic() + keys.CACHE_SECONDS
    monkeypatch.setattr(keys.time, "monotonic", lambda: later)
    assert is_problem(elsewhere.get(ORDERS, headers=headers), 401)["detail"] == auth.UNUSABLE
    assert elsewhere.get(ORDERS, headers=bearer(KEYS["read"])).status_code == 200


# --- what it costs ---


def test_cached_key_needs_no_query(app: Flask) -> None:
    """The first request looks the key up, the next ones do not."""
    client = app.test_client()
    queries = KeyQueries(app)
    assert [queries.during(client) for _ in range(3)] == [1, 0, 0]


def test_cache_of_keys_is_bounded(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong keys are not cached; keys that were evicted still work."""
    monkeypatch.setattr(keys, "MAX_CACHED", 2)
    client = app.test_client()
    keyring = app_state(app).keyring
    for number in range(20):
        assert client.get(ORDERS, headers=bearer(f"evara_{number:043}")).status_code == 401
    assert len(keyring._cached) == 0
    for token in [*KEYS.values(), UNLIMITED] * 2:
        assert client.get(ORDERS, headers=bearer(token)).status_code == 200
        assert len(keyring._cached) <= 2


def test_wrong_keys_are_rate_limited_by_address(anonymous: FlaskClient) -> None:
    """Requests with wrong keys count for the address, which gets 429 above the limit."""
    answers = [
        anonymous.get(ORDERS, headers=bearer(UNKNOWN)).status_code
        for _ in range(LIMITS["orders.list"] + 1)
    ]
    assert answers == [401] * LIMITS["orders.list"] + [429]
    assert anonymous.get(ORDERS).status_code == 429
    elsewhere = {"REMOTE_ADDR": "10.0.0.2"}
    answer = anonymous.get(ORDERS, headers=bearer(UNKNOWN), environ_base=elsewhere)
    assert answer.status_code == 401


# --- last use ---


def test_last_use_is_recorded_at_most_once_a_minute(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first use is stored, uses within a minute are not, the next one is."""
    client = app.test_client()
    clock = time.monotonic()
    monkeypatch.setattr(keys.time, "monotonic", lambda: clock)
    assert last_used(app, "read") is None
    client.get(ORDERS, headers=bearer(KEYS["read"]), buffered=True)
    first = last_used(app, "read")
    assert first is not None
    clock += keys.USE_SECONDS - 1
    client.get(ORDERS, headers=bearer(KEYS["read"]), buffered=True)
    assert last_used(app, "read") == first
    clock += 2
    client.get(ORDERS, headers=bearer(KEYS["read"]), buffered=True)
    assert last_used(app, "read") > first
    assert last_used(app, "write") is None


@pytest.mark.sqlite_only("its one lock for writers")
def test_lock_that_prevents_recording_the_use_fails_no_request(
    make_app: MakeApp,
    database_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Reads succeed while another process writes; the log reports the lost use."""
    monkeypatch.setattr(db, "BUSY_SECONDS", 0.05)
    app = make_app()
    other = sqlite3.connect(database_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert app.test_client().get(ORDERS, buffered=True).status_code == 200
    other.execute("ROLLBACK")
    other.close()
    assert "the use of a key could not be recorded" in capsys.readouterr().err
    assert last_used(app, "admin") is None


# --- a database that is away ---


def test_unavailable_database_is_503_for_requests_with_a_key(
    make_app: MakeApp, lost_url: str
) -> None:
    """503 has Retry-After; without a key it is still 401, and health requires none."""
    app = make_app(database_url=lost_url)
    answer = app.test_client().get(ORDERS)
    is_problem(answer, 503)
    assert answer.headers["Retry-After"] == "5"
    is_problem(FlaskClient(app, app.response_class).get(ORDERS), 401)
    assert app.test_client().get("/health/live").status_code == 200


# --- the development key ---


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"env": "development", "development_key": "evara-development-key"}, 201),
        ({"env": "development", "development_key": "another"}, 401),
        ({"env": "development"}, 401),
        ({"env": "development", "development_key": ""}, 401),
        ({"env": "test", "development_key": "evara-development-key"}, 401),
        ({"env": "production"}, 401),
    ],
)
@pytest.mark.usefixtures("migrated")
def test_development_key_works_only_in_development(
    make_app: MakeApp, settings: dict[str, str], status: int
) -> None:
    """It has scope admin if the setting names it and the environment is development."""
    client = make_app(**settings).test_client()
    headers = bearer("evara-development-key")
    assert client.post(ORDERS, json=ORDER, headers=headers).status_code == status
    keys_status = 200 if status == 201 else 401
    assert client.get("/api/v1/keys/", headers=headers).status_code == keys_status
