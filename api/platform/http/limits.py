"""Rate limits from the catalogue, per route and caller, and a counter store that workers share through one SQLite file."""

import math
import sqlite3
import threading
import time
from contextlib import suppress
from ipaddress import IPv6Network, ip_address
from typing import Any

from flask import Flask, Response, g, request
from flask_limiter import Limit, Limiter, RequestLimit
from limits.storage import Storage
from redis.exceptions import RedisError

from api.config import Settings
from api.platform.outbound import redis_client
from api.platform.state import app_state
from api.platform.telemetry import metrics
from observability.spec.plan import Plan

PURGE_EVERY = 1_000  # counted requests


class SharedFileStorage(Storage):
    """`sqlite:///file`: counters that expire, in a file that all workers of one machine open; lost counts cost nothing."""

    STORAGE_SCHEME = ["sqlite"]  # noqa: RUF012 - the base class declares it so
    base_exceptions = sqlite3.Error

    def __init__(self, uri: str, wrap_exceptions: bool = False, **_: Any):
        super().__init__(uri, wrap_exceptions)
        self._path = uri.removeprefix(
            "sqlite:///"
        )  # as in database URLs: a fourth slash begins an absolute path
        self._local = threading.local()
        self._since_purge = 0

    def _run(self, sql: str, *values: Any) -> list[Any]:
        if not hasattr(self._local, "connection"):
            connection = sqlite3.connect(
                self._path, timeout=redis_client.SECONDS, isolation_level=None
            )
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS counters (key TEXT PRIMARY KEY, amount INTEGER, expires REAL) WITHOUT ROWID"
            )
            self._local.connection = connection
        return list(self._local.connection.execute(sql, values))

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = time.time()
        [found] = self._run(
            "INSERT INTO counters VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE SET"
            " amount = iif(expires <= ?4, 0, amount) + ?2, expires = iif(expires <= ?4, ?3, expires) RETURNING amount, expires",
            *(key, amount, now + expiry, now),
        )
        self._local.counted = {key: found}  # headers ask for what this thread has just been told
        self._since_purge += 1
        if self._since_purge >= PURGE_EVERY:  # one row per client and route would stay for ever
            self._since_purge = 0
            self._run("DELETE FROM counters WHERE expires <= ?", now)
        return int(found[0])

    def _state(self, key: str) -> tuple[int, float]:
        now = time.time()
        amount, expires = getattr(self._local, "counted", {}).get(key, (0, 0))
        if expires <= now:
            rows = self._run(
                "SELECT amount, expires FROM counters WHERE key = ? AND expires > ?", key, now
            )
            amount, expires = rows[0] if rows else (0, now)
        return int(amount), float(expires)

    def get(self, key: str) -> int:
        return self._state(key)[0]

    def get_expiry(self, key: str) -> float:
        return self._state(key)[1]

    def check(self) -> bool:
        try:
            return bool(
                self._run(
                    "INSERT INTO counters VALUES ('', 0, 0) ON CONFLICT (key) DO UPDATE SET amount = 0 RETURNING 1"
                )
            )
        except sqlite3.Error:
            return False  # raising would let the request that asked pass uncounted

    def reset(self) -> int | None:
        self._local.counted = {}
        return len(self._run("DELETE FROM counters RETURNING 1"))

    def clear(self, key: str) -> None:
        self._local.counted = {}
        self._run("DELETE FROM counters WHERE key = ?", key)


def caller() -> str:
    """Whose requests are counted together: those of a key, else of an address; who has an IPv6 address has its whole /64."""
    if key := g.get("key_id"):
        return f"key:{key}"
    try:
        address = ip_address(request.remote_addr or "")
    except ValueError:
        return "nowhere"  # a socket file, or a proxy that says no address
    return str(
        address
        if address.version == 4
        else address.ipv4_mapped or IPv6Network((address, 64), strict=False)
    )


def wait(limit: RequestLimit) -> int:
    """Whole seconds until the caller's count begins anew, at least one."""
    return max(1, math.ceil(limit.window[0] - time.time()))


def refusal() -> str:
    """Return the text for a caller that asked too often; "" outside a request."""
    limit = app_state().limiter.current_limit
    if limit is None:
        return ""
    seconds = wait(limit)
    return f"At most {limit.limit} from one caller are answered here; try again in {seconds} s."


def init_app(app: Flask, plan: Plan, settings: Settings) -> None:
    """Make the limiter: every request by its route's entry in the catalogue, also those that match no route.

    Unlimited keys are exempt.
    """
    per_route = Limit(
        lambda: plan.rate_limits[metrics.current_route()],
        error_message=refusal,
        exempt_when=lambda: bool(g.get("key_unlimited")),
    )
    uses_redis = settings.limiter_url.startswith("redis")
    app_state(app).limiter = Limiter(
        caller,
        default_limits=[per_route],
        request_identifier=metrics.current_route,
        storage_uri=settings.limiter_url,
        storage_options=redis_client.PATIENCE if uses_redis else {},
        in_memory_fallback_enabled=True,  # a dead store neither refuses everybody nor lets everybody through
        swallow_errors=True,  # requests that waited for it together: the first falls back, the others would be errors
    )


def register(app: Flask) -> None:
    """Register flask-limiter's own hooks: the count before the view, and its cleaning up."""
    app_state(app).limiter.init_app(app)


def announce(answer: Response) -> Response:
    """Add the X-RateLimit headers, and Retry-After to a refusal."""
    limiter = app_state().limiter
    limit = limiter.current_limit
    if limit is None:
        return answer
    if limiter.limiter.storage is not limiter.storage:
        metrics.LIMITER_FALLBACKS.inc()
    # A store that died after the count: the next request finds out, and counts in memory.
    with suppress(sqlite3.Error, RedisError):
        headers = {
            "X-RateLimit-Limit": str(limit.limit.amount),
            "X-RateLimit-Remaining": str(limit.remaining),
            "X-RateLimit-Reset": str(limit.reset_at),
        }
        answer.headers.update(headers)
        if limit.breached:
            answer.headers["Retry-After"] = str(wait(limit))
    return answer
