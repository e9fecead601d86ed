"""Values of channels that are no readings: counted once by node, field and reason, and logged."""

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.models import SyncState
from api.platform.jobs import leases
from api.platform.state import app_state
from api.platform.telemetry import metrics
from api.services import node_counts, rejects, sync
from api.services.state import service_state
from api.services.thingspeak import ThingSpeak
from tests.api.helpers import BASE, NODE, NODES, at
from tests.api.platform.helpers import sample

REJECTED = "evara_sync_rejected_values_total"
FIELDS = {"field1": "level_m", "field2": "flow_lps", "field8": "since_ms"}
Feeds = list[dict[str, Any]]
Sync = Callable[[Feeds], int]


def entry(entry_id: Any, second: int, **fields: Any) -> dict[str, Any]:
    return {"entry_id": entry_id, "created_at": at(second)} | fields


@pytest.fixture
def node_id(client: FlaskClient, request: pytest.FixtureRequest) -> str:
    """Create a node with a channel; its id is that of this test alone, as metrics outlive apps."""
    node_id = f"n{abs(hash(request.node.name))}"
    node = NODE | {"id": node_id, "channel_id": 1, "fields": FIELDS}
    assert client.post(NODES, json=node).status_code == 201
    return node_id


@pytest.fixture
def sync_feeds(app: Flask, node_id: str) -> Sync:
    """Return a function that syncs the node with a channel of the given feeds."""

    def sync_once(feeds: Feeds) -> int:
        channel = {"id": 1, "last_entry_id": len(feeds)}
        body = {"channel": channel, "feeds": feeds}
        transport = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
        with app.app_context(), leases.hold(node_id) as lease:
            assert lease
            service_state().thingspeak = ThingSpeak("http://upstream.invalid", 1, transport)
            return sum(sync.run(node_id, lease))

    return sync_once


@pytest.fixture
def readings_of(client: FlaskClient, node_id: str) -> Callable[[], list[Any]]:
    """Return a function that returns (metric, value) of each reading."""

    def read() -> list[Any]:
        answer = client.get(f"{NODES}/{node_id}/readings")
        assert answer.status_code == 200
        return [(item["metric"], item["value"]) for item in answer.get_json()["items"]]

    return read


def counts(node_id: str) -> dict[tuple[str, str], float]:
    """Return the values of the metric for a node by field and reason."""
    return {
        (sample.labels["field"], sample.labels["reason"]): sample.value
        for metric in metrics.REGISTRY.collect()
        for sample in metric.samples
        if sample.name == REJECTED and sample.labels["node"] == node_id
    }


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("1,84", "not_a_number"),
        ("1_000", "not_a_number"),
        ("٣", "not_a_number"),
        ("nan", "not_a_number"),
        (True, "not_a_number"),
        ("1795910553000", "value_range"),
        ("-1000000000001", "value_range"),
        ("1e999", "value_range"),
        ("9" * 5_000, "value_range"),
        (1e300, "value_range"),
    ],
)
def test_a_sync_applies_the_limits_of_requests(
    client: FlaskClient,
    sync_feeds: Sync,
    readings_of: Callable[[], list[Any]],
    node_id: str,
    value: Any,
    reason: str,
) -> None:
    """A value that a request may not hold is left out and counted; the others are stored."""
    assert sync_feeds([entry(1, 0, field1="1.5", field8=value)]) == 1
    assert readings_of() == [("level_m", 1.5)]
    assert counts(node_id) == {("field8", reason): 1}
    body = {"readings": [{"metric": "since_ms", "time": at(0), "value": value}]}
    assert client.post(f"{NODES}/{node_id}/readings", json=body).status_code in (400, 422)


@pytest.mark.parametrize("number", ["9" * 5_000, "5e400", "-1e999"])
def test_a_json_number_beyond_a_float_is_left_out(
    app: Flask, node_id: str, readings_of: Callable[[], list[Any]], number: str
) -> None:
    """It does not keep the other values of its channel from being stored."""
    feeds = json.dumps([entry(1, 0, field1=1.5, field8="N")]).replace('"N"', number)
    body = f'{{"channel": {{"id": 1, "last_entry_id": 1}}, "feeds": {feeds}}}'
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=body))
    with app.app_context(), leases.hold(node_id) as lease:
        assert lease
        service_state().thingspeak = ThingSpeak("http://upstream.invalid", 1, transport)
        assert sum(sync.run(node_id, lease)) == 1
    assert readings_of() == [("level_m", 1.5)]
    assert counts(node_id) == {("field8", "value_range"): 1}


def test_entries_of_one_id_are_all_accounted_for(
    sync_feeds: Sync, readings_of: Callable[[], list[Any]], node_id: str
) -> None:
    """Their values are stored, or counted when they differ."""
    feeds = [entry(1, 0, field1="1"), entry(1, 0, field2="2"), entry(1, 0, field1="9")]
    assert sync_feeds(feeds) == 2
    assert readings_of() == [("flow_lps", 2.0), ("level_m", 1.0)]
    assert counts(node_id) == {("field1", "conflict"): 1}


def test_gaps_are_no_rejects(sync_feeds: Sync, node_id: str) -> None:
    """Empty texts and null are gaps; fields that the node does not use are not looked at."""
    feed = entry(1, 0, field1="", field2=None, field3="dry", field8=" ")
    assert sync_feeds([feed]) == 0
    assert counts(node_id) == {}


def test_an_entry_without_a_usable_id_or_time_is_counted(sync_feeds: Sync, node_id: str) -> None:
    """Its other fields are not stored; the entries beside it are."""
    feeds = [
        entry("1_000", 0, field1="1"),
        entry(2, 60, field1="2") | {"created_at": "2026-W01-1"},
        entry(3, 120, field1="3"),
    ]
    assert sync_feeds(feeds) == 1
    assert counts(node_id) == {
        ("entry_id", "invalid_entry"): 1,
        ("created_at", "invalid_entry"): 1,
    }


def test_two_entries_of_one_second_are_both_accounted_for(
    sync_feeds: Sync, readings_of: Callable[[], list[Any]], node_id: str
) -> None:
    """Different fields are both stored; of one field the first value stays, the other counts."""
    feeds = [
        entry(1, 0, field1="1"),
        entry(2, 0, field2="2"),
        entry(3, 0, field1="9"),
        entry(4, 0, field1="1"),
    ]
    assert sync_feeds(feeds) == 2
    assert readings_of() == [("flow_lps", 2.0), ("level_m", 1.0)]
    assert counts(node_id) == {("field1", "conflict"): 1}


def test_a_second_sync_counts_and_logs_nothing_again(
    sync_feeds: Sync, node_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A value is counted once, and one line is logged per node, field and reason."""
    feeds = [
        entry(1, 0, field1="dry", field8="5e12"),
        entry(2, 60, field1="wet"),
        entry(3, 60, field2="1"),
        entry(4, 60, field2="2"),
    ]
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            sync_feeds(feeds)
    assert counts(node_id) == {
        ("field1", "not_a_number"): 2,
        ("field2", "conflict"): 1,
        ("field8", "value_range"): 1,
    }
    logged = [record.__dict__ for record in caplog.records if hasattr(record, "reason")]
    assert [(line["field"], line["reason"], line["text"]) for line in logged] == [
        ("field1", "not_a_number", "'dry'"),
        ("field8", "value_range", "5000000000000.0"),
        ("field2", "conflict", "2.0"),
    ]
    assert {line["subject"] for line in logged} == {node_id}
    assert logged[0]["entry"] == f"1 at {BASE.isoformat()}"


def test_series_and_memory_are_bounded(
    app: Flask, node_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes beyond a limit share a series, and old values are forgotten."""
    assert app
    monkeypatch.setattr(node_counts, "_nodes", {"a", "b"})
    monkeypatch.setattr(node_counts, "MAX_NODES", 2)
    monkeypatch.setattr(node_counts, "MAX_REMEMBERED", 2)
    before = counts("other")
    rejected = rejects.Reject("field1", "not_a_number", "1", "'x'")
    rejects.record(node_id, [rejected, rejected])
    assert counts(node_id) == {}
    key = ("field1", "not_a_number")
    assert counts("other")[key] == before.get(key, 0) + 1
    memory = node_counts.Memory()
    assert [memory.is_new(key) for key in (1, 2, 1, 3, 2, 1)] == [
        *(True, True, False, True, True, True)
    ]


def test_sync_stores_a_reading_ahead_and_counts_it_once(
    client: FlaskClient, sync_feeds: Sync, node_id: str
) -> None:
    """It is not current, does not move the cursor, and is counted by the first of two syncs."""
    feeds = [entry(1, 0, field1="1"), entry(2, 31 * 3600, field1="2")]
    assert [sync_feeds(feeds) for _ in range(2)] == [2, 0]
    answer = client.get(f"{NODES}/{node_id}/latest").get_json()
    assert [item["value"] for item in answer["items"]] == [1.0]
    assert [item["value"] for item in answer["ahead"]] == [2.0]
    assert sample(metrics.REGISTRY, "evara_ahead_readings_total", node=node_id) == 1
    with app_state(client.application).database.read() as session:
        assert session.get(SyncState, node_id).synced_until == BASE
