"""Samples of counters: they wait for a scrape of every target and name a silent one."""

from typing import Any

import pytest

from observability.lib.http import Unreachable
from observability.load import scrapes
from observability.load.scrapes import wait_for_scrapes
from observability.spec.plan import Plan
from tests.observability.load.support import FakePrometheus


def scraped_at(*newest: tuple[float, float]) -> FakePrometheus:
    """Return a Prometheus whose targets were scraped at these times, poll by poll."""
    polls = iter(newest)
    return FakePrometheus(
        timestamp=lambda _: [
            ({"job": job}, at) for job, at in zip(("api", "prober"), next(polls), strict=True)
        ]
    )


def test_counting_waits_for_every_target(monkeypatch: pytest.MonkeyPatch, plan: Plan) -> None:
    """Counting begins when API and prober were both scraped after the given time."""
    monkeypatch.setattr(scrapes, "POLL_SECONDS", 0)
    assert wait_for_scrapes(scraped_at((90, 98), (101, 98), (101, 103)), plan, 100) == {
        "api": 101,
        "prober": 103,
    }


@pytest.mark.parametrize(
    ("answer", "silent"),
    [
        ([({"job": "api"}, 0.0), ({"job": "prober"}, 200.0)], "api"),
        ([], "api"),
        ([({"job": "api"}, 200.0), ({"job": "prober"}, 99.0)], "prober"),
    ],
)
def test_a_target_that_stays_silent_is_named(
    monkeypatch: pytest.MonkeyPatch, plan: Plan, answer: list[Any], silent: str
) -> None:
    """The message names the target that is down or was not scraped, and where to look."""
    monkeypatch.setattr(scrapes, "PATIENCE", 0.01)
    with pytest.raises(Unreachable, match=f"no new scrape of {silent}; look at: make status"):
        wait_for_scrapes(FakePrometheus(timestamp=answer), plan, 100)
