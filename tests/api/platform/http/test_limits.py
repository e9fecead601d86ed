"""Rate limits: the catalogue's numbers, callers, exemptions, and the stores that workers share."""

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
def test_the_catalogues_number_is_the_limit(make_app: MakeApp) -> None:
    """One more request is 429 with the limit and the wait; other routes and keys are free."""
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
    """Health, documentation and URLs that match nothing have limits, too."""
    client = make_app().test_client()
    assert allowed(client, path) == 3
    is_problem(client.get(path), 429)


def test_health_has_a_generous_limit() -> None:
    """Gateways ask often; other endpoints outside the catalogue's routes have the default."""
    for name in ("health.live", "health.ready", "health.detail"):
        assert LIMITS[name] == 600
    for name in ("docs.page", "docs.openapi", names.UNMATCHED):
        assert PLAN.rate_limits[name] == "120/minute"


@pytest.mark.usefixtures("migrated", "limited_to_three")
def test_unmatched_urls_share_one_count(make_app: MakeApp) -> None:
    """Guessing URLs and methods does not make a count for each guess."""
    client = make_app().test_client()
    assert [client.get(f"/guess/{n}").status_code for n in range(2)] == [404, 404]
    assert client.delete(f"{ORDERS}/").status_code == 405
    is_problem(client.get("/guess/another"), 429)
    is_problem(client.put(ORDERS), 429)


@pytest.mark.usefixtures("migrated", "limited_to_three")
def test_a_key_is_counted_wherever_it_comes_from(make_app: MakeApp) -> None:
    """Keys of one address have counts of their own, and one key of two addresses has one count."""
    app = make_app()
    client = app.test_client()
    first = bearer(KEYS["read"])
    second = bearer(KEYS["write"])
    assert allowed(client, headers=first) == 3
    assert allowed(client, headers=first, environ_base={"REMOTE_ADDR": "10.0.0.2"}) == 0
    assert allowed(client, headers=second) == 3
    assert allowed(stranger(app)) == 3


@pytest.mark.usefixtures("migrated")
def test_an_unlimited_key_is_spared(make_app: MakeApp) -> None:
    """No 429, and no headers about a limit that does not hold."""
    client = make_app().test_client()
    assert allowed(client, headers=bearer(UNLIMITED)) == 200
    assert "X-RateLimit-Limit" not in client.get(ORDERS, headers=bearer(UNLIMITED)).headers


@pytest.mark.parametrize("token", [KEYS["admin"], UNLIMITED[:-1], "\xff\xfe", ""])
@pytest.mark.usefixtures("migrated")
def test_only_unlimited_keys_are_exempt(make_app: MakeApp, token: str) -> None:
    """Neither a wide scope nor a wrong or odd key helps."""
    assert allowed(make_app().test_client(), headers=bearer(token)) == LIMITS["orders.list"]


@pytest.mark.usefixtures("migrated")
def test_responses_carry_the_remaining_count(make_app: MakeApp) -> None:
    """Limit, rest and reset (Unix seconds) are on each; Retry-After is on refusals alone."""
    client = make_app().test_client()
    first = client.get(ORDERS).headers
    second = client.get(ORDERS).headers
    assert first["X-RateLimit-Limit"] == "120"
    assert first["X-RateLimit-Remaining"] == "119"
    assert second["X-RateLimit-Remaining"] == "118"
    assert 0 < int(first["X-RateLimit-Reset"]) - time.time() <= 61
    assert "Retry-After" not in first


@pytest.mark.usefixtures("migrated")
def test_an_error_keeps_its_own_time_to_come_again(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 says when the database may be back, not when the limit begins anew."""

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
def test_only_declared_proxies_are_believed(
    make_app: MakeApp, hops: int, forwarded_for: str, served: int
) -> None:
    """A forged X-Forwarded-For does not change the caller, whatever the number of proxies."""
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
def test_a_network_of_ipv6_is_one_caller(
    make_app: MakeApp, one: str, other: str, together: bool
) -> None:
    """A client with an IPv6 address has 2⁶⁴ of them; a mapped IPv4 address stays one."""
    client = stranger(make_app())
    assert allowed(client, environ_base={"REMOTE_ADDR": one}) == 3
    assert allowed(client, environ_base={"REMOTE_ADDR": other}) == (0 if together else 3)


@pytest.mark.usefixtures("migrated")
def test_workers_share_one_count(make_app: MakeApp, tmp_path: Path) -> None:
    """Two apps on one file allow as much together as one alone."""
    url = f"sqlite:///{tmp_path}/limits.db"
    first, second = (make_app(limiter_url=url).test_client() for _ in range(2))
    assert allowed(first, tries=100) == 100
    assert allowed(second) == LIMITS["orders.list"] - 100
    assert first.get(ORDERS).status_code == 429


@pytest.mark.usefixtures("migrated")
def test_a_dead_store_neither_stops_nor_unlimits(make_app: MakeApp, tmp_path: Path) -> None:
    """Without its store each worker counts for itself."""
    url = f"sqlite:///{tmp_path}/no/such/folder/limits.db"
    assert not SharedFileStorage(url).check()
    assert allowed(make_app(limiter_url=url).test_client()) == LIMITS["orders.list"]


@pytest.mark.usefixtures("migrated", "limited_to_three")
def test_another_limit_in_the_catalogue_is_another_limit(make_app: MakeApp) -> None:
    """The number comes from the plan and stands nowhere in the app."""
    assert allowed(make_app().test_client()) == 3


@pytest.mark.usefixtures("migrated")
def test_a_request_asks_its_store_once(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The headers need no statement beside the one that counts."""
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
def test_a_locked_file_is_replaced_by_memory_until_it_is_free(
    make_app: MakeApp, tmp_path: Path
) -> None:
    """Meanwhile requests are answered and limited, and the fallbacks are counted."""
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
    """Give Redis more time than in production: a machine that runs tests is busy."""
    for name in ("socket_timeout", "socket_connect_timeout"):
        monkeypatch.setitem(redis_client.OPTIONS, name, 2.0)


@pytest.fixture
def redis(patient: None) -> Iterator[RedisServer]:
    assert patient is None
    with RedisServer() as server:
        yield server


@pytest.mark.usefixtures("migrated", "patient")
def test_machines_share_one_count_in_redis(make_app: MakeApp, redis_url: str) -> None:
    """Two apps on one Redis allow as much together as one alone, and say how much that is."""
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
def test_without_redis_memory_limits_until_it_is_back(
    make_app: MakeApp, redis: RedisServer, away: object, again: object
) -> None:
    """Meanwhile requests are answered and limited; afterwards two apps share one count again."""
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
def test_requests_that_wait_together_are_all_answered(
    make_app: MakeApp, redis: RedisServer
) -> None:
    """When the store hangs and the first request falls back, those that wait do not fail."""
    app = make_app(limiter_url=redis.url)
    assert app.test_client().get(ORDERS).status_code == 200
    redis.freeze()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: app.test_client().get(ORDERS).status_code, range(16)))
    redis.thaw()
    assert statuses == [200] * 16


@pytest.mark.usefixtures("migrated")
def test_an_app_starts_without_its_redis(make_app: MakeApp) -> None:
    """A store that is away at the start costs nothing but the shared count."""
    client = make_app(limiter_url="redis://127.0.0.1:9/0").test_client()
    assert allowed(client) == LIMITS["orders.list"]


def test_a_store_that_dies_after_the_count_costs_the_headers_alone(
    make_app: MakeApp, migrated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is the view's; the next request finds out."""
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


def test_counters_are_shared_exactly(url: str) -> None:
    """Threads over two instances on one file lose no count."""
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


def test_counters_expire_and_start_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A counter expires after its time; the next increment starts a new one."""
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


def test_counters_can_be_forgotten(url: str) -> None:
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


def test_three_slashes_are_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL means what the database's means: three slashes relative, four absolute."""
    monkeypatch.chdir(tmp_path)
    SharedFileStorage("sqlite:///near.db").incr("k", 60)
    assert SharedFileStorage(f"sqlite:////{str(tmp_path)[1:]}/near.db").get("k") == 1
