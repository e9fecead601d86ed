"""The cache: fresh and stale answers, one fetch at a time, sharing through Redis, its outage."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from api.platform.outbound import redis_client as redis_module
from api.platform.outbound import stale_cache as module
from api.platform.outbound.redis_client import PREFIX, OptionalRedis
from api.platform.outbound.stale_cache import Cache, CachedAnswer, FetchInProgress
from api.platform.telemetry import metrics
from observability.spec import names
from tests.api.helpers import sample

SEVERAL = 6


class Gone(Exception):
    """Who knows the answer does not give it."""


class Clock:
    """A clock that the test moves."""

    now = 1_000_000.0

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def silent() -> Iterator[str]:
    """Yield the URL of a Redis that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


def gone() -> Any:
    raise Gone


def never() -> Any:
    pytest.fail("it was fetched")


def ask(cache: Cache, fetch: Callable[[], Any], key: str = "k") -> CachedAnswer:
    return cache.answer(key, fetch, (Gone,))


def counted(result: str) -> float:
    return sample(metrics.REGISTRY, f"{names.CACHE_ANSWERS}_total", result=result)


def failures() -> float:
    return sample(metrics.REGISTRY, f"{names.SHARED_FAILURES}_total")


def test_an_answer_is_fresh_for_a_while_and_then_stale(clock: Clock) -> None:
    """Within the ttl it is not fetched again; afterwards it is the fallback, with its age."""
    cache = Cache(15)
    before = {result: counted(result) for result in metrics.CACHE_RESULTS}
    assert ask(cache, lambda: 1) == CachedAnswer(1, 0.0, fresh=True, stored=True)
    clock.now += 14
    assert ask(cache, never) == CachedAnswer(1, 14.0, fresh=True)
    clock.now += 1
    assert ask(cache, gone) == CachedAnswer(1, 15.0, fresh=False)
    clock.now += 100
    assert ask(cache, gone) == CachedAnswer(1, 115.0, fresh=False)
    assert ask(cache, lambda: 2) == CachedAnswer(2, 0.0, fresh=True, stored=True)
    assert {result: counted(result) - before[result] for result in before} == {
        "fresh": 1,
        "stale": 2,
        "miss": 2,
    }


def test_what_is_too_old_is_no_answer(clock: Clock) -> None:
    """An answer of the day before yesterday is not given, however stale it would be called."""
    cache = Cache(15)
    ask(cache, lambda: 1)
    clock.now += module.MAX_AGE
    with pytest.raises(Gone):
        ask(cache, gone)


def test_without_an_earlier_answer_the_error_is_told() -> None:
    """So is an error that excuses nothing, even if there is an answer."""
    cache = Cache(0)
    misses = counted("miss")
    with pytest.raises(Gone):
        ask(cache, gone)
    assert counted("miss") == misses + 1
    ask(cache, lambda: 1)
    with pytest.raises(ZeroDivisionError):
        ask(cache, lambda: 1 // 0)
    assert ask(cache, lambda: 2).value == 2  # and the key is free again


@pytest.mark.parametrize(
    "known", [True, False], ids=["others get the last good answer", "others are told to come again"]
)
def test_one_caller_fetches_at_a_time(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a fetch hangs, no other caller fetches that key or waits long; other keys are free."""
    cache, fetches, reached, go = Cache(0.0), [], threading.Event(), threading.Event()
    if known:
        monkeypatch.setattr(module, "PATIENCE", 60)  # who has an answer does not wait at all
        ask(cache, lambda: "old")

    def slow() -> str:
        fetches.append(1)
        reached.set()
        go.wait(10)
        return "new"

    def other(_: int) -> Any:
        try:
            return ask(cache, slow).value
        except FetchInProgress:
            return FetchInProgress

    with ThreadPoolExecutor(SEVERAL + 1) as pool:
        first = pool.submit(ask, cache, slow)
        assert reached.wait(10)
        assert set(pool.map(other, range(SEVERAL))) == {"old" if known else FetchInProgress}
        assert ask(cache, lambda: "elsewhere", "another key").value == "elsewhere"
        go.set()
        assert first.result().value == "new"
    assert len(fetches) == 1


def test_who_waits_gets_what_was_fetched_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many that ask for the same new thing cause one fetch, and all get its answer."""
    monkeypatch.setattr(module, "PATIENCE", 10)
    cache, fetches = Cache(60), []

    def slow() -> int:
        fetches.append(1)
        time.sleep(0.1)
        return 1

    with ThreadPoolExecutor(SEVERAL) as pool:
        assert {kept.value for kept in pool.map(lambda _: ask(cache, slow), range(SEVERAL))} == {1}
    assert len(fetches) == 1


def test_it_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer that was stored longest ago makes room."""
    monkeypatch.setattr(module, "MAX_ANSWERS", 2)
    cache = Cache(60)
    for key in ("a", "b", "c"):
        ask(cache, lambda key=key: key, key)
    assert ask(cache, never, "c").value == "c"
    assert ask(cache, never, "b").value == "b"
    with pytest.raises(Gone):
        ask(cache, gone, "a")


def test_machines_share_answers(redis_url: str) -> None:
    """An answer of one machine serves the others; the newest wins; Redis expires old ones."""
    one, other = (Cache(60, OptionalRedis(redis_url)) for _ in range(2))
    ask(one, lambda: {"a": [1, "x"]})
    assert ask(other, never).value == {"a": [1, "x"]}
    other.ttl = 0
    ask(other, lambda: 2)
    assert ask(one, never).value == 2  # although it keeps an older one that is fresh
    with redis.Redis.from_url(redis_url) as store:
        assert 0 < store.ttl(f"{PREFIX}k") <= module.MAX_AGE


@pytest.mark.parametrize("text", ["{", "5", "[]", '{"a": 1}', '["x", 1]', "\x00"])
def test_rubbish_in_redis_is_no_answer(redis_url: str, text: str) -> None:
    """What others wrote under our keys is passed over."""
    with redis.Redis.from_url(redis_url) as store:
        store.set(f"{PREFIX}k", text)
    assert ask(Cache(60, OptionalRedis(redis_url)), lambda: 1).value == 1


def test_a_silent_redis_costs_little_and_is_counted(silent: str) -> None:
    """One question waits for it, the others do not ask; the answers are those of this process."""
    before, cache = failures(), Cache(60, OptionalRedis(silent))
    started = time.thread_time()
    assert ask(cache, lambda: 1).value == 1
    assert ask(cache, never).value == 1
    assert failures() == before + 1
    assert time.thread_time() - started < 1


def test_redis_is_asked_again_when_it_was_left_alone_long_enough(
    redis_url: str, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage of Redis ends by itself here, too."""
    shared = OptionalRedis(silent)
    assert shared.run(lambda store: store.ping(), None) is None
    shared._redis = redis.Redis.from_url(redis_url)
    assert shared.run(lambda store: store.ping(), None) is None
    monkeypatch.setattr(
        redis_module,
        "time",
        type(
            "Later",
            (),
            {"monotonic": staticmethod(lambda: time.monotonic() + redis_module.PAUSE_SECONDS)},
        ),
    )
    assert shared.run(lambda store: store.ping(), None) is True
