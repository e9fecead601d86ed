"""Entries of feeds: only decimal ASCII is a number, and only what keeps the limits a reading."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.models import LARGEST
from api.services.entries import Entry, Reject, parse_entry, parse_number, split_readings

START = datetime(2026, 1, 1, tzinfo=UTC)


def feed(**changes: Any) -> dict[str, Any]:
    return {"created_at": "2026-01-01T00:00:00Z", "entry_id": 1, "field1": "1.5"} | changes


@pytest.mark.parametrize(
    "entry_id", ["1_000", "٣", " 3", "3 ", "+3", "-3", "3.0", "", "9" * 19, -3, 3.0, True, None]
)
def test_an_entry_id_is_a_whole_number_in_ascii(entry_id: Any) -> None:
    """Whatever else Python's int() reads, the entry is rejected."""
    rejected = parse_entry(feed(entry_id=entry_id))
    assert isinstance(rejected, Reject)
    assert (rejected.field, rejected.reason) == ("entry_id", "invalid_entry")


@pytest.mark.parametrize(
    "created_at",
    [
        *("2026-W01-4", "20260101T000000Z", "2026-01-01", "2026-01-01_00:00:00Z"),
        *("2026-01-01T00:00:00,5Z", "٢٠٢٦-01-01T00:00:00Z", " 2026-01-01T00:00:00Z"),
        *("2026-01-01T00:00:00Z\0", "2026-01-01T24:00:00Z", "2026-13-01T00:00:00Z"),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    ],
)
def test_a_creation_time_is_a_date_and_a_time_in_ascii(created_at: str) -> None:
    """Whatever else Python's fromisoformat() reads, the entry is rejected."""
    rejected = parse_entry(feed(created_at=created_at))
    assert isinstance(rejected, Reject)
    assert (rejected.field, rejected.reason) == ("created_at", "invalid_entry")


@pytest.mark.parametrize(
    "created_at",
    ["2026-01-01T00:00:00Z", "2026-01-01 00:00:00", "2026-01-01T05:30:00.000+05:30"],
)
def test_every_form_of_a_creation_time_is_read(created_at: str) -> None:
    """ThingSpeak sends UTC or the zone that was asked for."""
    entry = parse_entry(feed(created_at=created_at))
    assert isinstance(entry, Entry)
    assert entry.time == START


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


@given(element=documents)
@settings(max_examples=300, deadline=None, database=None)
def test_no_feed_entry_breaks_the_parser(element: Any) -> None:
    """Any JSON value is an entry with readings in UTC within the limits, or a reject."""
    entry = parse_entry(element)
    if isinstance(entry, Reject):
        return
    assert entry.time.tzinfo is UTC
    readings, _ = split_readings([entry], {"field1": "level_m"})
    assert all(abs(reading["value"]) <= LARGEST for reading in readings)


NO_NUMBERS = [
    *("1,84", "1_000", "٣", "１", "-inf", "nan", "NaN", "infinity", "x", "0x10", "1e", "1.2.3"),
    *("--1", "1 000", "1\u00a0", "\u20031", "1\0", "+", ".", "e5", "1e٣", "−1", "1d5"),
    *(True, False, [], {}, float("nan"), float("inf")),
]


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_only_decimal_ascii_is_a_number(value: Any) -> None:
    """Whatever else Python's float() reads is none."""
    assert parse_number(value) is None


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *(("1.84", 1.84), ("-.5", -0.5), ("+7.", 7.0), ("1E-3", 0.001), (" 3\n", 3.0)),
        *((5, 5.0), (-0.25, -0.25), (1e22, 1e22), ("1e999", math.inf), ("9" * 400, math.inf)),
    ],
)
def test_decimal_numbers_are_read(value: Any, number: float) -> None:
    """Spaces around are ignored; a number beyond a float is infinite, and so out of range."""
    assert parse_number(value) == number


def test_readings_of_an_entry_keep_the_limits_of_requests() -> None:
    """A time, a value or a name beyond them is a reject with its reason."""
    early = datetime(1999, 12, 31, tzinfo=UTC)
    entries = [
        Entry(1, early, {"field1": 1.0}),
        Entry(2, START, {"field1": 2.0, "field2": 3.0, "field3": math.inf}),
    ]
    metric_by_field = {"field1": "level_m", "field2": "Odd name", "field3": "flow_lps"}
    readings, rejects = split_readings(entries, metric_by_field)
    assert [reading["value"] for reading in readings] == [2.0]
    assert [(reject.field, reject.reason) for reject in rejects] == [
        ("field1", "time_range"),
        ("field2", "metric_name"),
        ("field3", "value_range"),
    ]
