"""The stub of ThingSpeak: a deterministic, paged feed, and modes that fail for a set time."""

import csv
import http.client
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from loadtests import thingspeak_stub as module
from loadtests.thingspeak_stub import (
    CHANNELS,
    ENTRY_SECONDS,
    HISTORY_SECONDS,
    PAGE_ENTRIES,
    RECORDING,
    ThingSpeakStub,
    build_feed,
    read_recording,
)
from tests.serving import serving

NOW = 1_800_000_000.0


@pytest.fixture
def replay() -> Iterator[ThingSpeakStub]:
    """Serve the whole history on a free port."""
    with serving(ThingSpeakStub(("127.0.0.1", 0), HISTORY_SECONDS)) as server:
        yield server


@pytest.fixture
def client(replay: ThingSpeakStub) -> httpx.Client:
    """Return a client of the stub."""
    return httpx.Client(base_url=f"http://127.0.0.1:{replay.server_port}", timeout=5)


def test_recording_has_all_values() -> None:
    """All 1 268 values are texts in the order of the file."""
    with RECORDING.open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert read_recording() == [row[1] for row in rows[1:]]
    assert len(read_recording()) == 1268


def test_entries_do_not_depend_on_the_request() -> None:
    """The entry of a minute is the same in every range and at every time."""
    values = read_recording()
    whole = {
        entry["entry_id"]: entry
        for entry in build_feed(values, 1001, NOW - 7000, NOW, NOW)["feeds"]
    }
    later = {
        entry["entry_id"]: entry
        for entry in build_feed(values, 1001, NOW - 5000, NOW + 9000, NOW + 3000)["feeds"]
    }
    shared = whole.keys() & later.keys()
    assert len(shared) > 80
    assert all(whole[number] == later[number] for number in shared)
    first = min(shared)
    assert datetime.fromisoformat(whole[first]["created_at"]) == datetime.fromtimestamp(
        first * ENTRY_SECONDS, UTC
    )


def test_channels_have_different_values() -> None:
    """Three channels give three curves from one recording."""
    values = read_recording()
    curves = {
        channel: [
            entry["field1"] for entry in build_feed(values, channel, NOW - 6000, NOW, NOW)["feeds"]
        ]
        for channel in CHANNELS
    }
    assert len({tuple(curve) for curve in curves.values()}) == 3
    assert {len(curve) for curve in curves.values()} == {101}


@pytest.mark.parametrize(
    ("first", "last", "count"),
    [
        (NOW, NOW, 1),
        (NOW + 1, NOW + 60, 0),
        (NOW - 600, NOW - 1200, 0),
        (NOW - 59, NOW, 1),
        (0, NOW, PAGE_ENTRIES),
        (0, NOW - HISTORY_SECONDS - 1, 0),
    ],
)
def test_ranges_include_their_ends_up_to_a_page(first: float, last: float, count: int) -> None:
    """Both ends are included; future and expired entries are not; a page has 8 000 entries."""
    feeds = build_feed(read_recording(), 1001, first, last, NOW)["feeds"]
    assert len(feeds) == count
    if count == PAGE_ENTRIES:
        assert feeds[-1]["entry_id"] == NOW // ENTRY_SECONDS
    assert [entry["entry_id"] for entry in feeds] == sorted(entry["entry_id"] for entry in feeds)


def test_feeds_have_thingspeaks_format(client: httpx.Client) -> None:
    """A feed has the channel's description, and entries with texts as values up to `end`."""
    end = datetime.fromtimestamp(time.time() // 60 * 60 - 600, UTC)
    params = {"start": "2020-01-01 00:00:00", "end": end.strftime(module.REQUEST_TIME_FORMAT)}
    body = client.get("/channels/1002/feeds.json", params=params).json()
    assert body["channel"]["id"] == 1002
    assert len(body["feeds"]) == PAGE_ENTRIES
    assert body["feeds"][-1] | {"field1": ""} == {
        "created_at": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "entry_id": end.timestamp() // 60,
        "field1": "",
    }
    assert all(isinstance(entry["field1"], str) for entry in body["feeds"])
    assert len(client.get("/channels/1002/feeds.json").json()["feeds"]) == PAGE_ENTRIES


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/channels/999/feeds.json", 200, -1),
        ("/channels/x/feeds.json", 200, -1),
        ("/channels/\xb2/feeds.json", 200, -1),
        ("/channels/-1/feeds.json", 200, -1),
        ("/channels/1001/feeds.json?start=yesterday", 400, None),
        ("/channels/1001/feeds.json?end=2026-13-01%2000:00:00", 400, None),
        ("/channels/1001/feeds.json?results=many", 400, None),
        ("/channels/1001", 404, None),
        ("/", 404, None),
    ],
)
def test_errors_have_thingspeaks_format(
    client: httpx.Client, path: str, status: int, body: Any
) -> None:
    """-1 for channels without access, and ThingSpeak's error shape for everything else."""
    answer = client.get(path)
    assert answer.status_code == status
    if body is None:
        assert answer.json()["error"].keys() == {"error_code", "message", "details"}
    else:
        assert answer.json() == body


FEEDS = "/channels/1001/feeds.json"


@pytest.mark.parametrize(
    ("results", "count"), [("1", 1), ("3", 3), ("0", 0), ("-5", 0), ("99999", PAGE_ENTRIES)]
)
def test_results_limits_to_the_newest_entries(
    client: httpx.Client, results: str, count: int
) -> None:
    """`results` gives that many of the newest entries, at most a page."""
    body = client.get(FEEDS, params={"results": results}).json()
    assert len(body["feeds"]) == count
    assert not count or body["feeds"][-1]["entry_id"] == body["channel"]["last_entry_id"]


@pytest.mark.parametrize(
    ("mode", "status"), [("fail", 500), ("throttle", 429), ("rubbish", 200), ("page", 200)]
)
def test_modes_expire(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, mode: str, status: int
) -> None:
    """A mode is in force for the given seconds; then feeds are served again."""
    assert client.post("/control", json={"mode": mode, "seconds": 100}).json() == {
        "mode": mode,
        "seconds_left": 100.0,
    }
    answer = client.get(FEEDS)
    assert answer.status_code == status
    if status == 200:
        with pytest.raises(
            ValueError, match="Unterminated" if mode == "rubbish" else "Expecting value"
        ):
            answer.json()
        assert ("html" in answer.headers["Content-Type"]) == (mode == "page")
    else:
        assert ("Retry-After" in answer.headers) == (mode == "throttle")
        assert "error_code" in answer.json()["error"]
    assert client.get("/control").json()["mode"] == mode
    real = time.time
    monkeypatch.setattr(module.time, "time", lambda: real() + 101)
    assert client.get("/control").json() == {"mode": "ok", "seconds_left": 0.0}
    assert client.get(FEEDS).json()["feeds"]


def test_stalls_expire(client: httpx.Client) -> None:
    """While the stub stalls a request gets no response; afterwards feeds are served."""
    client.post("/control", json={"mode": "stall", "seconds": 0.3})
    with pytest.raises(httpx.HTTPError):
        client.get(FEEDS, timeout=0.05)
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(FEEDS)  # it waits for the end of the stall, and then says nothing
    assert client.get(FEEDS).json()["feeds"]


def test_ok_ends_any_mode(client: httpx.Client) -> None:
    """`ok` ends a mode before its time."""
    client.post("/control", json={"mode": "fail"})
    client.post("/control", json={"mode": "ok"})
    assert client.get(FEEDS).status_code == 200


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/control", b""), ("/control", b"{"), ("/control", b"[]"), ("/control", b"5"),
        ("/control", b"{}"), ("/control", b"[" * 50_000),
        ("/control", b'{"mode": "explode"}'), ("/control", b'{"mode": null}'),
        ("/control", b'{"mode": ["fail"]}'), ("/control", b'{"mode": "fail", "seconds": "x"}'),
        ("/control", b'{"mode": "fail", "seconds": null}'),
        ("/control", b'{"mode": "fail", "seconds": -1}'),
        ("/control", b'{"mode": "fail", "seconds": Infinity}'),
        ("/control", b'{"mode": "fail", "seconds": NaN}'),
        ("/control", b'{"mode": "fail", "seconds": 1e9}'),
        ("/control", b'{"mode": "fail", "seconds": ' + b"9" * 400 + b"}"),
        ("/control", b"\xff\xfe"),
        ("/elsewhere", b'{"mode": "fail"}'),
    ],
)  # fmt: skip
def test_400_for_invalid_control_calls(client: httpx.Client, path: str, content: bytes) -> None:
    """Anything but a known mode for a bounded time gets 400 with the usage, and changes nothing."""
    answer = client.post(path, content=content)
    assert answer.status_code == 400
    assert "POST /control" in answer.json()["error"]
    assert client.get("/control").json()["mode"] == "ok"


def test_history_option_sets_the_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--history` is the number of seconds that the channels remember."""
    histories: list[int] = []

    def record_history(server: ThingSpeakStub, *_: object) -> None:
        histories.append(server.history)
        server.server_close()

    monkeypatch.setattr(ThingSpeakStub, "serve_forever", record_history)
    for options in ([], ["--history", "600"]):
        monkeypatch.setattr(module.sys, "argv", ["thingspeak_stub", "--port", "0", *options])
        module.main()
    assert histories == [HISTORY_SECONDS, 600]


@pytest.mark.parametrize("length", ["-1", "x"])
def test_400_for_an_invalid_content_length(replay: ThingSpeakStub, length: str) -> None:
    """An invalid Content-Length gets 400 instead of an endless wait."""
    connection = http.client.HTTPConnection("127.0.0.1", replay.server_port, timeout=5)
    connection.putrequest("POST", "/control")
    connection.putheader("Content-Length", length)
    connection.endheaders(b"{}")
    assert connection.getresponse().status == 400
    connection.close()


def test_web_pages_can_neither_read_nor_control(client: httpx.Client) -> None:
    """An Origin and an unknown Host name are refused, whatever the type of the body."""
    body = '{"mode": "fail", "seconds": 30}'
    for headers in (
        {"Origin": "http://evil.example", "Content-Type": "text/plain"},
        {"Origin": "null"},
        {"Host": "evil.example:8091"},
    ):
        assert client.post("/control", content=body, headers=headers).status_code in (400, 403)
    feed = "/channels/1001/feeds.json"
    assert client.get(feed, headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/control").json()["mode"] == "ok"
    assert client.get(feed).status_code == 200
