"""The Valkey settings of the compose stack: memory limits, refused writes, access control."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from api.platform.jobs.worker import Jobs
from api.platform.outbound import redis_client
from api.platform.outbound.stale_cache import Cache
from api.platform.telemetry import metrics
from observability.spec import names
from tests.api.conftest import MakeApp
from tests.api.platform.helpers import ORDER, ORDERS, sample
from tests.api.platform.http.test_limits import (
    LIMITS,
    allowed,
    fallbacks,
    limited_to_three,  # noqa: F401 - a fixture
    wait_for_store,
)
from tests.redis_server import RedisServer

CONFIG = (
    Path(__file__).resolve().parents[4]
    / "observability"
    / "devstack"
    / "compose"
    / "valkey"
    / "valkey.conf"
)
USERS = (
    "user default on nopass resetkeys resetchannels -@all +ping\n"
    "user evara on >word ~* &* +@all -@admin -@dangerous\n"
    "user operator on >word ~* &* +@all\n"
)
ROOM = 4_000_000  # bytes beyond what the server itself takes


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """Yield a client with all permissions at a server with shipped settings and little memory."""
    for name in ("socket_timeout", "socket_connect_timeout"):
        monkeypatch.setitem(redis_client.OPTIONS, name, 2.0)  # a busy machine that runs tests
    users = tmp_path / "users.acl"
    users.write_text(USERS)
    with RedisServer(str(CONFIG), "--aclfile", str(users)) as server:
        client = Redis(port=server.port, username="operator", password="word")
        client.config_set("maxmemory", client.info("memory")["used_memory"] + ROOM)
        yield client


@pytest.fixture
def valkey(operator: Redis) -> str:
    """Return its URL for the API's user."""
    return f"redis://evara:word@127.0.0.1:{operator.get_connection_kwargs()['port']}/0"


@pytest.fixture
def store(valkey: str) -> Redis:
    return Redis.from_url(valkey)


@pytest.mark.usefixtures("migrated", "limited_to_three")
def test_limits_are_counted_in_memory_while_the_store_is_full(
    make_app: MakeApp, valkey: str, operator: Redis
) -> None:
    """The fallback is counted; when the store has room again, it counts."""
    app = make_app(limiter_url=valkey, redis_url=valkey)
    client = app.test_client()
    assert client.get(ORDERS).status_code == 200
    operator.rpush("huey.redis.evara", "work")  # which stays
    operator.config_set("maxmemory", 1)
    before, failures = fallbacks(), sample(metrics.REGISTRY, f"{names.SHARED_FAILURES}_total")
    assert allowed(client) == 3
    assert fallbacks() == before + 4
    assert (
        redis_client.OptionalRedis(valkey).run(
            lambda redis: redis.set("evara:x", "y", ex=60), "otherwise"
        )
        == "otherwise"
    )
    assert sample(metrics.REGISTRY, f"{names.SHARED_FAILURES}_total") == failures + 1
    operator.config_set("maxmemory", 0)
    wait_for_store(client)
    assert operator.llen("huey.redis.evara") == 1


def test_keys_that_expire_are_evicted_before_the_queue(store: Redis) -> None:
    """Counters and answers are evicted; no task of the queue is lost."""
    for number in range(200):
        store.rpush("huey.redis.evara", f"task {number}")
    for number in range(2_000):
        store.set(f"evara:{number}", b"x" * 10_000, ex=3600)
    assert store.dbsize() < 2_000
    assert store.llen("huey.redis.evara") == 200


@pytest.mark.usefixtures("migrated")
def test_user_of_the_api_has_only_the_permissions_it_needs(
    make_app: MakeApp, valkey: str, store: Redis
) -> None:
    """Limits, cached answers and jobs work; listing keys, flushing and settings are refused."""
    before = fallbacks(), sample(metrics.REGISTRY, f"{names.SHARED_FAILURES}_total")
    app = make_app(limiter_url=valkey, redis_url=valkey, jobs_url=valkey)
    client = app.test_client()
    assert allowed(client) == LIMITS["orders.list"]
    assert Cache(15.0, redis_client.OptionalRedis(valkey)).answer("x", lambda: 1, ()).stored
    assert client.post(ORDERS, json=ORDER).status_code == 201
    jobs = Jobs(app)
    jobs.tick()
    assert [task.name for task in jobs.huey.pending()] == ["ship"]
    assert jobs.huey.dequeue().name == "ship"
    with app.app_context():
        assert jobs.leadership.lease
    assert (fallbacks(), sample(metrics.REGISTRY, f"{names.SHARED_FAILURES}_total")) == before
    for forbidden in (store.keys, store.flushall, lambda: store.config_set("maxmemory", 1)):
        with pytest.raises(ResponseError, match="permissions"):
            forbidden()
