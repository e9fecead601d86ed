"""Redis as requests use it: impatiently, because it may be away."""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from api.platform.telemetry import metrics

SECONDS = 0.2  # that a request waits for a store that hangs
PATIENCE: Any = {
    "socket_timeout": SECONDS,
    "socket_connect_timeout": SECONDS,
    "retry": Retry(NoBackoff(), 0),
}
AWAY_SECONDS = 5.0  # then it is left alone for so long
PREFIX = "evara:"
T = TypeVar("T")
log = logging.getLogger(__name__)


class Shared:
    """Redis that may be away: each question has an answer for then. Safe to use from several threads."""

    def __init__(self, url: str):
        self._redis = Redis.from_url(url, decode_responses=True, **PATIENCE)
        self._away_until = 0.0

    def ask(self, question: Callable[[Redis], Any], otherwise: T) -> T:
        """What Redis says; `otherwise` when it does not answer, or did not a moment ago."""
        if time.monotonic() < self._away_until:
            return otherwise
        try:
            answer: T = question(self._redis)
            return answer
        except RedisError as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            metrics.SHARED_FAILURES.inc()
            log.warning(
                "redis does not answer; each process goes by itself",
                extra={"error": type(error).__name__},
            )
            return otherwise
