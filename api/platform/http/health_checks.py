"""Health checks of dependencies; all callers within a second share one result."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime

from flask import Flask

from api.platform.types import JsonObject

MAX_AGE = 1.0  # seconds; under load each check runs once in this time
TIMEOUT = 2.0  # seconds until a check that hangs counts as failed


class Check:
    """One dependency: `run` returns {"ok", "detail"?, "state"?, "since"?} or raises.

    One thread at a time runs it, however many callers wait for the result.
    """

    def __init__(self, app: Flask, run: Callable[[], JsonObject], critical: bool, local: bool):
        self.critical = critical
        self.local = local
        self._app = app
        self._run = run
        self._lock = threading.Lock()
        self._started = 0.0  # on the monotonic clock
        self._future = Future[JsonObject]()
        self._future.set_result({})
        self._ok: bool | None = None
        self._since = datetime.now(UTC)

    def result(self) -> JsonObject:
        """Return the last result, or a new one if it is too old; wait for TIMEOUT at most."""
        with self._lock:
            if self._future.done() and time.monotonic() >= self._started + MAX_AGE:
                self._start()
            future = self._future
            deadline = self._started + TIMEOUT
        try:
            result = future.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            result = {"ok": False, "detail": f"did not respond within {TIMEOUT:g} s"}
        with self._lock:
            if result["ok"] != self._ok:
                self._ok = result["ok"]
                self._since = datetime.now(UTC)
            return {"since": self._since} | result

    def has_failed(self) -> bool:
        """Return whether the result that the last caller got is a failure; do not wait."""
        with self._lock:
            return self._ok is False

    def _start(self) -> None:
        self._started = time.monotonic()
        self._future = Future()
        threading.Thread(target=self._finish, args=(self._future,), daemon=True).start()

    def _finish(self, future: "Future[JsonObject]") -> None:
        started = time.perf_counter()
        try:
            with self._app.app_context():
                result = self._run()
        except Exception as error:  # any error means that the dependency is unavailable
            result = {"ok": False, "detail": f"failed ({type(error).__name__})"}
        milliseconds = (time.perf_counter() - started) * 1000
        future.set_result(result | {"latency_ms": round(milliseconds, 2)})
