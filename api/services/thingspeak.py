"""A client for ThingSpeak's channel feeds: time spans in order, and the newest entries.

Source of the format: MathWorks, ThingSpeak REST API, "Read Data". A response has at most 8 000
entries and does not say which end it cut off. So a full response is never trusted: its span is
split, in half or at the time when the channel was created, and requested again.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import httpx

from api.platform import wire
from api.platform.outbound.circuit_breaker import CallError
from api.platform.outbound.guarded_calls import Guard, RetryPolicy, retry_after
from api.platform.types import JsonObject
from api.services.entries import Entry, Reject, parse_entry, parse_time

DEPENDENCY = "thingspeak"
SYNC_JOB = "thingspeak.sync"
MAX_ENTRIES = 8_000  # of one response
MAX_ERROR_LENGTH = 200  # characters
RECENT = 100  # entries among which the newest value of each field is sought
SECOND = timedelta(seconds=1)  # the resolution of created_at
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
ATTEMPTS = 4
# For requests; the sync may take longer.
INTERACTIVE = RetryPolicy(seconds=2.0, attempts=2, pause=0.5)


class ThingSpeakError(CallError):
    """Base of the errors of this client."""


class Unavailable(ThingSpeakError):
    """Time-out, refused connection, 429, 5xx or an invalid response: a retry may help."""

    def __init__(self, text: str, retry_after: float | None = None):
        super().__init__(text)
        self.retry_after = retry_after  # seconds, from the response's Retry-After


class NoAccess(ThingSpeakError):
    """`-1`, 400, 401 or 404: no such channel, or a wrong key; a retry does not help."""

    permanent = True


@dataclass(frozen=True)
class Feed:
    """Entries by time and id, and what is known about their channel.

    `rejects` are the entries whose time or id is unusable. Ids follow arrival: every id up to
    `last_entry_id`, which not every response has, was given to an entry.
    """

    entries: list[Entry]
    created_at: datetime | None
    last_entry_id: int | None
    rejects: list[Reject]

    @property
    def highest_id(self) -> int:
        """The highest id that is known to have been given to an entry; 0 without one."""
        return max(self.last_entry_id or 0, *(entry.id for entry in self.entries), 0)


@dataclass(frozen=True)
class Page:
    """The feed with the entries of a time span, whose first and last second are included.

    Entries may be missing from a full page.
    """

    first: datetime
    last: datetime
    feed: Feed
    full: bool = False

    def covers(self, time: datetime) -> bool:
        """Return whether the span includes the time."""
        return self.first <= time.replace(microsecond=0) <= self.last


class ThingSpeak:
    """A client of one server; safe to use from several threads."""

    def __init__(
        self,
        base_url: str,
        timeout: float,
        transport: httpx.BaseTransport | None = None,
    ):
        self._guard = Guard(DEPENDENCY, base_url, Unavailable, transport)
        self._policy = RetryPolicy(timeout, ATTEMPTS, pause=5.0)

    def feeds(
        self,
        channel: int,
        key: str | None,
        start: datetime,
        end: datetime,
        newest_first: bool = False,
    ) -> Iterator[Page]:
        """Yield pages that together cover start ≤ created_at ≤ end, in order of time.

        A page has up to 7 999 entries, oldest first. Raise ThingSpeakError or CallRefused.
        """
        spans = [(start.replace(microsecond=0), end.replace(microsecond=0))]
        while spans:
            first, last = spans.pop()
            page = self.page(channel, key, first, last)
            if page.full and last > first:
                middle = split_time(first, last, page.feed.created_at)
                halves = [(first, middle), (middle + SECOND, last)]
                spans += halves if newest_first else reversed(halves)
                continue
            yield page

    def page(self, channel: int, key: str | None, first: datetime, last: datetime) -> Page:
        """Return the entries of one response, whose span has whole seconds.

        Raise ThingSpeakError or CallRefused.
        """
        params = {
            "start": first.strftime(TIME_FORMAT),
            "end": last.strftime(TIME_FORMAT),
            "results": MAX_ENTRIES,
        }
        feed = self._get(channel, key, params, self._policy)
        size = len(feed.entries) + len(feed.rejects)
        page = Page(first, last, feed, full=size >= MAX_ENTRIES)
        # An entry from outside the requested span would move the caller's cursor too far.
        entries = [entry for entry in feed.entries if page.covers(entry.time)]
        return replace(page, feed=replace(feed, entries=entries))

    def newest(self, channel: int, key: str | None, end: datetime) -> Feed:
        """Return the newest entries up to a time, at most RECENT, for a caller that waits.

        Raise ThingSpeakError or CallRefused.
        """
        params = {"end": end.strftime(TIME_FORMAT), "results": RECENT}
        return self._get(channel, key, params, INTERACTIVE)

    def _get(self, channel: int, key: str | None, params: JsonObject, policy: RetryPolicy) -> Feed:
        if key:
            params["api_key"] = key
        path = f"/channels/{channel}/feeds.json"
        result = self._guard.get(path, params, parse_feed_or_refusal, policy)
        if isinstance(result, NoAccess):
            raise result
        return result


def split_time(first: datetime, last: datetime, created_at: datetime | None) -> datetime:
    """Return the last second of the earlier part of a span whose response was full.

    Imported entries may be older than their channel, so both parts are requested. The later part
    is at most half of the span, even if the creation time is wrong.
    """
    half = (first + (last - first) / 2).replace(microsecond=0)
    if created_at and half < created_at <= last:
        return created_at - SECOND
    return half


def parse_feed_or_refusal(response: httpx.Response) -> Feed | NoAccess:
    """Return the feed, or a refusal as a value.

    A wrong key is not a failure of ThingSpeak, but raised inside the guard it would count as one.
    """
    try:
        return parse_feed(response)
    except NoAccess as refusal:
        return refusal


def parse_feed(response: httpx.Response) -> Feed:
    """Return the response's feed; raise Unavailable or NoAccess for anything else."""
    raise_for_status(response)
    try:
        # Numbers stay texts: json fails for an integer of more than 4 300 digits.
        data = response.json(parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        text = response.text[:80]
        raise Unavailable(f"sent invalid JSON: {text!r}") from error
    if data == "-1":
        raise NoAccess("answered -1: the channel does not exist, or the key has no access to it")
    if not isinstance(data, dict) or not isinstance(data.get("feeds"), list):
        raise Unavailable("sent JSON without a list of feeds")
    parsed = [parse_entry(feed) for feed in data["feeds"]]
    rejects = [entry for entry in parsed if isinstance(entry, Reject)]
    entries = [entry for entry in parsed if isinstance(entry, Entry)]
    entries.sort(key=lambda entry: (entry.time, entry.id))
    return Feed(entries, parse_created_at(data), parse_last_entry_id(data), rejects)


def parse_created_at(data: JsonObject) -> datetime | None:
    """Return when the channel was created, in whole seconds; None without a valid time."""
    with suppress(TypeError, ValueError, KeyError, OverflowError):
        return parse_time(data["channel"]["created_at"]).replace(microsecond=0)
    return None


def parse_last_entry_id(data: JsonObject) -> int | None:
    """Return the last id of the channel; None when it has none, or the response tells none."""
    with suppress(TypeError, ValueError, KeyError):
        return wire.parse_whole(str(data["channel"]["last_entry_id"]))
    return None


def raise_for_status(response: httpx.Response) -> None:
    """Raise Unavailable or NoAccess for a status other than 200."""
    status = response.status_code
    if status == 429:
        raise Unavailable("rate limit exceeded (429)", retry_after(response))
    if status in (400, 401, 403, 404):
        raise NoAccess(f"refused with {status}: {error_text(response)}")
    if status != 200:
        raise Unavailable(f"answered {status}: {error_text(response)}")


def error_text(response: httpx.Response) -> str:
    """Return code and message of a documented error body, else its start, as a printable text."""
    try:
        error = response.json()["error"]
        text = f"{error['error_code']}: {error['message']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        text = response.text[:80]
    return wire.printable(text[:MAX_ERROR_LENGTH])
