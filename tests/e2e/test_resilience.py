"""A real stack whose ThingSpeak hangs and fails under load.

Other routes do not notice, live answers are marked, and it heals.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from observability.spec import names
from tests.e2e.conftest import Stack, running
from tests.e2e.waiting import eventually

NODES = ("main-branch", "north-well", "hill-tank")
OTHERS = ("/api/v1/nodes/", *(f"/api/v1/nodes/{node}/latest" for node in NODES))
LIVE = tuple(f"/api/v1/nodes/{node}/live" for node in NODES)
MANY = 24  # callers of live answers: more than the 16 threads of both workers
SECONDS = 6.0  # of each load
PAUSE = 0.05  # between two requests of one caller, so that a load is bounded
SLOWER = 10  # times; if callers of ThingSpeak held the threads, it would be hundreds


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own: what is broken here stays in alerts and budgets for days."""
    with running(tmp_path_factory.mktemp("away") / "state") as made:
        yield made


@dataclass
class Seen:
    """What one load met: statuses and durations of other routes, and the live answers."""

    others: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    live: list[httpx.Response] = field(default_factory=list)

    @property
    def p95(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.95)]


def client(stack: Stack) -> httpx.Client:
    """Every request of this file comes from here; it is not rate-limited."""
    headers, free = (
        {"Authorization": f"Bearer {stack.layout.key('load')}"},
        httpx.Limits(max_connections=None),
    )
    return httpx.Client(base_url=stack.layout.url("api"), headers=headers, timeout=60, limits=free)


def load(stack: Stack, seconds: float = SECONDS) -> Seen:
    """Four callers of other routes and many of live answers, for a while."""
    seen, lock, http = Seen(), threading.Lock(), client(stack)
    end = time.monotonic() + seconds

    def call(
        paths: tuple[str, ...], number: int, keep: Callable[[httpx.Response, float], None]
    ) -> None:
        while time.monotonic() < end:
            started = time.monotonic()
            answer = http.get(paths[number % len(paths)])
            with lock:
                keep(answer, time.monotonic() - started)
            number += 1
            time.sleep(PAUSE)

    def other(answer: httpx.Response, took: float) -> None:
        seen.others[answer.status_code] += 1
        seen.seconds.append(took)

    threads = [threading.Thread(target=call, args=(OTHERS, number, other)) for number in range(4)]
    threads += [
        threading.Thread(
            target=call, args=(LIVE, number, lambda answer, _: seen.live.append(answer))
        )
        for number in range(MANY)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    http.close()
    return seen


def behave(stack: Stack, mode: str) -> None:
    assert httpx.post(
        stack.layout.url("replay") + "/control", json={"mode": mode, "seconds": 300}
    ).is_success


def metric(stack: Stack, name: str, **labels: str) -> float:
    """The sum of the series with these labels."""
    text = httpx.get(stack.layout.url("metrics") + "/metrics").text
    samples = (
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    )
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def newest(stack: Stack, node: str = "main-branch") -> dict[str, Any]:
    with client(stack) as http:
        answer = http.get(f"/api/v1/nodes/{node}/live")
        assert answer.status_code == 200, answer.text
        return answer.json() | {"age_header": answer.headers["Age"]}


def is_fresh(stack: Stack) -> bool:
    """Return whether many callers get new live answers: each worker has a cache of its own."""
    answers = load(stack, 1).live
    return all(answer.is_success and not answer.json()["stale"] for answer in answers)


def test_a_stalled_thingspeak_is_noticed_by_nobody_else(own_stack: Stack) -> None:
    """With more callers of live answers than there are threads, other routes keep answering.

    The breaker opens, and closes by itself.
    """
    before = load(own_stack)
    assert before.others.keys() == {200}
    assert {answer.status_code for answer in before.live} == {200}
    good = {node: newest(own_stack, node)["items"] for node in NODES}
    assert all(good.values())

    behave(own_stack, "stall")
    assert eventually(lambda: load(own_stack, 1).live[-1].json().get("stale")), (
        "answers never became stale"
    )
    during = load(own_stack)
    assert during.others.keys() == {200}
    assert during.p95 < SLOWER * before.p95, (before.p95, during.p95)
    assert sum(during.others.values()) > sum(before.others.values()) / SLOWER
    assert {answer.status_code for answer in during.live} == {200}, Counter(
        answer.status_code for answer in during.live
    )
    assert any(answer.json()["stale"] for answer in during.live)
    assert all(
        int(answer.headers["Age"]) <= answer.json()["age_seconds"] + 0.1 for answer in during.live
    )
    assert eventually(
        lambda: load(own_stack, 1) and metric(own_stack, names.BREAKER, dependency="thingspeak") > 0
    )
    assert eventually(
        lambda: (
            load(own_stack, 1) and metric(own_stack, f"{names.REFUSED}_total", reason="breaker") > 0
        )
    )
    assert metric(own_stack, f"{names.CACHE_ANSWERS}_total", result="stale") > 0

    with client(own_stack) as http:
        made = {
            "id": "unknown-yet",
            "name": "Unknown yet",
            "kind": "bore_well",
            "channel_id": 1001,
            "fields": {"field1": "flow_lps"},
        }
        assert http.post("/api/v1/nodes/", json=made).status_code == 201
        nothing = http.get("/api/v1/nodes/unknown-yet/live")
        assert nothing.status_code == 503
        assert int(nothing.headers["Retry-After"]) > 0
        assert http.delete("/api/v1/nodes/unknown-yet").status_code == 204

    behave(own_stack, "ok")
    assert eventually(lambda: is_fresh(own_stack))
    assert eventually(
        lambda: (
            load(own_stack, 1) and metric(own_stack, names.BREAKER, dependency="thingspeak") == 0
        )
    )


@pytest.mark.parametrize("mode", ["fail", "rubbish", "page", "throttle"])
def test_what_is_wrong_is_not_passed_on(own_stack: Stack, mode: str) -> None:
    """Failures, broken JSON, pages and throttling become the last good answer, marked as stale.

    Afterwards the new one is sent.
    """
    assert eventually(lambda: is_fresh(own_stack))
    good = newest(own_stack)["items"]
    behave(own_stack, mode)
    assert eventually(lambda: newest(own_stack)["stale"])
    stale = newest(own_stack)
    assert stale["items"][0]["metric"] == good[0]["metric"]
    assert stale["age_seconds"] >= int(stale["age_header"]) > 0
    behave(own_stack, "ok")
    assert eventually(lambda: not newest(own_stack)["stale"])
