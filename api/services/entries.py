"""Entries of ThingSpeak's feeds: their grammar, and which of their values are readings."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from api.platform import wire
from api.platform.types import JsonObject
from api.services import limits

FIELD_NAMES = tuple(f"field{number}" for number in range(1, 9))  # of a channel
# Why a value is no reading; those of limits.LIMITS are such reasons, too.
NOT_A_NUMBER = "not_a_number"
INVALID_ENTRY = "invalid_entry"
CONFLICT = "conflict"
CREATED_AT = "created_at"
ENTRY_ID = "entry_id"


class Reject(NamedTuple):
    """A value of a channel that is no reading; `entry` tells it from others like it."""

    field: str
    reason: str
    entry: str
    text: str  # of the value


@dataclass(frozen=True)
class Entry:
    """One feed entry: its fields that hold numbers, and those that hold other texts.

    Empty fields are gaps, and left out.
    """

    id: int
    time: datetime
    fields: dict[str, float]
    other_texts: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The id and time; a channel that was cleared starts its ids again."""
        return f"{self.id} at {self.time.isoformat()}"

    def readings(self, metrics: dict[str, str]) -> list[JsonObject]:
        """Return {"metric", "time", "value", "field", "entry"} of each field in `metrics`."""
        return [
            {
                "metric": metric,
                "time": self.time,
                "value": self.fields[name],
                "field": name,
                "entry": self.label,
            }
            for name, metric in metrics.items()
            if name in self.fields
        ]

    def rejects(self, metrics: dict[str, str]) -> list[Reject]:
        """Return the fields in `metrics` that hold no number."""
        return [
            Reject(name, NOT_A_NUMBER, self.label, text)
            for name, text in self.other_texts.items()
            if name in metrics
        ]


def split_readings(
    entries: list[Entry], metrics: dict[str, str]
) -> tuple[list[JsonObject], list[Reject]]:
    """Return the readings of the fields in `metrics`, and the values that are none."""
    accepted = []
    rejects = []
    for entry in entries:
        rejects += entry.rejects(metrics)
        for reading in entry.readings(metrics):
            if reason := limits.exceeded(reading):
                rejects.append(reject(reading, reason))
            else:
                accepted.append(reading)
    return accepted, rejects


def reject(reading: JsonObject, reason: str) -> Reject:
    """Return a reading of an entry as a reject."""
    return Reject(reading["field"], reason, reading["entry"], repr(reading["value"]))


def parse_entry(feed: Any) -> Entry | Reject:
    """Return an element of `feeds` as an entry, or as a reject when its time or id is unusable."""
    if not isinstance(feed, dict):
        return Reject(ENTRY_ID, INVALID_ENTRY, "", short_text(feed))
    label = f"{short_text(feed.get(ENTRY_ID))} at {short_text(feed.get(CREATED_AT))}"
    try:
        entry_id = wire.parse_whole(str(feed.get(ENTRY_ID)))
    except ValueError:
        return Reject(ENTRY_ID, INVALID_ENTRY, label, short_text(feed.get(ENTRY_ID)))
    try:
        time = parse_time(str(feed.get(CREATED_AT)))
    except (ValueError, OverflowError):
        return Reject(CREATED_AT, INVALID_ENTRY, label, short_text(feed.get(CREATED_AT)))
    entry = Entry(entry_id, time, {})
    for name in FIELD_NAMES:
        value = feed.get(name)
        if value is None or (isinstance(value, str) and not value.strip(wire.SPACE)):
            continue
        number = parse_number(value)
        if number is None:
            entry.other_texts[name] = short_text(value)
        else:
            entry.fields[name] = number
    return entry


def short_text(value: Any) -> str:
    """Return the start of a text or number as a log line shows it; of others only the type."""
    if isinstance(value, str | int | float):
        return repr(value)[:50]
    return type(value).__name__


def parse_time(text: str) -> datetime:
    """Return a time in UTC; a text without a zone is in UTC. Raise an error for anything else."""
    time = wire.parse_time(text)
    if time.tzinfo is None:
        return time.replace(tzinfo=UTC)
    return time.astimezone(UTC)


def parse_number(value: Any) -> float | None:
    """Return the number in a field, a decimal text or a JSON number; None without one.

    It is infinite when it is too large for a float.
    """
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    with suppress(ValueError):
        return wire.parse_decimal(str(value))
    return None
