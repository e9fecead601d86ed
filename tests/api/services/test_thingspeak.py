"""The ThingSpeak client against the real replay server, and against everything that a server may
say instead."""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import stamina
from hypothesis import given, settings
from hypothesis import strategies as st

from api.platform.telemetry import metrics
from api.services.thingspeak import (
    ATTEMPTS,
    DEPENDENCY,
    MAX_ENTRIES,
    TIME_FORMAT,
    Entry,
    NoAccess,
    ThingSpeak,
    ThingSpeakError,
    Unavailable,
    parse_entry,
    parse_feed,
    parse_number,
)
from loadtests.thingspeak_stub import HISTORY_SECONDS, ThingSpeakStub
from observability.spec import loading, names
from tests.api.helpers import sample

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=1)
Answerer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def _quick_retries() -> Iterator[None]:
    """As many attempts as in production, without the waits."""
    metrics.init_process(loading.load_plan())
    with stamina.set_testing(True, attempts=ATTEMPTS):
        yield


def client_of(answer: Answerer) -> ThingSpeak:
    """A client whose server is a function."""
    return ThingSpeak("http://thingspeak.invalid", 1, httpx.MockTransport(answer))


def feed(entry_id: int, second: float, value: Any = "1.5") -> dict[str, Any]:
    return {
        "created_at": (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "entry_id": entry_id,
        "field1": value,
    }


def says(*feeds: Any, **channel: Any) -> httpx.Response:
    return httpx.Response(200, json={"channel": {"id": 1} | channel, "feeds": list(feeds)})


def entries_of(client: ThingSpeak, start: datetime = START, end: datetime = END) -> list[Entry]:
    return [entry for page in client.feeds(1, None, start, end) for entry in page]


def calls(outcome: str) -> float:
    return sample(
        metrics.REGISTRY,
        f"{names.DEPENDENCY_DURATION}_count",
        dependency=DEPENDENCY,
        outcome=outcome,
    )


def test_the_replay_server_is_read_whole(replay: ThingSpeakStub) -> None:
    """A week of entries, more than a page of them, comes whole, once and in order, with its
    numbers."""
    replay.history = HISTORY_SECONDS
    client = ThingSpeak(f"http://127.0.0.1:{replay.server_port}", 5)
    end = datetime.fromtimestamp(time.time() // 60 * 60 - 60, UTC)
    start = end - timedelta(minutes=9_000)
    found = [entry for page in client.feeds(1001, None, start, end) for entry in page]
    first = int(start.timestamp()) // 60
    assert [entry.id for entry in found] == list(range(first, first + 9_001))
    assert found[0].time == start
    assert found[0].fields == {"field1": float(replay.values[first % len(replay.values)])}


def limited(feeds: list[dict[str, Any]], newest: bool, **channel: Any) -> Answerer:
    """A server that cuts off the oldest or the newest of what is more than a page."""
    moments = [datetime.fromisoformat(entry["created_at"]) for entry in feeds]

    def answer(request: httpx.Request) -> httpx.Response:
        first, last = (
            datetime.strptime(request.url.params[key], TIME_FORMAT).replace(tzinfo=UTC)
            for key in ("start", "end")
        )
        inside = [
            entry for moment, entry in zip(moments, feeds, strict=True) if first <= moment <= last
        ]
        return says(*(inside[-MAX_ENTRIES:] if newest else inside[:MAX_ENTRIES]), **channel)

    return answer


@pytest.mark.parametrize("newest", [True, False], ids=["oldest cut off", "newest cut off"])
@pytest.mark.parametrize(
    ("count", "created"),
    [
        (MAX_ENTRIES - 1, None),
        (MAX_ENTRIES, None),
        (MAX_ENTRIES + 1, None),
        (3 * MAX_ENTRIES, None),
        *((MAX_ENTRIES + 1, second) for second in (0, 5, MAX_ENTRIES + 1, 259_200)),
    ],
)
def test_a_long_range_comes_whole(newest: bool, count: int, created: int | None) -> None:
    """Whichever end the server cuts off at 8 000 entries, and whenever it says that the channel was
    made, all come, once and in order."""
    channel = (
        {} if created is None else {"created_at": (START + timedelta(seconds=created)).isoformat()}
    )
    server = client_of(
        limited([feed(second, second) for second in range(count)], newest, **channel)
    )
    assert [entry.id for entry in entries_of(server, START, START + timedelta(days=2))] == list(
        range(count)
    )


@pytest.mark.parametrize("moving", [False, True], ids=["made once", "made anew each time"])
def test_a_young_channel_is_not_sought(moving: bool) -> None:
    """A channel that says when it was made costs a few questions from the beginning of time to now,
    even if it says it anew each time."""
    asked: list[int] = []
    feeds = [feed(minute, 60 * minute) for minute in range(MAX_ENTRIES + 1)]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(1)
        made = START + timedelta(seconds=len(asked) if moving else 0)
        return limited(feeds, newest=True, created_at=made.isoformat())(request)

    assert (
        len(
            entries_of(
                client_of(answer), datetime(2010, 1, 1, tzinfo=UTC), START + timedelta(days=6)
            )
        )
        == MAX_ENTRIES + 1
    )
    assert len(asked) == 5, "all, before it was made, since then, and the halves of that"


def test_values_are_texts_and_gaps_are_no_readings() -> None:
    """Numbers come as strings; null, words, NaN and infinities are left out, and the entry
    stays."""
    values = {
        "field1": "100.59",
        "field2": None,
        "field3": "NaN",
        "field4": "inf",
        "field5": "",
        "field6": "dry",
        "field7": 5,
        "field8": " 6 ",
    }
    [entry] = entries_of(client_of(lambda _: says(feed(1, 0) | values)))
    assert entry == Entry(1, START, {"field1": 100.59, "field7": 5.0, "field8": 6.0})


def test_entries_are_sorted_and_given_once() -> None:
    """Doubles by entry id are dropped, and unreadable entries do not hurt their neighbours."""
    junk = [
        None,
        5,
        [],
        "x",
        {},
        {"created_at": None, "entry_id": 9},
        {"created_at": "yesterday", "entry_id": 9},
        feed(8, 8) | {"entry_id": None},
    ]
    found = entries_of(
        client_of(lambda _: says(feed(3, 30), feed(1, 10), *junk, feed(3, 30), feed(2, 10)))
    )
    assert [entry.id for entry in found] == [1, 2, 3]


def test_entries_outside_the_range_are_left_out() -> None:
    """A server that answers with other times than were asked for cannot carry the mark into the
    future."""
    odd = {"created_at": "2999-01-01T00:00:00Z", "entry_id": 9, "field1": "1"}
    found = entries_of(
        client_of(lambda _: says(feed(1, -1), feed(2, 0), feed(3, 3600), feed(4, 3601), odd))
    )
    assert [entry.id for entry in found] == [2, 3]


def test_the_key_is_sent_and_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A private channel's key is in the request, and in no log line even when the call is
    retried."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(500)

    with caplog.at_level(logging.DEBUG), pytest.raises(Unavailable):
        list(client_of(answer).feeds(7, "SECRETKEY", START, END))
    assert [request.url.params["api_key"] for request in asked] == ["SECRETKEY"] * ATTEMPTS
    assert asked[0].url.path == "/channels/7/feeds.json"
    assert not any(
        "SECRETKEY" in repr(record.__dict__)
        for record in caplog.records
        if not record.name.startswith(("httpx", "httpcore"))
    )


REFUSAL = {
    "status": "401",
    "error": {
        "error_code": "error_auth_required",
        "message": "Authorization Required",
        "details": "",
    },
}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (httpx.Response(200, text="-1"), "-1"),
        (httpx.Response(200, text='"-1"'), "-1"),
        (httpx.Response(400, json=REFUSAL), "error_auth_required: Authorization Required"),
        (httpx.Response(401, json=REFUSAL), "error_auth_required: Authorization Required"),
        (httpx.Response(403, text="<html>no"), "<html>no"),
        (httpx.Response(404, text="-1"), "404"),
        (httpx.Response(404, json=[1]), "404"),
        (httpx.Response(404, json={"error": "gone"}), "404"),
    ],
)
def test_a_refusal_is_not_asked_again(answer: httpx.Response, told: str) -> None:
    """No such channel and no access are told at once, in the server's words, and are no outage of
    the dependency."""
    asked = []
    errors, successes = calls("error"), calls("ok")
    with pytest.raises(NoAccess, match=told):
        entries_of(client_of(lambda request: asked.append(request) or answer))
    assert len(asked) == 1
    assert (calls("error"), calls("ok")) == (errors, successes + 1)


def broken(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("too slow", request=request)


def away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: httpx.Response(429, json={"status": "429"}),
        lambda _: httpx.Response(500),
        lambda _: httpx.Response(503, text="maintenance"),
        lambda _: httpx.Response(302, headers={"Location": "http://elsewhere.invalid"}),
        lambda _: httpx.Response(204),
        lambda _: httpx.Response(200, content=b"\xff\xfe\x00rubbish"),
        lambda _: httpx.Response(200, text="[" * 100_000),
        lambda _: httpx.Response(200, text="9" * 5000),
        lambda _: httpx.Response(200, text='{"feeds": null}'),
        lambda _: httpx.Response(200, text="0"),
        lambda _: httpx.Response(200, content=b"x", headers={"Content-Encoding": "gzip"}),
        broken,
        away,
    ],
)
def test_what_may_pass_is_tried_again_and_then_told(answer: Answerer) -> None:
    """Throttling, failures, time-outs and rubbish are asked for four times, each counted as an
    error of the dependency."""
    asked = []
    before = calls("error")
    with pytest.raises(Unavailable):
        entries_of(client_of(lambda request: asked.append(request) or answer(request)))
    assert len(asked) == ATTEMPTS
    assert calls("error") == before + ATTEMPTS


@pytest.mark.parametrize(("header", "seconds"), [({"Retry-After": "7"}, 7.0), ({}, None)])
def test_throttling_says_when_to_come_again(header: dict[str, str], seconds: float | None) -> None:
    """Their Retry-After goes to whoever decides about another attempt."""
    with pytest.raises(Unavailable, match="asked too often") as told:
        parse_feed(httpx.Response(429, headers=header))
    assert told.value.retry_after == seconds


def test_the_newest_entry_is_found() -> None:
    """Asked for alone; the newest by time if they send more, and none of an empty channel."""
    asked = []
    answers = iter([says(feed(1, 0), feed(3, 5), feed(2, 9)), says()])
    client = client_of(lambda request: asked.append(request) or next(answers))
    newest = client.newest(1, "KEY")
    assert newest is not None
    assert newest.id == 2
    assert dict(asked[0].url.params) == {"results": "1", "api_key": "KEY"}
    assert client.newest(1, None) is None


def test_a_passing_trouble_is_survived() -> None:
    """Three failures and then an answer are an answer."""
    answers = iter(
        [
            httpx.Response(500),
            httpx.Response(429),
            httpx.Response(200, text="oops"),
            says(feed(1, 0)),
        ]
    )
    assert [entry.id for entry in entries_of(client_of(lambda _: next(answers)))] == [1]


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("fail", "answered 500"),
        ("throttle", "asked too often"),
        ("rubbish", "not JSON"),
        ("stall", "ReadTimeout"),
    ],
)
def test_every_mode_of_the_replay_server_is_understood(
    replay: ThingSpeakStub, mode: str, words: str
) -> None:
    """What the stand-in does on demand arrives as the error that it stands for."""
    client = ThingSpeak(f"http://127.0.0.1:{replay.server_port}", 0.1)
    replay.set_mode(mode, 3)
    with pytest.raises(Unavailable, match=words):
        list(client.feeds(1001, None, START, END))
    replay.set_mode("ok", 0)
    with pytest.raises(NoAccess):
        list(client.feeds(5, None, START, END))


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.just("2026-01-01T00:00:00Z")
)
fields = (
    st.sampled_from(
        [
            "created_at",
            "entry_id",
            "field1",
            "field2",
            "feeds",
            "channel",
            "error",
            "error_code",
            "message",
        ]
    )
    | st.text()
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(fields, inner, max_size=5),
    max_leaves=15,
)


@given(feed=documents)
@settings(max_examples=300, deadline=None, database=None)
def test_no_feed_entry_breaks_the_parser(feed: Any) -> None:
    """Any JSON value is an entry with finite numbers and a UTC time, or nothing."""
    entry = parse_entry(feed)
    assert entry is None or (
        entry.time.tzinfo is UTC and all(map(math.isfinite, entry.fields.values()))
    )


@given(
    document=documents | st.fixed_dictionaries({"feeds": st.lists(documents, max_size=4)}),
    status=st.sampled_from([200, 400, 401, 404, 429, 500]),
)
@settings(max_examples=300, deadline=None, database=None)
def test_no_document_breaks_the_parser(document: Any, status: int) -> None:
    """Any JSON with any status gives entries in order or a ThingSpeakError."""
    try:
        found = parse_feed(
            httpx.Response(status, content=json.dumps(document).encode("utf-8", "surrogatepass"))
        )
    except ThingSpeakError:
        return
    assert [(entry.time, entry.id) for entry in found.entries] == sorted(
        (entry.time, entry.id) for entry in found.entries
    )


@given(content=st.binary(max_size=100))
@settings(max_examples=200, deadline=None, database=None)
def test_no_bytes_break_the_parser(content: bytes) -> None:
    """Any bytes give entries or a ThingSpeakError."""
    try:
        parse_feed(httpx.Response(200, content=content))
    except ThingSpeakError:
        return


@pytest.mark.parametrize("text", ["1e999", "-inf", "nan", "9" * 400, "x", None, [], {}, "1,5"])
def test_what_is_no_finite_number_is_no_reading(text: Any) -> None:
    """Only finite numbers become values."""
    assert parse_number(text) is None
