"""The cache: fresh and stale answers, single fetches, sharing through Redis, its outage."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from api.platform.outbound import stale_cache as module
from api.platform.outbound.redis_client import OptionalRedis
from api.platform.outbound.stale_cache import KEY_PREFIX, Cache, CachedAnswer, FetchInProgress
from api.platform.telemetry import metrics
from observability.spec import names
from tests.api.platform.helpers import sample

CALLERS = 6


class Failed(Exception):
    """The excused failure of a fetch."""


class Clock:
    """A clock that the test sets."""

    now = 1_000_000.0

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def fail() -> Any:
    raise Failed


def fail_test() -> Any:
    pytest.fail("it was fetched")


def answer(cache: Cache, fetch: Callable[[], Any], key: str = "k") -> CachedAnswer:
    return cache.answer(key, fetch, (Failed,))


def counted(result: str) -> float:
    return sample(metrics.REGISTRY, f"{names.CACHE_ANSWERS}_total", result=result)


def redis_failures() -> float:
    return sample(metrics.REGISTRY, f"{names.SHARED_FAILURES}_total")


def test_answer_is_fresh_within_the_ttl_and_then_stale(clock: Clock) -> None:
    """A fresh one is not fetched again; a stale one is the fallback and has its age."""
    cache = Cache(15)
    before = {result: counted(result) for result in metrics.CACHE_RESULTS}
    assert answer(cache, lambda: 1) == CachedAnswer(1, 0.0, fresh=True, stored=True)
    clock.now += 14
    assert answer(cache, fail_test) == CachedAnswer(1, 14.0, fresh=True)
    clock.now += 1
    assert answer(cache, fail) == CachedAnswer(1, 15.0, fresh=False)
    clock.now += 100
    assert answer(cache, fail) == CachedAnswer(1, 115.0, fresh=False)
    assert answer(cache, lambda: 2) == CachedAnswer(2, 0.0, fresh=True, stored=True)
    assert {result: counted(result) - before[result] for result in before} == {
        "fresh": 1,
        "stale": 2,
        "miss": 2,
    }


def test_answer_older_than_a_day_is_not_used(clock: Clock) -> None:
    """A fallback is at most a day old."""
    cache = Cache(15)
    answer(cache, lambda: 1)
    clock.now += module.MAX_AGE
    with pytest.raises(Failed):
        answer(cache, fail)


def test_error_without_an_earlier_answer_is_raised() -> None:
    """Other errors are raised even with one; the key can be fetched again."""
    cache = Cache(0)
    misses = counted("miss")
    with pytest.raises(Failed):
        answer(cache, fail)
    assert counted("miss") == misses + 1
    answer(cache, lambda: 1)
    with pytest.raises(ZeroDivisionError):
        answer(cache, lambda: 1 // 0)
    assert answer(cache, lambda: 2).value == 2  # and the key is free again


@pytest.mark.parametrize(
    "known", [True, False], ids=["others get the last good answer", "others get an error"]
)
def test_one_caller_fetches_at_a_time(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a fetch hangs, no other caller fetches that key or waits long; other keys are free."""
    cache, fetches, reached, go = Cache(0.0), [], threading.Event(), threading.Event()
    if known:
        monkeypatch.setattr(module, "MAX_WAIT", 60)  # who has an answer does not wait at all
        answer(cache, lambda: "old")

    def slow() -> str:
        fetches.append(1)
        reached.set()
        go.wait(10)
        return "new"

    def other(_: int) -> Any:
        try:
            return answer(cache, slow).value
        except FetchInProgress:
            return FetchInProgress

    with ThreadPoolExecutor(CALLERS + 1) as pool:
        first = pool.submit(answer, cache, slow)
        assert reached.wait(10)
        assert set(pool.map(other, range(CALLERS))) == {"old" if known else FetchInProgress}
        assert answer(cache, lambda: "elsewhere", "another key").value == "elsewhere"
        go.set()
        assert first.result().value == "new"
    assert len(fetches) == 1


def test_waiting_callers_get_the_fetched_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Concurrent callers of a new key cause one fetch, and all get its answer."""
    monkeypatch.setattr(module, "MAX_WAIT", 10)
    cache, fetches = Cache(60), []

    def slow() -> int:
        fetches.append(1)
        time.sleep(0.1)
        return 1

    with ThreadPoolExecutor(CALLERS) as pool:
        answers = list(pool.map(lambda _: answer(cache, slow), range(CALLERS)))
    assert [cached.value for cached in answers] == [1] * CALLERS
    assert len(fetches) == 1


def test_number_of_cached_answers_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answer is removed."""
    monkeypatch.setattr(module, "MAX_ANSWERS", 2)
    cache = Cache(60)
    for key in ("a", "b", "c"):
        answer(cache, lambda key=key: key, key)
    assert answer(cache, fail_test, "c").value == "c"
    assert answer(cache, fail_test, "b").value == "b"
    with pytest.raises(Failed):
        answer(cache, fail, "a")


def test_machines_share_answers_through_redis(redis_url: str) -> None:
    """The newest answer wins; Redis expires old ones."""
    one, other = (Cache(60, OptionalRedis(redis_url)) for _ in range(2))
    answer(one, lambda: {"a": [1, "x"]})
    assert answer(other, fail_test).value == {"a": [1, "x"]}
    other.ttl = 0
    answer(other, lambda: 2)
    assert answer(one, fail_test).value == 2  # although it keeps an older one that is fresh
    with redis.Redis.from_url(redis_url) as store:
        assert 0 < store.ttl(f"{KEY_PREFIX}k") <= module.MAX_AGE


@pytest.mark.parametrize("text", ["{", "5", "[]", '{"a": 1}', '["x", 1]', "\x00"])
def test_invalid_entry_in_redis_is_ignored(redis_url: str, text: str) -> None:
    """Redis may hold other content under our keys."""
    with redis.Redis.from_url(redis_url) as store:
        store.set(f"{KEY_PREFIX}k", text)
    assert answer(Cache(60, OptionalRedis(redis_url)), lambda: 1).value == 1


def test_unresponsive_redis_delays_one_command(silent: str) -> None:
    """The next commands do not wait; answers are cached per process, and it is counted."""
    before, cache = redis_failures(), Cache(60, OptionalRedis(silent))
    started = time.thread_time()
    assert answer(cache, lambda: 1).value == 1
    assert answer(cache, fail_test).value == 1
    assert redis_failures() == before + 1
    assert time.thread_time() - started < 1
