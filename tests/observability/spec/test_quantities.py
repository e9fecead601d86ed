"""Durations and decimals as text and back."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.spec.quantities import (
    UNIT_SECONDS,
    format_decimal,
    format_duration,
    parse_duration,
)


@given(st.decimals(min_value=Decimal("0.001"), max_value=10**7, places=3))
def test_a_formatted_duration_is_read_back(seconds: Decimal) -> None:
    """Seconds → Prometheus' notation → seconds, to the millisecond."""
    assert parse_duration(format_duration(seconds)).seconds == seconds


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=6))
def test_a_formatted_decimal_is_read_back(number: Decimal) -> None:
    """Written without exponent and idle zeros, and read back unchanged."""
    text = format_decimal(number)
    assert Decimal(text) == number
    assert "E" not in text.upper()
    assert not ("." in text and text.endswith(("0", ".")))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ("0", "0s"),
        ("0.2", "200ms"),
        ("90", "90s"),
        ("300", "5m"),
        ("7200", "2h"),
        ("2592000", "30d"),
    ],
)
def test_durations_have_their_largest_unit(seconds: str, text: str) -> None:
    """The notation that a person would choose."""
    assert format_duration(Decimal(seconds)) == text


@given(st.integers(0, 10**6), st.sampled_from(sorted(UNIT_SECONDS)))
def test_every_duration_is_read_exactly(number: int, unit: str) -> None:
    """A whole number and a unit is read without rounding; reading it again changes nothing."""
    found_ = parse_duration(f"{number}{unit}")
    assert found_ == (f"{number}{unit}", number * UNIT_SECONDS[unit])
    assert parse_duration(found_) is found_


@pytest.mark.parametrize(
    "text", ["", "5", "5 s", "-5s", "1.5s", "5m30s", "1w", "5S", "s", "٣d", None, 5]
)
def test_other_durations_are_refused(text: object) -> None:
    """Prometheus' notation with one unit is the only one."""
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)
