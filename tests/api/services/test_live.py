"""GET …/live against the real replay server: fresh, stale and missing answers."""

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import stamina
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.platform import clock
from api.platform.outbound.circuit_breaker import FAILURES
from api.platform.state import app_state
from api.services import live
from api.services.state import service_state
from api.services.thingspeak import ThingSpeak
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


def readings_of(answer: TestResponse) -> list[tuple[str, str, float]]:
    """Return (metric, time, value) of each item; its age changes from answer to answer."""
    return [(item["metric"], item["time"], item["value"]) for item in answer.json["items"]]


def ago(minutes: float) -> str:
    """Return the time so many minutes ago, as text."""
    return (datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=minutes)).isoformat()


def serve_feeds(client: FlaskClient, *feeds: dict[str, Any]) -> None:
    """Let ThingSpeak answer with these entries, whose ids follow their order."""
    numbered = [{"entry_id": number} | feed for number, feed in enumerate(feeds)]
    answer = httpx.Response(200, json={"channel": {"id": 1001}, "feeds": numbered})
    with client.application.app_context():
        transport = httpx.MockTransport(lambda _: answer)
        service_state().thingspeak = ThingSpeak("http://thingspeak.invalid", 1, transport)


def test_newest_value_of_each_field_is_returned(client: FlaskClient) -> None:
    """Devices that share a channel send entries in turn; each value has its time and its age."""
    serve_feeds(
        client,
        {"created_at": ago(9), "field1": "1", "field2": "2"},
        {"created_at": ago(2), "field1": "3"},
        {"created_at": ago(1), "field2": "4", "field1": None},
        {"created_at": ago(0.5), "field3": "5", "field2": ""},
    )
    answer = client.get(LIVE)
    assert [(metric, value) for metric, _, value in readings_of(answer)] == [
        ("flow_lps", 3.0),
        ("level_m", 4.0),
    ]
    ages = [item["age_seconds"] for item in answer.json["items"]]
    assert ages[0] >= 120
    assert 60 <= ages[1] < ages[0]
    assert answer.json["stale"] is False
    assert "rejected" not in answer.json


def test_an_entry_ahead_of_the_clock_hides_no_value(client: FlaskClient) -> None:
    """Nor does one whose value is no reading, which is named with its reason."""
    serve_feeds(
        client,
        {"created_at": ago(3), "field1": "1", "field2": "2"},
        {"created_at": ago(2), "field1": "1,84"},
        {"created_at": ago(1), "field1": "1795910553000", "field3": "dry"},
        {"created_at": "2026-W01-1", "field1": "7"},
        {"created_at": ago(-20 * 60), "field1": "8", "field2": "9"},
    )
    answer = client.get(LIVE)
    assert [(metric, value) for metric, _, value in readings_of(answer)] == [
        ("flow_lps", 1.0),
        ("level_m", 2.0),
    ]
    rejected = [(item["field"], item["reason"]) for item in answer.json["rejected"]]
    assert rejected == [("created_at", "invalid_entry"), ("field1", "value_range")]


def test_the_first_of_two_values_of_one_second_is_returned(client: FlaskClient) -> None:
    """It is the one that the sync stores."""
    moment = ago(1)
    serve_feeds(
        client,
        {"created_at": moment, "field1": "1"},
        {"created_at": moment, "field1": "2"},
    )
    assert [value for _, _, value in readings_of(client.get(LIVE))] == [1.0]


def test_cached_values_grow_older(
    client: FlaskClient, replay: ThingSpeakStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last good answer tells the age of each of its values at the time of the request."""
    first = client.get(LIVE).json["items"][0]
    replay.set_mode("fail", 30)
    monkeypatch.setattr(live, "now", lambda: clock.now() + timedelta(minutes=30))
    second = client.get(LIVE).json["items"][0]
    assert second["time"] == first["time"]
    assert second["age_seconds"] >= first["age_seconds"] + 1800


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
        "age_seconds": item["age_seconds"],
    }
    assert 0 <= item["age_seconds"] < 120
    assert (answer.json["stale"], answer.json["age_seconds"]) == (False, 0.0)
    assert (answer.headers["Age"], answer.headers["Cache-Status"]) == (
        "0",
        "evara; fwd=miss; stored",
    )
    replay.set_mode("fail", 30)
    cached = client.get(LIVE)
    assert readings_of(cached) == readings_of(answer)
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
    last_good = readings_of(client_without_ttl.get(LIVE))
    settings = app_state(client_without_ttl.application).settings
    monkeypatch.setattr(settings, "request_deadline", 0.3)  # a stall lasts as long
    replay.set_mode(mode, 30)
    for _ in range(FAILURES):  # the breaker opens on the way
        answer = client_without_ttl.get(LIVE)
        assert answer.status_code == 200
        assert readings_of(answer) == last_good
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


def test_a_refusal_in_unprintable_text_is_404(client: FlaskClient) -> None:
    """The text of ThingSpeak's error can neither fail the answer nor hide a line of it."""
    body = rb'{"error": {"error_code": "a\ud800", "message": "b\u0000\n"}}'
    with client.application.app_context():
        transport = httpx.MockTransport(lambda _: httpx.Response(401, content=body))
        service_state().thingspeak = ThingSpeak("http://thingspeak.invalid", 1, transport)
    detail = is_problem(client.get(LIVE), 404)["detail"]
    assert r"refused with 401: a\ud800: b\x00\n" in detail


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
    last_good = readings_of(one.get(LIVE))
    assert readings_of(other.get(LIVE)) == last_good
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
