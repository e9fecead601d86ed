"""A client for ThingSpeak's feeds: time-outs, retries with jitter, its documented errors, and whole ranges in order.

Source of the format: MathWorks, ThingSpeak REST API, "Read Data". A call gives at most 8 000 entries and does not say
which end it cut off, so a full answer is never trusted: its span is halved and asked for again.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import stamina

from api import identity, telemetry

DEPENDENCY = "thingspeak"
PAGE = 8_000
SECOND = timedelta(seconds=1)  # the resolution of created_at
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
ATTEMPTS = 4
log = logging.getLogger(__name__)


class ThingSpeakError(Exception):
    """Base of all that can go wrong here."""


class Unavailable(ThingSpeakError):
    """Time-out, refused connection, 5xx, or an answer that is not theirs: worth trying again."""


class Throttled(Unavailable):
    """429: asked too often."""


class NoAccess(ThingSpeakError):
    """`-1`, 400, 401 or 404: no such channel, or the key is wrong. Trying again does not help."""


@dataclass(frozen=True)
class Entry:
    """One feed entry: numeric fields only; gaps and texts that are no numbers are left out."""

    id: int
    time: datetime
    fields: dict[str, float]


class ThingSpeak:
    """Reads feeds of one server; safe to use from several threads."""

    def __init__(self, base_url: str, timeout: float, transport: httpx.BaseTransport | None = None):
        self._http = httpx.Client(base_url=base_url, timeout=timeout, transport=transport)

    def close(self) -> None:
        self._http.close()

    def feeds(self, channel: int, key: str | None, start: datetime, end: datetime) -> Iterator[list[Entry]]:
        """Entries with start ≤ created_at ≤ end, oldest first, in lists of fewer than 8 000; raises ThingSpeakError."""
        spans = [(start.replace(microsecond=0), end.replace(microsecond=0))]
        while spans:
            first, last = spans.pop()
            entries = self._page(channel, key, first, last)
            if len(entries) >= PAGE and last > first:
                middle = first + timedelta(seconds=int((last - first).total_seconds()) // 2)
                spans += [(middle + SECOND, last), (first, middle)]
                continue
            # An entry from outside the span that was asked for would carry the caller's mark along with it.
            if inside := [entry for entry in entries if first <= entry.time < last + SECOND]:
                yield inside

    def _page(self, channel: int, key: str | None, first: datetime, last: datetime) -> list[Entry]:
        """One call, tried again while it may help; not stamina's decorator, which would log the arguments and so the key."""
        entries: list[Entry] = []
        for attempt in stamina.retry_context(on=Unavailable, attempts=ATTEMPTS, timeout=60.0, wait_initial=0.2, wait_max=5.0):
            with attempt:
                entries = self._ask(channel, key, first, last)
        return entries

    def _ask(self, channel: int, key: str | None, first: datetime, last: datetime) -> list[Entry]:
        params: dict[str, Any] = {"start": first.strftime(TIME_FORMAT), "end": last.strftime(TIME_FORMAT), "results": PAGE}
        if key:
            params["api_key"] = key
        refused: NoAccess | None = None
        with telemetry.dependency_call(DEPENDENCY):
            try:
                entries = parse(self._http.get(f"/channels/{channel}/feeds.json", params=params, headers=identity.headers()))
            except httpx.HTTPError as error:
                raise Unavailable(f"channel {channel}: {type(error).__name__} {error}") from error
            except NoAccess as error:
                refused, entries = error, []  # a wrong key is our mistake, not an outage of theirs
        if refused:
            raise refused
        return entries


def parse(answer: httpx.Response) -> list[Entry]:
    """An answer → entries by time and id, each once; Unavailable, Throttled or NoAccess for anything else."""
    if answer.status_code == 429:
        raise Throttled("asked too often (429)")
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
    return sorted(entries.values(), key=lambda entry: (entry.time, entry.id))


def parse_entry(feed: Any) -> Entry | None:
    """One element of `feeds`; None when it has no usable time or id."""
    try:
        time = datetime.fromisoformat(feed["created_at"])
        values = {name: number(feed[name]) for name in feed if name.startswith("field")}
        kept = {name: value for name, value in values.items() if value is not None}
        return Entry(int(feed["entry_id"]), (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC), kept)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        log.warning("skipped a feed entry that cannot be read: %.100r", feed)
        return None


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
