"""A real stack whose ThingSpeak hangs and fails under load.

Other routes are not affected, live responses are marked as stale, and the stack recovers.
"""

import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from observability.spec import names
from tests.e2e.conftest import Stack, run_stack
from tests.e2e.waiting import eventually

NODES = ("main-branch", "north-well", "hill-tank")
OTHERS = ("/api/v1/nodes/", *(f"/api/v1/nodes/{node}/latest" for node in NODES))
LIVE = tuple(f"/api/v1/nodes/{node}/live" for node in NODES)
MANY = 24  # callers of live answers: more than the 16 threads of both workers
SECONDS = 6.0  # of each load
PAUSE = 0.05  # between two requests of one caller, so that a load is bounded
SLOWER = 10  # times; it would be hundreds if live callers occupied all threads


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield a stack that no other file uses: alerts and budgets show the faults for days."""
    with run_stack(tmp_path_factory.mktemp("away") / "state") as stack:
        yield stack


@dataclass
class LoadResults:
    """Statuses and durations of other routes, and the live responses, under one load."""

    others: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    live: list[httpx.Response] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Return the median duration in seconds; a pause of the machine does not change it."""
        return statistics.median(self.seconds)


def create_client(stack: Stack) -> httpx.Client:
    """Return a client with a key that is not rate-limited."""
    headers, limits = (
        {"Authorization": f"Bearer {stack.layout.key('load')}"},
        httpx.Limits(max_connections=None),
    )
    return httpx.Client(
        base_url=stack.layout.url("api"), headers=headers, timeout=60, limits=limits
    )


def run_load(stack: Stack, seconds: float = SECONDS) -> LoadResults:
    """Run four callers of other routes and many of live routes for a while.

    Each sends at least one request.
    """
    results, lock, http = LoadResults(), threading.Lock(), create_client(stack)
    end = time.monotonic() + seconds

    def send_requests(
        paths: tuple[str, ...], number: int, record: Callable[[httpx.Response, float], None]
    ) -> None:
        for turn in count(number):
            started = time.monotonic()
            answer = http.get(paths[turn % len(paths)])
            with lock:
                record(answer, time.monotonic() - started)
            if time.monotonic() >= end:
                return
            time.sleep(PAUSE)

    def record_other(answer: httpx.Response, seconds_taken: float) -> None:
        results.others[answer.status_code] += 1
        results.seconds.append(seconds_taken)

    threads = [
        threading.Thread(target=send_requests, args=(OTHERS, number, record_other))
        for number in range(4)
    ]
    threads += [
        threading.Thread(
            target=send_requests, args=(LIVE, number, lambda answer, _: results.live.append(answer))
        )
        for number in range(MANY)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    http.close()
    return results


def set_mode(stack: Stack, mode: str) -> None:
    """Set the mode of the replay server."""
    assert httpx.post(
        stack.layout.url("replay") + "/control", json={"mode": mode, "seconds": 300}
    ).is_success


def sum_metric(stack: Stack, name: str, **labels: str) -> float:
    """Return the sum of the series with these labels."""
    text = httpx.get(stack.layout.url("metrics") + "/metrics").text
    samples = (
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    )
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def fetch_live(stack: Stack, node: str = "main-branch") -> dict[str, Any]:
    """Return a live response with its Age header."""
    with create_client(stack) as http:
        answer = http.get(f"/api/v1/nodes/{node}/live")
        assert answer.status_code == 200, answer.text
        return answer.json() | {"age_header": answer.headers["Age"]}


def is_fresh(stack: Stack) -> bool:
    """Return whether all live responses are new, in every worker's cache."""
    answers = run_load(stack, 1).live
    return all(answer.is_success and not answer.json()["stale"] for answer in answers)


def test_stalled_thingspeak_does_not_affect_other_routes(own_stack: Stack) -> None:
    """With more live callers than threads other routes respond; the breaker opens and closes."""
    before = run_load(own_stack)
    assert before.others.keys() == {200}
    assert {answer.status_code for answer in before.live} == {200}
    good = {node: fetch_live(own_stack, node)["items"] for node in NODES}
    assert all(good.values())

    set_mode(own_stack, "stall")
    assert eventually(lambda: run_load(own_stack, 1).live[-1].json().get("stale")), (
        "answers never became stale"
    )
    during = run_load(own_stack)
    assert during.others.keys() == {200}
    assert during.median < SLOWER * before.median, (before.median, during.median)
    assert sum(during.others.values()) > sum(before.others.values()) / SLOWER
    assert {answer.status_code for answer in during.live} == {200}, Counter(
        answer.status_code for answer in during.live
    )
    assert any(answer.json()["stale"] for answer in during.live)
    assert all(
        int(answer.headers["Age"]) <= answer.json()["age_seconds"] + 0.1 for answer in during.live
    )
    assert eventually(
        lambda: (
            run_load(own_stack, 1)
            and sum_metric(own_stack, names.BREAKER, dependency="thingspeak") > 0
        )
    )
    assert eventually(
        lambda: (
            run_load(own_stack, 1)
            and sum_metric(own_stack, f"{names.REFUSED}_total", reason="breaker") > 0
        )
    )
    assert sum_metric(own_stack, f"{names.CACHE_ANSWERS}_total", result="stale") > 0

    with create_client(own_stack) as http:
        node = {
            "id": "unknown-yet",
            "name": "Unknown yet",
            "kind": "bore_well",
            "channel_id": 1001,
            "fields": {"field1": "flow_lps"},
        }
        assert http.post("/api/v1/nodes/", json=node).status_code == 201
        uncached = http.get("/api/v1/nodes/unknown-yet/live")
        assert uncached.status_code == 503
        assert int(uncached.headers["Retry-After"]) > 0
        assert http.delete("/api/v1/nodes/unknown-yet").status_code == 204

    set_mode(own_stack, "ok")
    assert eventually(lambda: is_fresh(own_stack))
    assert eventually(
        lambda: (
            run_load(own_stack, 1)
            and sum_metric(own_stack, names.BREAKER, dependency="thingspeak") == 0
        )
    )


@pytest.mark.parametrize("mode", ["fail", "rubbish", "page", "throttle"])
def test_invalid_upstream_responses_give_stale_data(own_stack: Stack, mode: str) -> None:
    """Errors, broken JSON, HTML and throttling give the last good response, marked as stale."""
    assert eventually(lambda: is_fresh(own_stack))
    good = fetch_live(own_stack)["items"]
    set_mode(own_stack, mode)
    answers: list[dict[str, Any]] = []

    def is_stale() -> bool:
        """Return whether the next answer is stale; each worker has its own cache."""
        answers.append(fetch_live(own_stack))
        return bool(answers[-1]["stale"])

    assert eventually(is_stale)
    stale = answers[-1]
    assert stale["items"][0]["metric"] == good[0]["metric"]
    assert stale["age_seconds"] >= int(stale["age_header"]) > 0
    set_mode(own_stack, "ok")
    assert eventually(lambda: not fetch_live(own_stack)["stale"])
