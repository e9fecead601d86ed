"""A cache that falls back to stale answers; with Redis, machines share it."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import orjson

from api.platform.outbound.redis_client import OptionalRedis
from api.platform.telemetry import metrics

KEY_PREFIX = "evara:"
MAX_AGE = 86_400  # seconds; an older answer is not used
MAX_ANSWERS = 1_000  # per process; the one that was stored longest ago is removed first
MAX_WAIT = 0.2  # seconds that a caller without an answer waits for another caller's fetch
Entry = tuple[float, Any]  # Unix seconds of the fetch, and the answer


@dataclass(frozen=True)
class CachedAnswer:
    """An answer and its age in seconds; `fresh` while that is below the cache's ttl."""

    value: Any
    age: float
    fresh: bool
    stored: bool = False  # it was fetched for this caller

    @property
    def result(self) -> str:
        """The label value of the metric: miss, fresh or stale."""
        if self.stored:
            return "miss"
        if self.fresh:
            return "fresh"
        return "stale"


class FetchInProgress(Exception):
    """Another caller's fetch takes too long, and there is no earlier answer."""


class Cache:
    """The last good answer (a JSON value) of each key.

    One caller at a time fetches a key; the others get the last good answer.
    """

    def __init__(self, ttl: float, shared: OptionalRedis | None = None):
        self.ttl = ttl
        self._shared = shared
        self._own: OrderedDict[str, Entry] = OrderedDict()
        self._fetching: set[str] = set()
        self._changed = threading.Condition()
        for result in metrics.CACHE_RESULTS:
            metrics.CACHE_ANSWERS.labels(result)

    def answer(
        self, key: str, fetch: Callable[[], Any], excused: tuple[type[Exception], ...]
    ) -> CachedAnswer:
        """Return a fresh answer, fetched if necessary, else the last good one.

        The last good one serves while another caller fetches, and when `fetch` raises one of
        `excused`. Without one, raise FetchInProgress or that error.
        """
        cached = self._load(key)
        if cached is None or not cached.fresh:
            with self._fetch_right(key, 0.0 if cached else MAX_WAIT) as may_fetch:
                if may_fetch:
                    cached = self._refresh(key, fetch, excused)
        if cached is None:
            metrics.CACHE_ANSWERS.labels("miss").inc()
            raise FetchInProgress
        metrics.CACHE_ANSWERS.labels(cached.result).inc()
        return cached

    @contextmanager
    def _fetch_right(self, key: str, patience: float) -> Iterator[bool]:
        """Yield whether this caller alone may fetch the key during the block.

        Wait for another caller's fetch for at most `patience` seconds.
        """
        with self._changed:
            acquired = self._changed.wait_for(lambda: key not in self._fetching, patience)
            if acquired:
                self._fetching.add(key)
        try:
            yield acquired
        finally:
            if acquired:
                with self._changed:
                    self._fetching.discard(key)
                    self._changed.notify_all()

    def _refresh(
        self, key: str, fetch: Callable[[], Any], excused: tuple[type[Exception], ...]
    ) -> CachedAnswer:
        """Fetch and store the answer; return the last good one after an excused error."""
        cached = self._load(key)
        if cached and cached.fresh:
            return cached  # another caller has just fetched it
        try:
            value = fetch()
        except excused:
            if cached:
                return cached
            metrics.CACHE_ANSWERS.labels("miss").inc()
            raise
        self._store(key, value)
        return CachedAnswer(value, 0.0, fresh=True, stored=True)

    def _load(self, key: str) -> CachedAnswer | None:
        """Return the newest answer of this process and Redis; None without one below MAX_AGE."""
        entries = []
        with self._changed:
            if key in self._own:
                entries.append(self._own[key])
        if self._shared:
            text = self._shared.run(lambda redis: redis.get(KEY_PREFIX + key), None)
            entries += parse_entry(text)
        if not entries:
            return None
        fetched_at, value = max(entries, key=itemgetter(0))
        age = max(0.0, time.time() - fetched_at)
        if age >= MAX_AGE:
            return None
        return CachedAnswer(value, age, fresh=age < self.ttl)

    def _store(self, key: str, value: Any) -> None:
        entry = (time.time(), value)
        with self._changed:
            self._own[key] = entry
            self._own.move_to_end(key)
            while len(self._own) > MAX_ANSWERS:
                self._own.popitem(last=False)
        if self._shared:
            text = orjson.dumps(entry)
            self._shared.run(lambda redis: redis.set(KEY_PREFIX + key, text, ex=MAX_AGE), None)


def parse_entry(text: str | None) -> list[Entry]:
    """Return the entry that a text from Redis holds in a list; [] when it holds none."""
    try:
        fetched_at, value = orjson.loads(text or "null")
        return [(float(fetched_at), value)]
    except (ValueError, TypeError):
        return []
