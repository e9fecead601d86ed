"""The cache of answers."""

import time

import pytest

from observability.console.cache import AnswerCache
from observability.lib.http import Unreachable


def test_slow_answers_are_cached_longer() -> None:
    """A failure is cached, too, but only for the usual time."""
    cache = AnswerCache()
    fetched: list[str] = []

    def slow() -> str:
        fetched.append("slow")
        time.sleep(0.2)
        return "answer"

    def fail() -> str:
        fetched.append("fail")
        time.sleep(0.2)
        raise Unreachable("nobody there")

    for _ in range(2):
        assert cache.get("slow", 0.001, slow) == "answer"
        time.sleep(0.01)
    for _ in range(2):
        with pytest.raises(Unreachable, match="nobody there"):
            cache.get("fail", 60.0, fail)
    assert fetched == ["slow", "fail"]
    time.sleep(0.01)
    with pytest.raises(Unreachable):
        cache.get("fail", 0.001, fail)
    assert fetched == ["slow", "fail", "fail"]
