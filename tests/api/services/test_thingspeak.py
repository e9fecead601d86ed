"""The ThingSpeak client against the replay server and against invalid responses."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import stamina
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from api.platform.outbound.circuit_breaker import FAILURES
from api.platform.outbound.guarded_calls import CONNECT_SECONDS, RETRY_SECONDS
from api.platform.telemetry import metrics
from api.services.entries import Entry
from api.services.thingspeak import (
    ATTEMPTS,
    DEPENDENCY,
    INTERACTIVE,
    MAX_ENTRIES,
    RECENT,
    TIME_FORMAT,
    NoAccess,
    ThingSpeak,
    ThingSpeakError,
    Unavailable,
    parse_feed,
)
from loadtests.thingspeak_stub import HISTORY_SECONDS, ThingSpeakStub
from observability.spec import loading, names
from tests.api.platform.helpers import sample
from tests.api.services.test_entries import documents

ROOT = Path(__file__).resolve().parents[3]
START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=1)
Answerer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def _quick_retries() -> Iterator[None]:
    """Retry as often as in production, without waiting."""
    metrics.init_process(loading.load_plan())
    with stamina.set_testing(True, attempts=ATTEMPTS):
        yield


def client_of(answer: Answerer) -> ThingSpeak:
    """Return a client whose server is a function."""
    return ThingSpeak("http://thingspeak.invalid", 1, httpx.MockTransport(answer))


def feed(entry_id: int, second: float, value: Any = "1.5") -> dict[str, Any]:
    return {
        "created_at": (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "entry_id": entry_id,
        "field1": value,
    }


def respond(*feeds: Any, **channel: Any) -> httpx.Response:
    return httpx.Response(200, json={"channel": {"id": 1} | channel, "feeds": list(feeds)})


def entries_of(client: ThingSpeak, start: datetime = START, end: datetime = END) -> list[Entry]:
    return [entry for page in client.feeds(1, None, start, end) for entry in page.feed.entries]


def calls(outcome: str) -> float:
    return sample(
        metrics.REGISTRY,
        f"{names.DEPENDENCY_DURATION}_count",
        dependency=DEPENDENCY,
        outcome=outcome,
    )


def test_long_recording_is_read_completely(replay: ThingSpeakStub) -> None:
    """The entries of a week, in several responses, are unique and sorted."""
    replay.history = HISTORY_SECONDS
    client = ThingSpeak(f"http://127.0.0.1:{replay.server_port}", 5)
    end = datetime.fromtimestamp(time.time() // 60 * 60 - 60, UTC)
    start = end - timedelta(minutes=9_000)
    pages = client.feeds(1001, None, start, end)
    entries = [entry for page in pages for entry in page.feed.entries]
    first = int(start.timestamp()) // 60
    assert [entry.id for entry in entries] == list(range(first, first + 9_001))
    assert entries[0].time == start
    assert entries[0].fields == {"field1": float(replay.values[first % len(replay.values)])}


def limited(feeds: list[dict[str, Any]], newest: bool, **channel: Any) -> Answerer:
    """Return a server that cuts off the oldest or newest entries beyond its limit."""
    moments = [datetime.fromisoformat(entry["created_at"]) for entry in feeds]

    def answer(request: httpx.Request) -> httpx.Response:
        first, last = (
            datetime.strptime(request.url.params[key], TIME_FORMAT).replace(tzinfo=UTC)
            for key in ("start", "end")
        )
        inside = [
            entry for moment, entry in zip(moments, feeds, strict=True) if first <= moment <= last
        ]
        return respond(*(inside[-MAX_ENTRIES:] if newest else inside[:MAX_ENTRIES]), **channel)

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
def test_range_of_several_responses_is_complete(
    newest: bool, count: int, created: int | None
) -> None:
    """Entries are unique and sorted, whichever end is truncated, whatever created_at says."""
    channel = (
        {} if created is None else {"created_at": (START + timedelta(seconds=created)).isoformat()}
    )
    server = client_of(
        limited([feed(second, second) for second in range(count)], newest, **channel)
    )
    assert [entry.id for entry in entries_of(server, START, START + timedelta(days=2))] == list(
        range(count)
    )


def test_full_response_with_an_invalid_entry_is_split() -> None:
    """The entries that were cut off are found, although a full response has one entry less."""
    feeds = [feed(second, second) for second in range(MAX_ENTRIES + 1)]
    feeds[5000] |= {"entry_id": None}
    server = client_of(limited(feeds, newest=True))
    ids = [entry.id for entry in entries_of(server, START, START + timedelta(days=2))]
    assert ids == [second for second in range(MAX_ENTRIES + 1) if second != 5000]


@pytest.mark.parametrize("moving", [False, True], ids=["one created_at", "another each time"])
def test_young_channel_needs_few_requests(moving: bool) -> None:
    """Its created_at shortens the search, even when it differs between responses."""
    requests: list[int] = []
    feeds = [feed(minute, 60 * minute) for minute in range(MAX_ENTRIES + 1)]

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(1)
        created = START + timedelta(seconds=len(requests) if moving else 0)
        return limited(feeds, newest=True, created_at=created.isoformat())(request)

    start = datetime(2010, 1, 1, tzinfo=UTC)
    entries = entries_of(client_of(answer), start, START + timedelta(days=6))
    assert len(entries) == MAX_ENTRIES + 1
    assert len(requests) == 5, "all, before created_at, since then, and both halves of that"


def test_only_decimal_numbers_are_kept() -> None:
    """Null and empty texts are gaps; other texts than decimal numbers are kept as such."""
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
    [entry] = entries_of(client_of(lambda _: respond(feed(1, 0) | values)))
    numbers = {"field1": 100.59, "field7": 5.0, "field8": 6.0}
    other_texts = {"field3": "'NaN'", "field4": "'inf'", "field6": "'dry'"}
    assert entry == Entry(1, START, numbers, other_texts)


def test_entries_are_sorted() -> None:
    """Entries of one id stay: their values may differ. Unreadable entries are rejected."""
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
    client = client_of(lambda _: respond(feed(3, 30), feed(1, 10), *junk, feed(3, 30), feed(2, 10)))
    [page] = client.feeds(1, None, START, END)
    assert [entry.id for entry in page.feed.entries] == [1, 2, 3, 3]
    assert [(reject.field, reject.text) for reject in page.feed.rejects] == [
        ("entry_id", "NoneType"),
        ("entry_id", "'5'"),
        ("entry_id", "list"),
        ("entry_id", "'x'"),
        ("entry_id", "NoneType"),
        ("created_at", "NoneType"),
        ("created_at", "'yesterday'"),
        ("entry_id", "NoneType"),
    ]


def test_entries_outside_the_range_are_dropped() -> None:
    """They could move the cursor into the future."""
    odd = {"created_at": "2999-01-01T00:00:00Z", "entry_id": 9, "field1": "1"}
    entries = entries_of(
        client_of(lambda _: respond(feed(1, -1), feed(2, 0), feed(3, 3600), feed(4, 3601), odd))
    )
    assert [entry.id for entry in entries] == [2, 3]


def test_key_is_sent_and_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The request contains the key of a private channel, no log line does."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(500)

    with caplog.at_level(logging.DEBUG), pytest.raises(Unavailable):
        list(client_of(answer).feeds(7, "SECRETKEY", START, END))
    assert [request.url.params["api_key"] for request in requests] == ["SECRETKEY"] * ATTEMPTS
    assert requests[0].url.path == "/channels/7/feeds.json"
    assert not any(
        "SECRETKEY" in repr(record.__dict__)
        for record in caplog.records
        if not record.name.startswith(("httpx", "httpcore"))
    )


ODD_REFUSAL = rb'{"error": {"error_code": "a\ud800", "message": "b\u0000\u00e9"}}'
LONG_ERROR = {"error_code": "e", "message": 999 * "x"}
REFUSAL = {
    "status": "401",
    "error": {
        "error_code": "error_auth_required",
        "message": "Authorization Required",
        "details": "",
    },
}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (httpx.Response(200, text="-1"), "-1"),
        (httpx.Response(200, text='"-1"'), "-1"),
        (httpx.Response(400, json=REFUSAL), "error_auth_required: Authorization Required"),
        (httpx.Response(401, json=REFUSAL), "error_auth_required: Authorization Required"),
        (httpx.Response(403, text="<html>no"), "<html>no"),
        (httpx.Response(404, text="-1"), "404"),
        (httpx.Response(404, json=[1]), "404"),
        (httpx.Response(404, json={"error": "gone"}), "404"),
        (httpx.Response(400, content=ODD_REFUSAL), r"a\\ud800: b\\x00é$"),
        (httpx.Response(403, text="no\0\x1b[31m\nway"), r"no\\x00\\x1b\[31m\\nway$"),
        (httpx.Response(403, json={"error": LONG_ERROR}), "e: x{197}$"),
    ],
)
def test_refused_request_is_not_retried(answer: httpx.Response, text: str) -> None:
    """The error has the server's text, and is no failure of the dependency."""
    requests = []
    errors, successes = calls("error"), calls("ok")
    with pytest.raises(NoAccess, match=text):
        entries_of(client_of(lambda request: requests.append(request) or answer))
    assert len(requests) == 1
    assert (calls("error"), calls("ok")) == (errors, successes + 1)


def time_out(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("too slow", request=request)


def refuse_connection(request: httpx.Request) -> httpx.Response:
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
        time_out,
        refuse_connection,
    ],
)
def test_temporary_failure_is_retried_and_then_raised(answer: Answerer) -> None:
    """Each of the four attempts counts as an error of the dependency."""
    requests = []
    before = calls("error")
    with pytest.raises(Unavailable):
        entries_of(client_of(lambda request: requests.append(request) or answer(request)))
    assert len(requests) == ATTEMPTS
    assert calls("error") == before + ATTEMPTS


@pytest.mark.parametrize(("header", "seconds"), [({"Retry-After": "7"}, 7.0), ({}, None)])
def test_throttled_request_has_retry_after(header: dict[str, str], seconds: float | None) -> None:
    """The exception has the seconds of the response."""
    with pytest.raises(Unavailable, match="rate limit exceeded") as error:
        parse_feed(httpx.Response(429, headers=header))
    assert error.value.retry_after == seconds


def test_newest_entries_are_returned() -> None:
    """One request asks for the newest ones up to a time; an empty channel has none."""
    requests = []
    answers = iter([respond(feed(1, 0), feed(3, 5), feed(2, 9)), respond()])
    client = client_of(lambda request: requests.append(request) or next(answers))
    assert [entry.id for entry in client.newest(1, "KEY", END).entries] == [1, 3, 2]
    assert dict(requests[0].url.params) == {
        "end": END.strftime(TIME_FORMAT),
        "results": str(RECENT),
        "api_key": "KEY",
    }
    assert client.newest(1, None, END).entries == []


def test_success_after_failures_is_returned() -> None:
    """The fourth attempt succeeds."""
    answers = iter(
        [
            httpx.Response(500),
            httpx.Response(429),
            httpx.Response(200, text="oops"),
            respond(feed(1, 0)),
        ]
    )
    assert [entry.id for entry in entries_of(client_of(lambda _: next(answers)))] == [1]


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("fail", "answered 500"),
        ("throttle", "rate limit exceeded"),
        ("rubbish", "invalid JSON"),
        ("stall", "ReadTimeout"),
    ],
)
def test_each_mode_of_the_replay_server_raises_its_error(
    replay: ThingSpeakStub, mode: str, words: str
) -> None:
    """Each mode arrives as the error that it simulates."""
    client = ThingSpeak(f"http://127.0.0.1:{replay.server_port}", 0.1)
    replay.set_mode(mode, 3)
    with pytest.raises(Unavailable, match=words):
        list(client.feeds(1001, None, START, END))
    replay.set_mode("ok", 0)
    with pytest.raises(NoAccess):
        list(client.feeds(5, None, START, END))


@given(
    document=documents | st.fixed_dictionaries({"feeds": st.lists(documents, max_size=4)}),
    status=st.sampled_from([200, 400, 401, 404, 429, 500]),
)
@settings(max_examples=300, deadline=None, database=None)
def test_parser_accepts_any_document(document: Any, status: int) -> None:
    """Any JSON with any status gives sorted entries or a ThingSpeakError."""
    try:
        feed = parse_feed(
            httpx.Response(status, content=json.dumps(document).encode("utf-8", "surrogatepass"))
        )
    except ThingSpeakError:
        return
    assert [(entry.time, entry.id) for entry in feed.entries] == sorted(
        (entry.time, entry.id) for entry in feed.entries
    )


@given(content=st.binary(max_size=100))
@settings(max_examples=200, deadline=None, database=None)
def test_parser_accepts_any_bytes(content: bytes) -> None:
    """They give entries or a ThingSpeakError."""
    try:
        parse_feed(httpx.Response(200, content=content))
    except ThingSpeakError:
        return


def test_documented_retry_policies_are_the_used_ones() -> None:
    """docs/operations.md lists them; ADR 12 explains their order."""
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"{INTERACTIVE.seconds:g} s, with one retry" in operations
    assert CONNECT_SECONDS <= INTERACTIVE.seconds < RETRY_SECONDS
    assert ATTEMPTS < FAILURES  # one channel that always fails does not stop the others


def test_readiness_ignores_thingspeak(app: Flask) -> None:
    """It is a check of /health that is not critical."""
    client = app.test_client()
    assert "thingspeak" in client.get("/health").get_json()["checks"]
    assert "thingspeak" not in client.get("/health/ready").get_json()["checks"]
