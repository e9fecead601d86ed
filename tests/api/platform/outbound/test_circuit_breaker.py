"""The circuit breaker without calls: one trial at a time, and late outcomes."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.platform.outbound.circuit_breaker import Breaker, BreakerOpen

CALLERS = 24


def test_half_open_breaker_admits_one_of_many_callers() -> None:
    """The others are refused."""
    breaker = Breaker("thingspeak", failures=1, seconds=0)
    breaker.leave(breaker.enter(), ok=False)
    barrier = threading.Barrier(CALLERS)

    def enter() -> bool | None:
        barrier.wait(10)
        try:
            return breaker.enter()
        except BreakerOpen:
            return None

    with ThreadPoolExecutor(CALLERS) as pool:
        results = [future.result() for future in [pool.submit(enter) for _ in range(CALLERS)]]
    assert Counter(results) == {True: 1, None: CALLERS - 1}


@pytest.mark.parametrize("ok", [True, False])
def test_outcome_of_a_call_from_before_a_change_is_ignored(ok: bool) -> None:
    """A late outcome neither closes an open breaker nor ends its trial."""
    breaker = Breaker("thingspeak", failures=1, seconds=0)
    late = breaker.enter()
    breaker.leave(breaker.enter(), ok=False)
    breaker.leave(late, ok)
    assert breaker.state == "open"
    trial = breaker.enter()
    breaker.leave(late, ok)
    assert breaker.state == "half-open"
    with pytest.raises(BreakerOpen):
        breaker.enter()
    breaker.leave(trial, ok=None)  # it was cut off: the next one may try
    assert breaker.enter()
