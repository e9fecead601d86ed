"""A Redis client for requests: short time-outs, no retries, and a default while Redis is down."""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from api.platform.telemetry import metrics

TIMEOUT = 0.2  # seconds that a request waits for a store that hangs
OPTIONS: Any = {
    "socket_timeout": TIMEOUT,
    "socket_connect_timeout": TIMEOUT,
    "retry": Retry(NoBackoff(), 0),
}
PAUSE_SECONDS = 5.0  # without commands after a failure
T = TypeVar("T")
log = logging.getLogger(__name__)


class OptionalRedis:
    """Redis with a default for each command while it is down; safe to use from several threads."""

    def __init__(self, url: str):
        self._redis = Redis.from_url(url, decode_responses=True, **OPTIONS)
        self._paused_until = 0.0  # monotonic seconds

    def run(self, command: Callable[[Redis], Any], default: T) -> T:
        """Return the result of a command; return `default` when it, or a recent one, failed."""
        if time.monotonic() < self._paused_until:
            return default
        try:
            result: T = command(self._redis)
        except RedisError as error:
            self._paused_until = time.monotonic() + PAUSE_SECONDS
            metrics.SHARED_FAILURES.inc()
            log.warning(
                "Redis is unavailable; falling back to per-process state",
                extra={"error": type(error).__name__},
            )
            return default
        return result
