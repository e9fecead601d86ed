"""Caches of answers: one reader asks the server, every reader gets the answer."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from dogpile.cache import make_region

from observability.lib.http import Unreachable
from observability.lib.prometheus import ServicePrometheus
from observability.lib.remote import Headers
from observability.spec.plan import Plan

NUMBERS_LIFETIME = 5.0  # seconds for which an answer is kept
SLOW_FACTOR = 20  # lifetime by duration of the question, so that readers load a server at most 5 %
T = TypeVar("T")


class AnswerCache:
    """Answers by key; an answer that took long is kept longer."""

    def __init__(self) -> None:
        self._region = make_region().configure("dogpile.cache.memory")
        self._durations: dict[str, float] = {}

    def get(self, key: str, lifetime: float, fetch: Callable[[], T]) -> T:
        """Return the answer, at most `lifetime` seconds old unless it took long; raise Unreachable.

        That a server does not answer is cached, too, for `lifetime` alone.
        """

        def fetch_timed() -> T | Unreachable:
            started = time.monotonic()
            self._durations[key] = 0.0
            try:
                answer = fetch()
            except Unreachable as error:
                return error
            self._durations[key] = time.monotonic() - started
            return answer

        slow_lifetime = SLOW_FACTOR * self._durations.get(key, 0.0)
        answer: T | Unreachable = self._region.get_or_create(
            key, fetch_timed, max(lifetime, slow_lifetime)
        )
        if isinstance(answer, Unreachable):
            raise Unreachable(str(answer))
        return answer


class CachedPrometheus(ServicePrometheus):
    """A Prometheus whose present answers are shared; a chart's span is another one each time."""

    def __init__(
        self,
        url: str,
        plan: Plan,
        timeout: float,
        cache: AnswerCache,
        headers: Headers | None = None,
    ):
        super().__init__(url, plan, timeout, headers)
        self._cache = cache

    def _get(self, resource: str, **params: str) -> Any:
        fetch = partial(super()._get, resource, **params)
        if resource == "query_range":
            return fetch()
        return self._cache.get(f"{self.url} {resource} {params}", NUMBERS_LIFETIME, fetch)
