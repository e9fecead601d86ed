"""The Redis client of requests: defaults while Redis is down, and the pause after a failure."""

import time

import pytest
import redis

from api.platform.outbound import redis_client
from api.platform.outbound.redis_client import PAUSE_SECONDS, OptionalRedis


class Later:
    """A clock that is ahead by the length of the pause."""

    @staticmethod
    def monotonic() -> float:
        return time.monotonic() + PAUSE_SECONDS


def test_redis_is_used_again_after_the_pause(
    redis_url: str, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failure every command gets its default until the pause is over."""
    client = OptionalRedis(silent)
    assert client.run(lambda store: store.ping(), None) is None
    client._redis = redis.Redis.from_url(redis_url)
    assert client.run(lambda store: store.ping(), None) is None
    monkeypatch.setattr(redis_client, "time", Later)
    assert client.run(lambda store: store.ping(), None) is True
