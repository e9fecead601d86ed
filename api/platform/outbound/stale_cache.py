"""Answers of others, kept for when they are asked again or do not answer; in Redis, too, where machines share them."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar

import orjson

from api.platform.outbound.redis_client import PREFIX, Shared
from api.platform.telemetry import metrics

KEPT_SECONDS = 86_400  # how old an answer may be at most
KEPT_ANSWERS = 1_000  # per process; the one that was not asked for longest goes first
PATIENCE = 0.2  # seconds that a caller without any answer waits for one whom somebody else is already fetching
T = TypeVar("T")


@dataclass(frozen=True)
class CachedAnswer:
    """An answer, and for how many seconds it has been known; `fresh` while that is less than the cache's ttl."""

    value: Any
    age: float
    fresh: bool
    stored: bool = False  # it was fetched for this very caller


class FetchInProgress(Exception):
    """Somebody else is fetching it, that takes long, and there is no earlier answer."""


class Cache:
    """Last good answers (JSON values) by key. One caller fetches at a time and key, meanwhile the others get the last good one."""

    def __init__(self, ttl: float, shared: Shared | None = None):
        self.ttl = ttl
        self._shared = shared
        self._own: OrderedDict[str, tuple[float, Any]] = OrderedDict()
        self._fetching: set[str] = set()
        self._changed = threading.Condition()
        for result in metrics.CACHE_RESULTS:
            metrics.CACHE_ANSWERS.labels(result)

    def answer(
        self, key: str, fetch: Callable[[], Any], excused: tuple[type[Exception], ...]
    ) -> CachedAnswer:
        """A fresh answer, else what `fetch` gives, else (it raised one of `excused`, or is at work) the last good one, else raises."""
        kept = self._look(key)
        if not (kept and kept.fresh):
            with self._changed:
                if alone := self._changed.wait_for(
                    lambda: key not in self._fetching, 0 if kept else PATIENCE
                ):
                    self._fetching.add(key)
            if alone:
                try:
                    kept = self._renewed(key, fetch, excused)
                finally:
                    with self._changed:
                        self._fetching.discard(key)
                        self._changed.notify_all()
        if kept is None:
            metrics.CACHE_ANSWERS.labels("miss").inc()
            raise FetchInProgress
        metrics.CACHE_ANSWERS.labels(
            "miss" if kept.stored else "fresh" if kept.fresh else "stale"
        ).inc()
        return kept

    def _renewed(
        self, key: str, fetch: Callable[[], Any], excused: tuple[type[Exception], ...]
    ) -> CachedAnswer:
        kept = self._look(key)
        if kept and kept.fresh:
            return kept  # somebody was faster
        try:
            value = fetch()
        except excused:
            if kept:
                return kept
            metrics.CACHE_ANSWERS.labels("miss").inc()
            raise
        self._keep(key, value)
        return CachedAnswer(value, 0.0, fresh=True, stored=True)

    def _look(self, key: str) -> CachedAnswer | None:
        with self._changed:
            found = self._own.get(key)
        if self._shared and (
            there := parsed(self._shared.ask(lambda store: store.get(PREFIX + key), ""))
        ):
            found = max(found, there, key=itemgetter(0)) if found else there
        if found is None:
            return None
        age = max(0.0, time.time() - found[0])
        return CachedAnswer(found[1], age, fresh=age < self.ttl) if age < KEPT_SECONDS else None

    def _keep(self, key: str, value: Any) -> None:
        entry = (time.time(), value)
        with self._changed:
            self._own[key] = entry
            self._own.move_to_end(key)
            while len(self._own) > KEPT_ANSWERS:
                self._own.popitem(last=False)
        if self._shared:
            self._shared.ask(
                lambda store: store.set(PREFIX + key, orjson.dumps(entry), ex=KEPT_SECONDS), None
            )


def parsed(text: str | None) -> tuple[float, Any] | None:
    """What was stored in Redis: when, and the answer; None for what is not ours."""
    try:
        moment, value = orjson.loads(text or "null")
        return float(moment), value
    except (ValueError, TypeError):
        return None
