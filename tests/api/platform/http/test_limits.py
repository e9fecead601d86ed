"""Rate limits of the catalogue, callers, exemptions, and the stores that workers share."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stamina
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.platform.http.limits import SharedFileStorage
from api.platform.outbound import redis_client
from api.platform.telemetry import metrics
from observability.spec import names
from tests.api.conftest import MakeApp
from tests.api.platform.helpers import KEYS, ORDERS, UNLIMITED, bearer, is_problem, sample
from tests.api.platform.other_app import PLAN, orders
from tests.api.platform.other_app import app as app_module
from tests.redis_server import RedisServer

LIMITS = {name: int(limit.split("/")[0]) for name, limit in PLAN.rate_limits.items()}


def allowed(client: FlaskClient, path: str = ORDERS, tries: int = 200, **words: object) -> int:
    """Return the number of requests before the first 429."""
    for number in range(tries):
        if client.get(path, **words).status_code == 429:
            return number
    return tries


def stranger(app: Flask) -> FlaskClient:
    """Return a client without a key."""
    return FlaskClient(app, app.response_class)


def fallbacks() -> float:
    return sample(metrics.REGISTRY, f"{names.LIMITER_FALLBACKS}_total")


@pytest.fixture
def limited_to_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit every route to three requests a minute."""
    plan = replace(PLAN, rate_limits=dict.fromkeys(PLAN.rate_limits, "3/minute"))
    monkeypatch.setattr(app_module.loading, "load_plan", lambda *_: plan)


@pytest.mark.usefixtures("migrated")
def test_limit_is_that_of_the_catalogue(make_app: MakeApp) -> None:
    """The next request is 429 with limit and wait; other routes and keys are not affected."""
    client = make_app().test_client()
    assert allowed(client) == LIMITS["orders.list"]
    answer = client.get(ORDERS)
    wait = int(answer.headers["Retry-After"])
    assert 0 < wait <= 60
    detail = f"The rate limit is 120 per 1 minute per caller; try again in {wait} s."
    assert is_problem(answer, 429)["detail"] == detail
    assert client.get(f"{ORDERS}/x").status_code == 404
    assert client.get(ORDERS, headers=bearer(KEYS["read"])).status_code == 200


@pytest.mark.usefixtures("migrated", "limited_to_three")
@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/health/live",
        "/health/ready",
        "/openapi.json",
        "/docs",
        "/docs/start.js",
        "/nothing",
        "/api/v1/orders/x/nothing",
    ],
)
def test_every_url_is_limited(make_app: MakeApp, path: str) -> None:
    """Health, documentation and unknown URLs have limits, too."""
    client = make_app().test_client()
    assert allowed(client, path) == 3
    is_problem(client.get(path), 429)


def test_health_has_its_own_limit() -> None:
    """Gateways call it often; other exempt routes have the default limit."""
    for name in ("health.live", "health.ready", "health.detail"):
        assert LIMITS[name] == 600
    for name in ("docs.page", "docs.openapi", names.UNMATCHED):
        assert PLAN.rate_limits[name] == "120/minute"


@pytest.mark.usefixtures("migrated", "limited_to_three")
def test_unmatched_urls_share_one_count(make_app: MakeApp) -> None:
    """Guessing URLs and methods does not create a count for each guess."""
    client = make_app().test_client()
    assert [client.get(f"/guess/{n}").status_code for n in range(2)] == [404, 404]
    assert client.delete(f"{ORDERS}/").status_code == 405
    is_problem(client.get("/guess/another"), 429)
    is_problem(client.put(ORDERS), 429)


@pytest.mark.usefixtures("migrated", "limited_to_three")
def test_requests_are_counted_by_key(make_app: MakeApp) -> None:
    """Keys of one address have separate counts; a key has one count for all addresses."""
    app = make_app()
    client = app.test_client()
    first = bearer(KEYS["read"])
    second = bearer(KEYS["write"])
    assert allowed(client, headers=first) == 3
    assert allowed(client, headers=first, environ_base={"REMOTE_ADDR": "10.0.0.2"}) == 0
    assert allowed(client, headers=second) == 3
    assert allowed(stranger(app)) == 3


@pytest.mark.usefixtures("migrated")
def test_a_route_without_a_limit_of_the_catalogue_has_none(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No 429 and no rate-limit headers there and on unknown URLs; other routes keep their limit.

    After an error, flask-limiter would only log it, and let the request pass.
    """
    plan = replace(PLAN, rate_limits={"health.live": "3/minute"})
    monkeypatch.setattr(app_module.loading, "load_plan", lambda *_: plan)
    client = make_app().test_client()
    assert allowed(client) == allowed(client, "/nothing") == 200
    assert "X-RateLimit-Limit" not in client.get(ORDERS).headers
    assert allowed(client, "/health/live") == 3
    assert "Failed to rate limit" not in "".join(capsys.readouterr())


@pytest.mark.usefixtures("migrated")
def test_unlimited_key_has_no_limit(make_app: MakeApp) -> None:
    """No 429, and no rate-limit headers."""
    client = make_app().test_client()
    assert allowed(client, headers=bearer(UNLIMITED)) == 200
    assert "X-RateLimit-Limit" not in client.get(ORDERS, headers=bearer(UNLIMITED)).headers


@pytest.mark.parametrize("token", [KEYS["admin"], UNLIMITED[:-1], "\xff\xfe", ""])
@pytest.mark.usefixtures("migrated")
def test_only_unlimited_keys_are_exempt(make_app: MakeApp, token: str) -> None:
    """A key of scope admin and a wrong key are limited."""
    assert allowed(make_app().test_client(), headers=bearer(token)) == LIMITS["orders.list"]


@pytest.mark.usefixtures("migrated")
def test_responses_carry_the_remaining_count(make_app: MakeApp) -> None:
    """All have limit, remaining and reset (Unix seconds); only refusals have Retry-After."""
    client = make_app().test_client()
    first = client.get(ORDERS).headers
    second = client.get(ORDERS).headers
    assert first["X-RateLimit-Limit"] == "120"
    assert first["X-RateLimit-Remaining"] == "119"
    assert second["X-RateLimit-Remaining"] == "118"
    assert 0 < int(first["X-RateLimit-Reset"]) - time.time() <= 61
    assert "Retry-After" not in first


@pytest.mark.usefixtures("migrated")
def test_503_keeps_its_own_retry_after(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is when the database may be back, not when the limit resets."""

    def away(*_: object, **__: object) -> None:
        raise PoolTimeout("no connection")

    monkeypatch.setattr(orders, "paged", away)
    answer = make_app().test_client().get(ORDERS)
    is_problem(answer, 503)
    assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize(
    ("hops", "forwarded_for", "served"),
    [
        (0, "6.6.6.{n}", 3),  # no proxy, so the caller invented the header
        # The proxy appended the caller's address to the invented one.
        (1, "6.6.6.{n}, 10.0.0.9", 3),
        (2, "6.6.6.{n}, 10.0.0.9, 10.0.0.1", 3),
        (1, "10.0.0.{n}", 200),  # the proxy is trusted
        (2, "10.0.0.{n}, 10.1.1.1", 200),
        (2, "6.6.6.{n}", 3),  # did not come through both proxies
    ],
)
@pytest.mark.usefixtures("migrated", "limited_to_three")
def test_forged_forwarded_for_does_not_change_the_caller(
    make_app: MakeApp, hops: int, forwarded_for: str, served: int
) -> None:
    """Only as many proxies as the setting says are trusted."""
    client = stranger(make_app(proxy_hops=hops))
    statuses = []
    for n in range(200):
        headers = {"X-Forwarded-For": forwarded_for.format(n=n)}
        statuses.append(client.get("/health/live", headers=headers).status_code)
    assert statuses.count(200) == served


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("198.51.100.1:40000", "198.51.100.1:40001", True),
        ("198.51.100.1:40000", "198.51.100.1", True),
        ("198.51.100.1:40000", "198.51.100.2:40000", False),
        ("[2001:db8::1]:443", "2001:db8::1", True),
        ("[2001:db8::1]:443", "[2001:db8::2]:444", True),
        ("[2001:db8::1]", "[2001:db8:0:1::1]", False),
        ('"[2001:db8::1]"', "[2001:db8::1]:443", True),
        ('"[2001:db8::1]:443"', "2001:db8::1", True),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("[::ffff:198.51.100.1]:443", "198.51.100.1", True),
        ("unknown", "_hidden:9", True),
        ("", "198.51.100.300", True),
    ],
)
@pytest.mark.usefixtures("migrated", "limited_to_three")
def test_a_forwarded_address_may_have_a_port(
    make_app: MakeApp, one: str, other: str, together: bool
) -> None:
    """Ports, brackets and quotes do not separate callers; other texts share the proxy's count."""
    client = stranger(make_app(proxy_hops=1))
    assert allowed(client, headers={"X-Forwarded-For": one}) == 3
    assert allowed(client, headers={"X-Forwarded-For": other}) == (0 if together else 3)


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("", "unix:", True),
    ],
)
@pytest.mark.usefixtures("migrated", "limited_to_three")
def test_ipv6_network_is_one_caller(
    make_app: MakeApp, one: str, other: str, together: bool
) -> None:
    """A client owns a /64; a mapped IPv4 address counts as that address."""
    client = stranger(make_app())
    assert allowed(client, environ_base={"REMOTE_ADDR": one}) == 3
    assert allowed(client, environ_base={"REMOTE_ADDR": other}) == (0 if together else 3)


@pytest.mark.usefixtures("migrated")
def test_workers_share_one_count(make_app: MakeApp, tmp_path: Path) -> None:
    """Two apps on one file together allow as much as one alone."""
    url = f"sqlite:///{tmp_path}/limits.db"
    first, second = (make_app(limiter_url=url).test_client() for _ in range(2))
    assert allowed(first, tries=100) == 100
    assert allowed(second) == LIMITS["orders.list"] - 100
    assert first.get(ORDERS).status_code == 429


@pytest.mark.usefixtures("migrated")
def test_workers_limit_in_memory_without_the_store(make_app: MakeApp, tmp_path: Path) -> None:
    """Requests are answered, and each worker counts for itself."""
    url = f"sqlite:///{tmp_path}/no/such/folder/limits.db"
    assert not SharedFileStorage(url).check()
    assert allowed(make_app(limiter_url=url).test_client()) == LIMITS["orders.list"]


@pytest.mark.usefixtures("migrated", "limited_to_three")
def test_changed_limit_of_the_catalogue_is_enforced(make_app: MakeApp) -> None:
    """The number is not typed in the app."""
    assert allowed(make_app().test_client()) == 3


@pytest.mark.usefixtures("migrated")
def test_request_sends_one_statement_to_the_store(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The headers need no second statement."""
    statements: list[str] = []
    run = SharedFileStorage._run

    def record(self: SharedFileStorage, sql: str, **values: Any) -> list[Any]:
        statements.append(sql)
        return run(self, sql, **values)

    monkeypatch.setattr(SharedFileStorage, "_run", record)
    client = make_app(limiter_url=f"sqlite:///{tmp_path}/limits.db").test_client()
    answer = client.get(ORDERS)
    assert answer.headers["X-RateLimit-Remaining"] == str(LIMITS["orders.list"] - 1)
    assert len(statements) == 1


def wait_for_store(client: FlaskClient) -> None:
    """Send requests until the shared store counts again."""
    for attempt in stamina.retry_context(
        on=AssertionError, attempts=None, timeout=60, wait_initial=0.1, wait_max=0.5
    ):
        with attempt:
            before = fallbacks()
            client.get("/health/live")
            assert fallbacks() == before


@pytest.mark.usefixtures("migrated", "limited_to_three")
def test_locked_file_is_replaced_by_memory_until_it_is_free(
    make_app: MakeApp, tmp_path: Path
) -> None:
    """Requests are answered and limited; the fallbacks are counted."""
    client = make_app(limiter_url=f"sqlite:///{tmp_path}/limits.db").test_client()
    assert client.get(ORDERS).status_code == 200
    before = fallbacks()
    other = sqlite3.connect(tmp_path / "limits.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert allowed(client) == 3
    assert fallbacks() == before + 4
    other.close()
    wait_for_store(client)
    assert allowed(client) == 2


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give Redis more time than in production, because the machine that runs tests is busy."""
    for name in ("socket_timeout", "socket_connect_timeout"):
        monkeypatch.setitem(redis_client.OPTIONS, name, 2.0)


@pytest.fixture
def redis(patient: None) -> Iterator[RedisServer]:
    assert patient is None
    with RedisServer() as server:
        yield server


@pytest.mark.usefixtures("migrated", "patient")
def test_machines_share_one_count_in_redis(make_app: MakeApp, redis_url: str) -> None:
    """Two apps on one Redis together allow as much as one, and report the same remainder."""
    first, second = (make_app(limiter_url=redis_url).test_client() for _ in range(2))
    before = fallbacks()
    assert allowed(first, tries=100) == 100
    assert second.get(ORDERS).headers["X-RateLimit-Remaining"] == "19"
    assert allowed(second) == LIMITS["orders.list"] - 101
    is_problem(first.get(ORDERS), 429)
    assert fallbacks() == before


@pytest.mark.parametrize(
    ("away", "again"),
    [(RedisServer.freeze, RedisServer.thaw), (RedisServer.kill, RedisServer.start)],
)
@pytest.mark.usefixtures("migrated", "limited_to_three")
def test_memory_replaces_redis_until_it_is_back(
    make_app: MakeApp, redis: RedisServer, away: object, again: object
) -> None:
    """Requests are answered and limited; afterwards two apps share one count again."""
    assert callable(away)
    assert callable(again)
    first, second = (make_app(limiter_url=redis.url).test_client() for _ in range(2))
    assert first.get(ORDERS).status_code == 200
    before = fallbacks()
    away(redis)
    assert allowed(first) == 3
    assert fallbacks() == before + 4
    again(redis)
    wait_for_store(first)
    assert first.get("/docs").status_code == 200
    assert allowed(second, "/docs") == 2


@pytest.mark.usefixtures("migrated")
def test_requests_that_wait_for_a_hanging_store_are_answered(
    make_app: MakeApp, redis: RedisServer
) -> None:
    """Only the first falls back to memory; the others must not fail."""
    app = make_app(limiter_url=redis.url)
    assert app.test_client().get(ORDERS).status_code == 200
    redis.freeze()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: app.test_client().get(ORDERS).status_code, range(16)))
    redis.thaw()
    assert statuses == [200] * 16


@pytest.mark.usefixtures("migrated")
def test_app_starts_without_redis(make_app: MakeApp) -> None:
    """Until it is reachable, counts are not shared."""
    client = make_app(limiter_url="redis://127.0.0.1:9/0").test_client()
    assert allowed(client) == LIMITS["orders.list"]


def test_store_that_fails_after_counting_costs_only_headers(
    make_app: MakeApp, migrated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response is the view's; the next request detects the failure."""
    assert migrated

    def dead(*_: object) -> float:
        raise sqlite3.OperationalError("gone")

    client = make_app(limiter_url=f"sqlite:///{tmp_path}/limits.db").test_client()
    monkeypatch.setattr(SharedFileStorage, "get_expiry", dead)
    answer = client.get(ORDERS)
    assert answer.status_code == 200
    assert "X-RateLimit-Limit" not in answer.headers


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/counters.db"


def test_concurrent_increments_are_all_counted(url: str) -> None:
    """Threads over two instances on one file lose no increment."""
    stores = [SharedFileStorage(url), SharedFileStorage(url)]
    threads = [
        threading.Thread(target=lambda n=n: [stores[n % 2].incr("k", 60) for _ in range(50)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.get("k") for store in stores] == [200, 200]


def test_counter_starts_again_when_it_expires(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next increment starts a new counter."""
    store = SharedFileStorage(url)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    assert [store.incr("k", 10), store.incr("k", 10, amount=3)] == [1, 4]
    assert store.get_expiry("k") == now + 10
    now += 9.9
    assert store.get("k") == 4
    assert store.incr("k", 10) == 5
    now += 0.2
    assert store.get("k") == 0
    assert store.incr("k", 10, amount=2) == 2
    assert store.get_expiry("k") == now + 10


def test_counters_can_be_deleted(url: str) -> None:
    """clear() deletes one counter, reset() all; an unknown counter is 0 and expires now."""
    store = SharedFileStorage(url)
    for key in "abc":
        store.incr(key, 60)
    store.clear("a")
    assert [store.get(key) for key in "abc"] == [0, 1, 1]
    assert store.reset() == 2
    assert store.get("b") == 0
    assert store.get_expiry("b") <= time.time()
    assert store.check()


def test_three_slashes_in_the_url_are_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in database URLs; four slashes are an absolute path."""
    monkeypatch.chdir(tmp_path)
    SharedFileStorage("sqlite:///near.db").incr("k", 60)
    assert SharedFileStorage(f"sqlite:////{str(tmp_path)[1:]}/near.db").get("k") == 1
