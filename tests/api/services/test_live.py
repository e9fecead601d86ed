"""GET …/live against the real replay server: fresh, stale and missing answers."""

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stamina
from flask import Flask
from flask.testing import FlaskClient

from api.platform.outbound.circuit_breaker import FAILURES
from api.platform.state import app_state
from api.services.state import service_state
from loadtests.thingspeak_stub import ThingSpeakStub
from tests.api.conftest import MakeApp
from tests.api.helpers import NODE, NODES
from tests.api.platform.helpers import UNLIMITED, is_problem

LIVE = f"{NODES}/tank-01/live"
SHORT = 0.000_001  # seconds for which an answer is fresh: not even until the next request
FAULTS = ["fail", "throttle", "rubbish", "stall", "page"]
KEY = "SECRETKEY9"


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=2):
        yield


def app_with(
    make_app: MakeApp, replay: ThingSpeakStub, **settings: Any
) -> tuple[Flask, FlaskClient]:
    """Return an app whose ThingSpeak is the replay server, with one node, and a client."""
    app = make_app(
        thingspeak_url=f"http://127.0.0.1:{replay.server_port}", request_deadline=2, **settings
    )
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {UNLIMITED}"
    node = NODE | {
        "channel_id": 1001,
        "channel_key": KEY,
        "fields": {"field1": "flow_lps", "field2": "level_m"},
    }
    assert client.post(NODES, json=node).status_code == 201
    return app, client


@pytest.fixture
def client(make_app: MakeApp, migrated: str, replay: ThingSpeakStub) -> FlaskClient:  # noqa: ARG001 - the database must be there
    return app_with(make_app, replay)[1]


@pytest.fixture
def client_without_ttl(make_app: MakeApp, migrated: str, replay: ThingSpeakStub) -> FlaskClient:  # noqa: ARG001
    """Return a client for which cached answers are stale immediately."""
    return app_with(make_app, replay, live_ttl=SHORT)[1]


def test_newest_entry_is_returned_and_cached(client: FlaskClient, replay: ThingSpeakStub) -> None:
    """It has the mapped fields with their time; the second response is from the cache."""
    answer = client.get(LIVE)
    assert answer.status_code == 200, answer.text
    [item] = answer.json["items"]
    time = datetime.fromisoformat(item["time"])
    assert datetime.now(UTC) - timedelta(minutes=2) < time <= datetime.now(UTC)
    assert item == {
        "metric": "flow_lps",
        "time": item["time"],
        "value": float(replay.values[int(time.timestamp()) // 60 % 1268]),
    }
    assert (answer.json["stale"], answer.json["age_seconds"]) == (False, 0.0)
    assert (answer.headers["Age"], answer.headers["Cache-Status"]) == (
        "0",
        "evara; fwd=miss; stored",
    )
    replay.set_mode("fail", 30)
    cached = client.get(LIVE)
    assert cached.json["items"] == [item]
    assert not cached.json["stale"]
    assert cached.headers["Cache-Status"].startswith("evara; hit; ttl=1")


@pytest.mark.parametrize("mode", FAULTS)
def test_failure_returns_the_last_answer_as_stale(
    client_without_ttl: FlaskClient,
    replay: ThingSpeakStub,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    """It has its age."""
    last_good = client_without_ttl.get(LIVE).json["items"]
    settings = app_state(client_without_ttl.application).settings
    monkeypatch.setattr(settings, "request_deadline", 0.3)  # a stall lasts as long
    replay.set_mode(mode, 30)
    for _ in range(FAILURES):  # the breaker opens on the way
        answer = client_without_ttl.get(LIVE)
        assert answer.status_code == 200
        assert answer.json["items"] == last_good
        assert answer.json["stale"] is True
        assert answer.json["age_seconds"] >= 0
        assert answer.headers["Cache-Status"].startswith("evara; hit; ttl=-")
        assert answer.headers["Age"].isdecimal()


@pytest.mark.parametrize("mode", FAULTS)
def test_failure_without_an_earlier_answer_has_retry_after(
    client: FlaskClient, replay: ThingSpeakStub, mode: str
) -> None:
    """504 when the request's own deadline ended the call, else 503."""
    replay.set_mode(mode, 30)
    answer = client.get(LIVE)
    is_problem(answer, 504 if mode == "stall" else 503)
    assert int(answer.headers["Retry-After"]) >= 1


def test_open_breaker_is_reported(client: FlaskClient, replay: ThingSpeakStub) -> None:
    """The response has the reason and Retry-After."""
    replay.set_mode("fail", 30)
    for _ in range(FAILURES):
        client.get(LIVE)
    answer = client.get(LIVE)
    assert "thingspeak: it failed several times in a row" in is_problem(answer, 503)["detail"]
    assert 1 <= int(answer.headers["Retry-After"]) <= 15


def test_node_without_a_readable_channel_is_404(client: FlaskClient) -> None:
    """So is an unknown node; no failure is counted."""
    client.post(NODES, json=NODE | {"id": "own"})
    assert "no ThingSpeak channel" in is_problem(client.get(f"{NODES}/own/live"), 404)["detail"]
    is_problem(client.get(f"{NODES}/nobody/live"), 404)
    client.patch(f"{NODES}/own", json={"channel_id": 5})
    for _ in range(FAILURES + 1):
        assert "channel 5" in is_problem(client.get(f"{NODES}/own/live"), 404)["detail"]


def test_change_of_the_node_invalidates_its_answer(client: FlaskClient) -> None:
    """Answers of another channel, key or mapping are not used."""
    assert client.get(LIVE).json["items"][0]["metric"] == "flow_lps"
    client.patch(f"{NODES}/tank-01", json={"fields": {"field1": "discharge"}})
    assert client.get(LIVE).json["items"][0]["metric"] == "discharge"
    client.patch(f"{NODES}/tank-01", json={"fields": {"field8": "nothing"}})
    assert client.get(LIVE).json["items"] == []


def test_keys_of_channels_are_not_logged(
    client: FlaskClient, replay: ThingSpeakStub, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither by a success nor by a failure that is retried."""
    with caplog.at_level(logging.DEBUG):
        for mode in ("ok", *FAULTS):
            replay.set_mode(mode, 30)
            client.patch(f"{NODES}/tank-01", json={"name": f"known anew {mode}"})
            client.get(LIVE)
    assert len(caplog.records) > len(FAULTS)
    assert not any(
        KEY in repr(record.__dict__)
        for record in caplog.records
        if not record.name.startswith(("httpx", "httpcore"))
    )


def test_machines_share_live_answers_through_redis(
    make_app: MakeApp,
    migrated: str,  # noqa: ARG001
    replay: ThingSpeakStub,
    redis_url: str,
) -> None:
    """Each process has its own breaker."""
    _, one = app_with(make_app, replay, redis_url=redis_url)
    other_app = make_app(thingspeak_url="http://127.0.0.1:9", redis_url=redis_url)
    other = other_app.test_client()
    last_good = one.get(LIVE).json["items"]
    assert other.get(LIVE).json["items"] == last_good
    one.patch(f"{NODES}/tank-01", json={"name": "renamed"})
    replay.set_mode("fail", 30)
    for _ in range(FAILURES):
        one.get(LIVE)
    with other_app.app_context():
        assert service_state().thingspeak._guard.breaker.state == "closed"


def test_concurrent_callers_of_a_node_cause_one_call(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them has a cached answer."""
    calls, app = [], client.application
    with app.app_context():
        thingspeak = service_state().thingspeak
    real = thingspeak.newest
    monkeypatch.setattr(
        thingspeak,
        "newest",
        lambda *arguments: (calls.append(1), real(*arguments))[1],
    )
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(app.test_client().get(LIVE).status_code))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    assert calls == [1]
