"""A client for ThingSpeak's feeds, guarded by guarded_calls.py: its documented errors, whole ranges in order, and the newest entry.

Source of the format: MathWorks, ThingSpeak REST API, "Read Data". A call gives at most 8 000 entries and does not say
which end it cut off, so a full answer is never trusted: its span is halved, or cut where the channel was made, and asked for again.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
from flask import Flask, current_app

from api.config import Settings
from api.platform.outbound.guarded_calls import Guard, Patience, retry_after
from api.platform.outbound.redis_client import Shared

DEPENDENCY = "thingspeak"
PAGE = 8_000
SECOND = timedelta(seconds=1)  # the resolution of created_at
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
ATTEMPTS = 4
WAITING = Patience(
    seconds=2.0, attempts=2, pause=0.5
)  # of somebody who waits for the answer; the sync has more
Answer = tuple[
    list["Entry"], datetime | None
]  # by time and id, each once; when the channel was made, if that is told
log = logging.getLogger(__name__)


class ThingSpeakError(Exception):
    """Base of all that can go wrong here."""


class Unavailable(ThingSpeakError):
    """Time-out, refused connection, 429, 5xx, or an answer that is not theirs: worth trying again, after so many seconds if they say."""

    def __init__(self, text: str, retry_after: float | None = None):
        super().__init__(text)
        self.retry_after = retry_after


class NoAccess(ThingSpeakError):
    """`-1`, 400, 401 or 404: no such channel, or the key is wrong. Trying again does not help."""


@dataclass(frozen=True)
class Entry:
    """One feed entry: numeric fields only; gaps and texts that are no numbers are left out."""

    id: int
    time: datetime
    fields: dict[str, float]

    def readings(self, metrics: dict[str, str]) -> list[dict[str, Any]]:
        """{"metric", "time", "value"} of each field that is a metric of the node's."""
        named = [
            (metric, self.fields[name]) for name, metric in metrics.items() if name in self.fields
        ]
        return [{"metric": metric, "time": self.time, "value": value} for metric, value in named]


class ThingSpeak:
    """Reads feeds of one server; safe to use from several threads."""

    def __init__(
        self,
        base_url: str,
        timeout: float,
        transport: httpx.BaseTransport | None = None,
        shared: Shared | None = None,
    ):
        self._guard = Guard(DEPENDENCY, base_url, Unavailable, shared, transport)
        self._patience = Patience(timeout, ATTEMPTS, pause=5.0)

    def feeds(
        self, channel: int, key: str | None, start: datetime, end: datetime
    ) -> Iterator[list[Entry]]:
        """Entries with start ≤ created_at ≤ end, oldest first, in lists of fewer than 8 000; raises ThingSpeakError or Refused."""
        spans = [(start.replace(microsecond=0), end.replace(microsecond=0))]
        while spans:
            first, last = spans.pop()
            params = {
                "start": first.strftime(TIME_FORMAT),
                "end": last.strftime(TIME_FORMAT),
                "results": PAGE,
            }
            entries, created = self._ask(channel, key, params, self._patience)
            if len(entries) >= PAGE and last > first:
                half = (first + (last - first) / 2).replace(microsecond=0)
                # Imported entries may be older than their channel, so both parts are asked; the later is half at most, whatever is said.
                middle = created - SECOND if created and half < created <= last else half
                spans += [(middle + SECOND, last), (first, middle)]
                continue
            # An entry from outside the span that was asked for would carry the caller's mark along with it.
            if inside := [entry for entry in entries if first <= entry.time < last + SECOND]:
                yield inside

    def newest(self, channel: int, key: str | None) -> Entry | None:
        """The newest entry right now, for somebody who waits; None for an empty channel; raises ThingSpeakError or Refused."""
        return max(
            self._ask(channel, key, {"results": 1}, WAITING)[0],
            key=lambda entry: entry.time,
            default=None,
        )

    def _ask(
        self, channel: int, key: str | None, params: dict[str, Any], patience: Patience
    ) -> Answer:
        if key:
            params["api_key"] = key
        found = self._guard.get(
            f"/channels/{channel}/feeds.json", params, entries_or_refusal, patience
        )
        if isinstance(found, NoAccess):
            raise found
        return found


def init_app(app: Flask, settings: Settings, shared: Shared | None) -> None:
    app.extensions["evara_thingspeak"] = ThingSpeak(
        settings.thingspeak_url, settings.thingspeak_timeout, shared=shared
    )


def thingspeak() -> ThingSpeak:
    """The client of the current app."""
    return cast(ThingSpeak, current_app.extensions["evara_thingspeak"])


def entries_or_refusal(answer: httpx.Response) -> Answer | NoAccess:
    """As `parse`; a refusal is an answer, too: a wrong key is our mistake, not an outage of theirs."""
    try:
        return parse(answer)
    except NoAccess as refusal:
        return refusal


def parse(answer: httpx.Response) -> Answer:
    """What was answered; Unavailable or NoAccess for anything that is not entries."""
    if answer.status_code == 429:
        raise Unavailable("asked too often (429)", retry_after(answer))
    if answer.status_code in (400, 401, 403, 404):
        raise NoAccess(f"refused with {answer.status_code}: {told(answer)}")
    if answer.status_code != 200:
        raise Unavailable(f"answered {answer.status_code}: {told(answer)}")
    try:
        data = answer.json()
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"sent something that is not JSON: {answer.text[:80]!r}") from error
    if data in (-1, "-1"):
        raise NoAccess("answered -1: the channel does not exist, or the key has no access to it")
    feeds = data.get("feeds") if isinstance(data, dict) else None
    if not isinstance(feeds, list):
        raise Unavailable("sent JSON without a list of feeds")
    entries = {entry.id: entry for entry in map(parse_entry, feeds) if entry}
    created = None
    with suppress(TypeError, ValueError, KeyError, OverflowError):  # it is not told, or is no time
        created = utc(data["channel"]["created_at"]).replace(microsecond=0)
    return sorted(entries.values(), key=lambda entry: (entry.time, entry.id)), created


def parse_entry(feed: Any) -> Entry | None:
    """One element of `feeds`; None when it has no usable time or id."""
    try:
        kept = {
            name: value
            for name in feed
            if name.startswith("field") and (value := number(feed[name])) is not None
        }
        return Entry(int(feed["entry_id"]), utc(feed["created_at"]), kept)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        log.warning("skipped a feed entry that cannot be read: %.100r", feed)
        return None


def utc(text: str) -> datetime:
    """A time as they write it; one that names no zone is UTC."""
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


def number(text: Any) -> float | None:
    """Values come as strings; gaps, words, NaN and infinities are no readings."""
    try:
        value = float(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def told(answer: httpx.Response) -> str:
    """The documented error body's message, or the beginning of whatever came."""
    try:
        error = answer.json()["error"]
        return f"{error['error_code']}: {error['message']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return answer.text[:80]
