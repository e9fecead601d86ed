"""Rate limits from the catalogue, per route and client, and a counter store that workers share through one SQLite file."""

import sqlite3
import threading
import time
from typing import Any

from flask import Flask, g, request
from flask_limiter import Limiter
from limits.storage import Storage

from api import telemetry
from api.config import Settings
from observability.plan import Plan

PURGE_EVERY = 1_000  # counted requests


class SharedFileStorage(Storage):
    """`sqlite:///file`: counters that expire, in a file that all workers of one machine open; lost counts cost nothing."""

    STORAGE_SCHEME = ["sqlite"]  # noqa: RUF012 - the base class declares it so
    base_exceptions = sqlite3.Error

    def __init__(self, uri: str, wrap_exceptions: bool = False, **_: Any):
        super().__init__(uri, wrap_exceptions)
        self._path = uri.removeprefix("sqlite:///")  # as in database URLs: a fourth slash begins an absolute path
        self._local = threading.local()
        self._since_purge = 0

    def _run(self, sql: str, *values: Any) -> list[Any]:
        if not hasattr(self._local, "connection"):
            connection = sqlite3.connect(self._path, timeout=1, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("CREATE TABLE IF NOT EXISTS counters (key TEXT PRIMARY KEY, amount INTEGER, expires REAL) WITHOUT ROWID")
            self._local.connection = connection
        return list(self._local.connection.execute(sql, values))

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = time.time()
        rows = self._run(
            "INSERT INTO counters VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE SET"
            " amount = iif(expires <= ?4, 0, amount) + ?2, expires = iif(expires <= ?4, ?3, expires) RETURNING amount",
            *(key, amount, now + expiry, now),
        )
        self._since_purge += 1
        if self._since_purge >= PURGE_EVERY:  # one row per client and route would stay for ever
            self._since_purge = 0
            self._run("DELETE FROM counters WHERE expires <= ?", now)
        return int(rows[0][0])

    def get(self, key: str) -> int:
        rows = self._run("SELECT amount FROM counters WHERE key = ? AND expires > ?", key, time.time())
        return int(rows[0][0]) if rows else 0

    def get_expiry(self, key: str) -> float:
        rows = self._run("SELECT expires FROM counters WHERE key = ?", key)
        return float(rows[0][0]) if rows else time.time()

    def check(self) -> bool:
        try:
            return bool(self._run("SELECT 1"))
        except sqlite3.Error:
            return False  # raising would let the request that asked pass uncounted

    def reset(self) -> int | None:
        return len(self._run("DELETE FROM counters RETURNING 1"))

    def clear(self, key: str) -> None:
        self._run("DELETE FROM counters WHERE key = ?", key)


def init_app(app: Flask, plan: Plan, settings: Settings) -> None:
    """Limits every watched route as the catalogue says; exempt routes, and callers whose key is unlimited, are not limited."""
    limits = {route.id: route.rate_limit for route in plan.routes}
    unused = next(iter(limits.values()))  # the extension asks for a limit before it asks whether there is one

    def unlimited() -> bool:
        return bool(g.get("key_unlimited")) or telemetry.current_route(app) not in limits

    Limiter(
        lambda: f"{telemetry.current_route(app)}:{request.remote_addr}",
        app=app,
        default_limits=[lambda: limits.get(telemetry.current_route(app), unused)],
        default_limits_exempt_when=unlimited,
        headers_enabled=True,
        storage_uri=settings.limiter_url,
        in_memory_fallback_enabled=True,  # a dead store neither refuses everybody nor lets everybody through
    )
