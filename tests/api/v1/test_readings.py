"""The routes /api/v1/nodes/{node_id}/readings and /latest."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from api.models import Latest, Reading
from api.platform.state import app_state
from observability.spec import names
from tests.api.helpers import BASE, NODE, NODES, READINGS, at, batch, reading, send, stored
from tests.api.platform.helpers import is_problem, label_values

pytestmark = pytest.mark.usefixtures("node")


def test_repeated_batch_stores_nothing(client: FlaskClient, app: Flask) -> None:
    """Its readings are counted as duplicates."""
    rows = [reading(second) for second in range(1000)]
    assert send(client, *rows) == {"stored": 1000, "duplicates": 0, "conflicts": 0}
    assert send(client, *rows) == {"stored": 0, "duplicates": 1000, "conflicts": 0}
    assert stored(app) == 1000


def test_second_value_for_a_time_is_a_conflict(client: FlaskClient) -> None:
    """The stored value is kept."""
    send(client, reading(0, 1), reading(1, 1))
    assert send(client, reading(0, 2), reading(1, 1), reading(2, 3)) == {
        "stored": 1,
        "duplicates": 1,
        "conflicts": 1,
    }
    assert [item["value"] for item in client.get(READINGS).get_json()["items"]] == [1, 1, 3]


def test_same_instant_in_two_time_zones_is_one_reading(client: FlaskClient) -> None:
    """One instant written in two zones is one reading."""
    moment = datetime.now(UTC) - timedelta(hours=3)
    india = moment.astimezone(tz=datetime.strptime("+0530", "%z").tzinfo)
    first, second = (
        {"metric": "m", "time": time.isoformat(), "value": 1} for time in (moment, india)
    )
    assert send(client, first, second) == {"stored": 1, "duplicates": 1, "conflicts": 0}
    assert client.get(READINGS).get_json()["items"][0]["time"] == moment.isoformat()


def test_range_includes_its_start_and_excludes_its_end(client: FlaskClient) -> None:
    """Sorted by time, optionally of one metric."""
    send(client, *(reading(second, second, metric) for second in range(6) for metric in ("a", "b")))
    query = f"?from={quote(at(1))}&to={quote(at(4))}"
    both = client.get(READINGS + query).get_json()
    assert [(item["value"], item["metric"]) for item in both["items"]] == [
        (s, m) for s in (1, 2, 3) for m in "ab"
    ]
    one = client.get(f"{READINGS}{query}&metric=b&page=2&page_size=2").get_json()
    assert [item["value"] for item in one.pop("items")] == [3]
    assert one == {"page": 2, "page_size": 2, "total": 3}
    assert client.get(f"{READINGS}?from={quote(at(4))}&to={quote(at(1))}").get_json()["total"] == 0


def test_range_without_a_start_is_one_day(client: FlaskClient) -> None:
    """`to` defaults to now, `from` to a day before `to`."""
    send(client, reading(-2 * 86400), reading(-3600), reading(0))
    assert client.get(READINGS).get_json()["total"] == 2
    assert client.get(f"{READINGS}?to={quote(at(-86400))}").get_json()["total"] == 1


def test_latest_never_moves_back(client: FlaskClient, node: str) -> None:
    """Late readings and conflicts do not change the newest reading of a metric."""
    send(client, reading(10, 1), reading(5, 2, "flow"))
    send(client, reading(9, 7), reading(10, 8), reading(6, 3, "flow"))
    items = client.get(f"{NODES}/{node}/latest").get_json()["items"]
    assert [(item["metric"], item["time"], item["value"]) for item in items] == [
        ("flow", at(6), 3),
        ("level_m", at(10), 1),
    ]


ODD_VALUES = (1_795_910_553_000.0, 1e300, -1e300, float("inf"), float("-inf"), float("nan"))


@pytest.mark.parametrize("value", ODD_VALUES)
def test_a_stored_value_beyond_the_limits_fails_no_answer(
    client: FlaskClient, app: Flask, node: str, value: float
) -> None:
    """Answers leave out what an earlier release stored without limits, and count the rest."""
    send(client, reading(0, 1.0, "flow"), reading(1, 2.0, "flow"))
    store_unchecked(app, node, "flow", BASE + timedelta(seconds=2), value)
    store_unchecked(app, node, "level_m", BASE, value)
    answer = client.get(READINGS).get_json()
    assert [item["value"] for item in answer["items"]] == [1.0, 2.0]
    assert answer["total"] == 2
    assert client.get(f"{NODES}/{node}/latest").status_code == 200
    assert client.get(NODES).status_code == 200


@pytest.mark.parametrize("metric", ["Level", "1st", "a b", "ü"])
@pytest.mark.parametrize("moment", [datetime.min, datetime.max, BASE])
def test_a_stored_name_or_time_beyond_the_limits_fails_no_answer(
    client: FlaskClient, app: Flask, node: str, metric: str, moment: datetime
) -> None:
    """Answers leave out names and times that no request may hold."""
    send(client, reading(0, 1.0))
    for name in (metric, "flow"):
        store_unchecked(app, node, name, moment.replace(tzinfo=UTC), 1.0)
    seen = {("level_m", at(0))}
    if moment == BASE:
        seen.add(("flow", at(0)))
    for path in (READINGS, f"{NODES}/{node}/latest"):
        items = client.get(path).get_json()["items"]
        assert {(item["metric"], item["time"]) for item in items} == seen


def store_unchecked(app: Flask, node: str, metric: str, time: datetime, value: float) -> None:
    """Store a reading as it may have got into the database by other ways than a request."""
    values = {"node_id": node, "metric": metric, "time": time, "value": value}
    with app_state(app).database.write() as session:
        for table in (Reading, Latest):
            try:
                with session.begin_nested():
                    session.merge(table(**values))
            except IntegrityError:
                assert value != value, "SQLite stores NaN as NULL, which no column holds"


RAW = "application/json"
INVALID_BODIES: dict[str, tuple[int, bytes]] = {
    "empty": (400, b""),
    "cut off": (400, b'{"readings": ['),
    "words": (400, b"readings"),
    "two documents": (400, b"{}{}"),
    "invalid UTF-8": (400, b'{"readings": [{"metric": "\xff\xfe"}]}'),
    "lone surrogate": (400, b'{"readings": [{"metric": "\\ud800"}]}'),
    "100 000 brackets": (400, b"[" * 100_000),
    "100 000 balanced brackets": (400, b"[" * 100_000 + b"]" * 100_000),
    "deep objects": (400, b'{"readings":' * 50_000),
    "NaN": (400, json.dumps(batch(reading(0, float("nan")))).encode()),
    "Infinity": (400, json.dumps(batch(reading(0, float("inf")))).encode()),
    "-Infinity": (400, json.dumps(batch(reading(0, float("-inf")))).encode()),
    "400 digits": (400, json.dumps(batch(reading(0, int("9" * 400)))).encode()),
    "1e400": (400, json.dumps(batch(reading())).replace("1.5", "1e400").encode()),
    "NUL bytes": (400, b"\0" * 100),
    "a list": (422, b"[]"),
    "a number": (422, b"5"),
    "null": (422, b"null"),
    "a text": (422, b'"readings"'),
    "true": (422, b"true"),
    "nothing in it": (422, b"{}"),
    "no list": (422, b'{"readings": {}}'),
    "0 readings": (422, json.dumps(batch()).encode()),
    "1001 readings": (
        422,
        json.dumps(batch(*(reading(second) for second in range(1001)))).encode(),
    ),
    "unknown field above": (422, json.dumps(batch(reading()) | {"more": 1}).encode()),
    "no reading": (422, b'{"readings": [null]}'),
    "300 digits": (422, json.dumps(batch(reading(0, int("9" * 300)))).encode()),
}


@pytest.mark.parametrize("name", INVALID_BODIES)
def test_invalid_body_is_refused(client: FlaskClient, app: Flask, name: str) -> None:
    """No row is stored, and no series is created."""
    status, data = INVALID_BODIES[name]
    routes = label_values(app_state(app).registry, names.ROUTE)
    is_problem(client.post(READINGS, data=data, content_type=RAW), status)
    assert stored(app) == 0
    assert label_values(app_state(app).registry, names.ROUTE) == routes


INVALID_TIMES = (
    "1999-12-31T23:59:59Z",
    "9999-12-31T23:59:59Z",
    "2026-01-01T00:00:00",
    "2026-01-01",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "2026-13-01T00:00:00Z",
    "now",
    "",
    1767225600,
    1e300,
    -1,
    None,
    True,
    [],
    {},
    "2026-01-01T00:00:00Z\0",
    "٢٠٢٦-01-01T00:00:00Z",
    "2026-W01-1T00:00:00Z",
    "20260101T000000Z",
    "2026-01-01_00:00:00Z",
    "2026-01-01T00:00:00,5Z",
    " 2026-01-01T00:00:00Z",
)
AHEAD = (datetime.now(UTC) + timedelta(days=2)).isoformat()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("value", value) for value in (True, False, "1.5", "NaN", "", None, [], {}, 1e13, -1e13)),
        *(("metric", value) for value in ("", "Level", "1st", "a b", "a\n", "nul\0", "x" * 64)),
        *(("metric", value) for value in (5, None, True, ["a"])),
        *(("time", value) for value in INVALID_TIMES),
        pytest.param("time", AHEAD, id="time-two days ahead"),
        ("unit", "m"),
    ],
)
def test_invalid_reading_refuses_its_batch(
    client: FlaskClient, app: Flask, key: str, value: Any
) -> None:
    """422 names the invalid field; nothing of the batch is stored."""
    body = is_problem(client.post(READINGS, json=batch(reading(0), reading(1) | {key: value})), 422)
    assert list(body["errors"]["json"]["readings"]["1"]) == [key]
    assert stored(app) == 0


def test_oversized_body_is_refused(client: FlaskClient, app: Flask) -> None:
    """413 for more bytes than the setting allows."""
    data = json.dumps(batch(reading())).encode() + b" " * (1 << 20)
    is_problem(client.post(READINGS, data=data, content_type=RAW), 413)
    assert stored(app) == 0


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "json",
    ],
)
def test_other_content_types_are_refused(
    client: FlaskClient, app: Flask, content_type: str
) -> None:
    """415 without application/json."""
    is_problem(
        client.post(READINGS, data=json.dumps(batch(reading())), content_type=content_type), 415
    )
    assert stored(app) == 0


def test_charset_utf_8_is_accepted(client: FlaskClient) -> None:
    """application/json; charset=utf-8 is still JSON."""
    answer = client.post(
        READINGS, data=json.dumps(batch(reading())), content_type="application/json; charset=utf-8"
    )
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "query",
    [
        "from=1999-01-01T00:00:00Z",
        "to=9999-12-31T23:59:59Z",
        "from=2026-01-01T00:00:00",
        "to=x",
        "from=%ff",
        "metric=A",
        "metric=a%00",
        "page=0",
        "page=1000001",
        "since=2026-01-01T00:00:00Z",
        "from_=2026-01-01T00:00:00Z",
    ],
)
def test_invalid_range_is_refused(client: FlaskClient, query: str) -> None:
    """422 names the invalid or unknown parameter."""
    body = is_problem(client.get(f"{READINGS}?{query}"), 422)
    assert list(body["errors"]["query"]) == [query.split("=")[0]]


@pytest.mark.parametrize(
    "method", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "X" * 200, "get\x7f"]
)
def test_405_lists_the_allowed_methods(client: FlaskClient, app: Flask, method: str) -> None:
    """No method creates a series."""
    answer = client.open(READINGS, method=method)
    is_problem(answer, 405)
    assert set(answer.allow) == {"GET", "HEAD", "OPTIONS", "POST"}
    registry = app_state(app).registry
    assert not any(
        method in s.labels.values() for metric in registry.collect() for s in metric.samples
    )


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([at(0), "level_m", "2026-01-01T00:00:00Z", "NaN"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["readings", "metric", "time", "value"]) | st.text(), inner, max_size=4
        )
        | st.fixed_dictionaries({"metric": inner, "time": inner, "value": inner})
    ),
    max_leaves=12,
)


@given(
    body=anything
    | anything.map(lambda x: {"readings": x})
    | st.lists(anything, max_size=5).map(lambda x: {"readings": x})
)
@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_json_is_stored_or_refused(client: FlaskClient, body: Any) -> None:
    """None is answered with 5xx."""
    answer = client.post(
        READINGS, data=json.dumps(body).encode("utf-8", "surrogatepass"), content_type=RAW
    )
    assert answer.status_code in (201, 400, 422), answer.text


@given(data=st.binary(max_size=200))
@settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_invalid_bytes_are_refused(client: FlaskClient, data: bytes) -> None:
    """None is answered with 5xx."""
    assert client.post(READINGS, data=data, content_type=RAW).status_code in (400, 422)


seconds = st.one_of(st.none(), st.integers(-5, 45))


@given(
    readings=st.sets(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 40)), max_size=30),
    start=seconds,
    end=seconds,
    metric=st.sampled_from([None, "a", "b", "c"]),
    page=st.integers(1, 4),
    page_size=st.integers(1, 12),
)
@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_range_equals_that_of_a_list(
    client: FlaskClient,
    readings: set[tuple[str, int]],
    start: int | None,
    end: int | None,
    metric: str | None,
    page: int,
    page_size: int,
) -> None:
    """Any range, metric and page gives what filtering, sorting and slicing a list gives."""
    client.delete("/api/v1/nodes/model")
    assert client.post("/api/v1/nodes", json=NODE | {"id": "model"}).status_code == 201
    if readings:
        body = batch(*(reading(second, float(second), name) for name, second in readings))
        assert client.post("/api/v1/nodes/model/readings", json=body).status_code == 201
    query: dict[str, Any] = {"page": page, "page_size": page_size}
    if start is not None:
        query["from"] = at(start)
    if end is not None:
        query["to"] = at(end)
    if metric:
        query["metric"] = metric
    answer = client.get("/api/v1/nodes/model/readings", query_string=query).get_json()

    last = 1_000 if end is None else end
    first = start
    if first is None:
        first = -100 if end is None else end - 86_400
    expected = sorted(
        (second, name)
        for name, second in readings
        if first <= second < last and metric in (None, name)
    )
    on_page = expected[(page - 1) * page_size : page * page_size]
    assert [(item["value"], item["metric"]) for item in answer["items"]] == on_page
    assert (answer["total"], answer["page"], answer["page_size"]) == (
        len(expected),
        page,
        page_size,
    )


def test_largest_batch_is_stored_and_read_back(client: FlaskClient, node: str) -> None:
    """The client validates the 1 000 readings of the response against the schema."""
    assert node
    readings = [reading(second) for second in range(1_000)]
    assert client.post(READINGS, json=batch(*readings)).status_code == 201
    assert client.get(f"{READINGS}?page_size=1000").get_json()["total"] == 1_000


def test_repeated_metric_in_the_query_is_refused(client: FlaskClient, node: str) -> None:
    """422 names the parameter."""
    assert node
    answer = client.get(f"{READINGS}?metric=a&metric=b")
    assert list(is_problem(answer, 422)["errors"]["query"]) == ["metric"]
