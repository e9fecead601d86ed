"""Durations and decimals: how they are read from text and written as text."""

import re
from decimal import Decimal
from typing import Any, NamedTuple

UNIT_SECONDS = {
    "d": Decimal(86400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
# PromQL also has weeks and years, and joins units: 1w, 1h30m.
PROMQL_UNIT_SECONDS = UNIT_SECONDS | {"w": 7 * UNIT_SECONDS["d"], "y": 365 * UNIT_SECONDS["d"]}


class Duration(NamedTuple):
    """A duration as it was written (`200ms`) and in seconds (`Decimal("0.2")`)."""

    text: str
    seconds: Decimal


def parse_duration(value: Any) -> Duration:
    """Return the Duration of `200ms`, `5s`, `1m`, `6h` or `30d`; raise ValueError for others."""
    if isinstance(value, Duration):
        return value
    match = re.fullmatch(r"([0-9]+)(ms|s|m|h|d)", str(value))
    if not match:
        raise ValueError(
            f"{value!r} is no duration; write a whole number and one of ms, s, m, h, d, as in 200ms"
        )
    return Duration(str(value), Decimal(match[1]) * UNIT_SECONDS[match[2]])


def parse_positive_duration(value: Any) -> Duration:
    """Return a Duration above zero; raise ValueError for anything else."""
    duration = parse_duration(value)
    if not duration.seconds:
        raise ValueError(f"{value!r} is no time at all; write a duration above zero, as in 200ms")
    return duration


def parse_promql_duration(text: str) -> Decimal:
    """Return the seconds of a duration in PromQL: `1h30m`, or a plain number of seconds."""
    parts = re.findall(r"(\d+)(ms|[smhdwy])", text)
    if not parts:
        return Decimal(text)
    return sum((Decimal(count) * PROMQL_UNIT_SECONDS[unit] for count, unit in parts), Decimal(0))


def format_duration(seconds: Decimal) -> str:
    """Return the shortest exact Prometheus duration: 300 → 5m, 90 → 90s, 0.5 → 500ms."""
    if not seconds:
        return "0s"
    for unit, unit_seconds in UNIT_SECONDS.items():
        if seconds >= unit_seconds and seconds % unit_seconds == 0:
            return f"{seconds / unit_seconds:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms"


def format_decimal(number: Decimal) -> str:
    """Return a decimal without exponent and trailing zeros: 99.90 → 99.9, 1E+1 → 10."""
    text = f"{number:f}"
    if "." not in text:
        return text
    return text.rstrip("0").rstrip(".")
