"""Rate limits of the catalogue per route and caller, and a store of counters in a shared file."""

import math
import sqlite3
import threading
import time
from contextlib import suppress
from ipaddress import IPv6Network
from typing import Any

from flask import Flask, Response, g, request
from flask_limiter import Limit, Limiter, RequestLimit
from limits.storage import Storage
from redis.exceptions import RedisError

from api.platform.config import PlatformSettings
from api.platform.http.addresses import parse_address
from api.platform.http.response_headers import LIMIT, REMAINING, RESET, RETRY_AFTER
from api.platform.outbound import redis_client
from api.platform.state import app_state
from api.platform.telemetry import metrics
from observability.spec.plan import Plan

PURGE_INTERVAL = 1_000  # counted requests
CREATE = """
CREATE TABLE IF NOT EXISTS counters (key TEXT PRIMARY KEY, amount INTEGER, expires REAL)
WITHOUT ROWID
"""
COUNT = """
INSERT INTO counters VALUES (:key, :amount, :expires)
ON CONFLICT (key) DO UPDATE SET
    amount = iif(expires <= :now, 0, amount) + :amount,
    expires = iif(expires <= :now, :expires, expires)
RETURNING amount, expires
"""
READ = "SELECT amount, expires FROM counters WHERE key = :key AND expires > :now"
PURGE = "DELETE FROM counters WHERE expires <= :now"
CHECK = """
INSERT INTO counters VALUES ('', 0, 0)
ON CONFLICT (key) DO UPDATE SET amount = 0
RETURNING 1
"""


class SharedFileStorage(Storage):
    """`sqlite:///file`: counters that expire, in a SQLite file that all workers of a host share.

    As in database URLs, a fourth slash begins an absolute path.
    """

    STORAGE_SCHEME = ["sqlite"]  # noqa: RUF012 - the base class declares it so
    base_exceptions = sqlite3.Error

    def __init__(self, uri: str, wrap_exceptions: bool = False, **_: Any):
        super().__init__(uri, wrap_exceptions)
        self._path = uri.removeprefix("sqlite:///")
        self._local = threading.local()
        self._since_purge = 0

    def _run(self, sql: str, **values: Any) -> list[Any]:
        if not hasattr(self._local, "connection"):
            self._local.connection = self._connect()
        return list(self._local.connection.execute(sql, values))

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=redis_client.TIMEOUT, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        # It is safe to lose counts in a crash.
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(CREATE)
        return connection

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a counter and return it; a new one expires after `expiry` seconds."""
        now = time.time()
        [counter] = self._run(COUNT, key=key, amount=amount, expires=now + expiry, now=now)
        # The headers of the response read the counter in the same thread.
        self._local.counted = {key: counter}
        self._since_purge += 1
        if self._since_purge >= PURGE_INTERVAL:
            self._since_purge = 0
            self._run(PURGE, now=now)
        return int(counter[0])

    def _state(self, key: str) -> tuple[int, float]:
        now = time.time()
        counted = getattr(self._local, "counted", {})
        amount, expires = counted.get(key, (0, 0.0))
        if expires > now:
            return amount, expires
        rows = self._run(READ, key=key, now=now)
        if not rows:
            return 0, now
        amount, expires = rows[0]
        return amount, expires

    def get(self, key: str) -> int:
        """Return a counter; 0 when it has expired."""
        amount, _ = self._state(key)
        return amount

    def get_expiry(self, key: str) -> float:
        """Return when a counter expires, in Unix seconds; now when it has expired."""
        _, expires = self._state(key)
        return expires

    def check(self) -> bool:
        """Return True if the file can be written.

        An exception would let the current request pass without being counted.
        """
        try:
            return bool(self._run(CHECK))
        except sqlite3.Error:
            return False

    def reset(self) -> int | None:
        """Delete all counters and return how many there were."""
        self._local.counted = {}
        return len(self._run("DELETE FROM counters RETURNING 1"))

    def clear(self, key: str) -> None:
        """Delete a counter."""
        self._local.counted = {}
        self._run("DELETE FROM counters WHERE key = :key", key=key)


def caller() -> str:
    """Return the rate-limit key: the API key id, else the client's IPv4 address or IPv6 /64."""
    key_id = g.get("key_id")
    if key_id:
        return f"key:{key_id}"
    address = parse_address(request.remote_addr or "")
    if address is None:
        return "unknown"  # a Unix socket
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address, 64), strict=False))


def seconds_until_reset(limit: RequestLimit) -> int:
    """Return the seconds until the caller's count starts again, rounded up, at least 1."""
    return max(1, math.ceil(limit.window[0] - time.time()))


def refusal() -> str:
    """Return the text of a 429; "" outside a request."""
    limit = app_state().limiter.current_limit
    if not limit:
        return ""
    seconds = seconds_until_reset(limit)
    return f"The rate limit is {limit.limit} per caller; try again in {seconds} s."


def init_app(app: Flask, plan: Plan, settings: PlatformSettings) -> None:
    """Make the limiter: each request counts for its route, also one that matches no route.

    Unlimited keys are exempt, and routes to which the catalogue gives no limit.
    """
    per_route = Limit(
        lambda: plan.rate_limits.get(metrics.current_route(), ""),
        error_message=refusal,
        exempt_when=lambda: bool(g.get("key_unlimited")),
    )
    storage_options: Any = {}
    if settings.limiter_url.startswith("redis"):
        storage_options = redis_client.OPTIONS
    app_state(app).limiter = Limiter(
        caller,
        default_limits=[per_route],
        request_identifier=metrics.current_route,
        storage_uri=settings.limiter_url,
        storage_options=storage_options,
        # While the store is down, each worker counts in memory.
        in_memory_fallback_enabled=True,
        # When several requests wait for a dead store, only the first falls back to memory;
        # without this the others would fail with 500.
        swallow_errors=True,
    )


def register(app: Flask) -> None:
    """Register the hooks of flask-limiter, which count before the view."""
    app_state(app).limiter.init_app(app)


def add_headers(response: Response) -> Response:
    """Add the X-RateLimit headers, and Retry-After to a refusal."""
    limiter = app_state().limiter
    limit = limiter.current_limit
    if not limit:
        return response
    if limiter.limiter.storage is not limiter.storage:
        metrics.LIMITER_FALLBACKS.inc()
    # The store may die after the count; then the next request falls back to memory.
    with suppress(sqlite3.Error, RedisError):
        headers = {
            LIMIT: str(limit.limit.amount),
            REMAINING: str(limit.remaining),
            RESET: str(limit.reset_at),
        }
        response.headers.update(headers)
        if limit.breached:
            response.headers[RETRY_AFTER] = str(seconds_until_reset(limit))
    return response
