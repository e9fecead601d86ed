"""Channels of the stub that devices upload to: ids by arrival, cleared channels, missing ids."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from loadtests.thingspeak_stub import CHANNELS, ThingSpeakStub
from tests.serving import serving

CHANNEL = "/channels/2001"
FEEDS = f"{CHANNEL}/feeds.json"
UPLOADS = f"{CHANNEL}/bulk_update.json"


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """Yield a client of a stub without uploads."""
    with serving(ThingSpeakStub(("127.0.0.1", 0))) as server:
        yield httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", timeout=5)


def upload(client: httpx.Client, *updates: Any) -> int:
    """Upload entries and return the status."""
    return client.post(UPLOADS, json={"updates": updates}).status_code


def ids_of(client: httpx.Client, **params: str) -> list[int]:
    """Return the ids of the feed in its order."""
    return [entry["entry_id"] for entry in client.get(FEEDS, params=params).json()["feeds"]]


def last_entry_id(client: httpx.Client) -> int | None:
    return client.get(FEEDS).json()["channel"]["last_entry_id"]


def test_ids_follow_arrival_and_feeds_follow_time(client: httpx.Client) -> None:
    """A late entry has the highest id and an early place; two devices share the channel."""
    assert client.get(FEEDS).json() == -1
    assert upload(client, {"created_at": "2026-03-01T12:00:00Z", "field1": "1"}) == 202
    assert upload(client, {"created_at": "2026-03-01T13:00:00+02:00", "field2": 2.5}) == 202
    assert client.get(FEEDS).json()["feeds"] == [
        {"created_at": "2026-03-01T11:00:00Z", "entry_id": 2, "field2": 2.5},
        {"created_at": "2026-03-01T12:00:00Z", "entry_id": 1, "field1": "1"},
    ]
    assert last_entry_id(client) == 2


def test_ranges_and_results_limit_the_feed(client: httpx.Client) -> None:
    """Both ends are included, and `results` keeps the newest."""
    upload(client, *({"created_at": f"2026-03-01 12:00:0{second}"} for second in range(4)))
    assert ids_of(client, start="2026-03-01 12:00:01", end="2026-03-01 12:00:02") == [2, 3]
    assert ids_of(client, results="1") == [4]
    assert ids_of(client, results="0") == []


def test_a_cleared_channel_counts_from_1_again(client: httpx.Client) -> None:
    """An empty channel has no last entry id; the first new entry has the id 1."""
    upload(client, {"created_at": "2026-03-01T12:00:00Z"}, {"created_at": "2026-03-01T12:00:01Z"})
    assert client.delete(FEEDS).status_code == 200
    assert (ids_of(client), last_entry_id(client)) == ([], None)
    upload(client, {"created_at": "2026-03-01T11:00:00Z"})
    assert (ids_of(client), last_entry_id(client)) == ([1], 1)


def test_the_id_of_a_deleted_entry_stays_missing(client: httpx.Client) -> None:
    """No later entry fills the gap."""
    upload(client, *({"created_at": f"2026-03-01 12:00:0{second}"} for second in range(3)))
    assert client.delete(f"{CHANNEL}/feeds/3.json").status_code == 200
    assert (ids_of(client), last_entry_id(client)) == ([1, 2], 3)
    upload(client, {"created_at": "2026-03-01T12:00:09Z"})
    assert ids_of(client) == [1, 2, 4]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"updates": 5}',
        b'{"updates": [5]}',
        b'{"updates": [{"field1": "1"}]}',
        b'{"updates": [{"created_at": "2026-03-01"}, {"created_at": "yesterday"}]}',
        b'{"updates": [{"created_at": 7}]}',
        b"[" * 50_000,
    ],
)
def test_400_for_invalid_uploads(client: httpx.Client, content: bytes) -> None:
    """Nothing is stored, and no channel is created."""
    assert client.post(UPLOADS, content=content).status_code == 400
    assert client.get(FEEDS).json() == -1


def test_recorded_channels_accept_no_uploads(client: httpx.Client) -> None:
    """They are the recording, and cannot be cleared."""
    for channel in CHANNELS:
        path = f"/channels/{channel}"
        content = {"updates": [{"created_at": "2026-03-01T12:00:00Z"}]}
        assert client.post(f"{path}/bulk_update.json", json=content).status_code == 400
        assert client.delete(f"{path}/feeds.json").status_code == 404
    assert client.delete("/control").status_code == 404
