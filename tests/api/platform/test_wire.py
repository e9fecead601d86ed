"""Numbers and times in texts from outside: decimal ASCII, and ISO 8601's extended format."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest

from api.platform import wire


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("0", 0.0), ("-1.5", -1.5), ("+.5", 0.5), ("5.", 5.0), ("1e3", 1000.0)),
        *(("1E-3", 0.001), (" \t1\r\n", 1.0), ("1e999", math.inf), ("-1e999", -math.inf)),
    ],
)
def test_decimal_numbers(text: str, number: float) -> None:
    """Sign, fraction and exponent may be missing; spaces around are ignored."""
    assert wire.parse_decimal(text) == number


@pytest.mark.parametrize(
    "text", ["", " ", "1,5", "1_0", "٣", "nan", "inf", "0x1", "1e", ".", "1\u00a0", "1\0", "1 2"]
)
def test_other_texts_are_no_decimal_numbers(text: str) -> None:
    """That includes what only Python reads as a number."""
    with pytest.raises(ValueError, match="no decimal number"):
        wire.parse_decimal(text)


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1\n", "1_0", "٣", "1.0", "9" * 19])
def test_other_texts_are_no_whole_numbers(text: str) -> None:
    """Only 1 to 18 digits are; so the number fits into every database."""
    assert wire.parse_whole("007") == 7
    with pytest.raises(ValueError, match="no whole number"):
        wire.parse_whole(text)


INDIA = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02t03:04:05z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02 03:04+0530", datetime(2026, 1, 2, 3, 4, tzinfo=INDIA)),
        ("2026-01-02T03:04:05.123456789+05:30", datetime(2026, 1, 2, 3, 4, 5, 123456, INDIA)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5)),
    ],
)
def test_times(text: str, time: datetime) -> None:
    """Zone, seconds and fraction may be missing; digits beyond microseconds are cut off."""
    assert wire.parse_time(text) == time


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2026-01-02", "20260102T030405Z", "2026-W01-1T00:00:00Z"),
        *("2026-01-02_03:04:05Z", "2026-01-02T03:04:05,5Z", "٢٠٢٦-01-02T03:04:05Z"),
        *("2026-01-02T03:04:05Z\0", "2026-01-02T03:04:05Z\n", "2026-01-02T03", "2026-13-02T03:04Z"),
    ],
)
def test_other_texts_are_no_times(text: str) -> None:
    """That includes what only Python reads as a time."""
    with pytest.raises(ValueError, match=r"."):
        wire.parse_time(text)
