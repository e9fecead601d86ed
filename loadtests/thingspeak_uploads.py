"""Channels that devices upload to: late, several devices on one channel, cleared, incomplete.

As in ThingSpeak, the id of an entry says when it arrived, `created_at` when it was measured, and a
channel that was cleared counts its ids from 1 again. Standard library only.
"""

import json
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

FEED_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
UPLOAD_PATH = re.compile(r"/channels/(?P<channel>\d+)/bulk_update\.json", re.ASCII)
DELETE_PATH = re.compile(r"/channels/(?P<channel>\d+)/feeds(/(?P<entry>\d+))?\.json", re.ASCII)
Entry = dict[str, Any]  # as in feeds: created_at, entry_id, field1 to field8


@dataclass
class UploadedChannel:
    """The entries of one channel in the order of their arrival."""

    number: int
    last_entry_id: int = 0
    entries: list[Entry] = field(default_factory=list)

    def upload(self, updates: list[Entry]) -> None:
        """Append an entry for each update, which has `created_at` and fields; give it the next id.

        Append nothing and raise KeyError, TypeError or ValueError when an update has no valid time.
        """
        times = [read_time(update["created_at"]) for update in updates]
        for update, time in zip(updates, times, strict=True):
            self.last_entry_id += 1
            identity = {"created_at": time.strftime(FEED_TIME_FORMAT)}
            self.entries.append(update | identity | {"entry_id": self.last_entry_id})

    def delete(self, entry_id: int) -> None:
        """Remove one entry; its id is never given again."""
        self.entries = [entry for entry in self.entries if entry["entry_id"] != entry_id]

    def clear(self) -> None:
        """Remove all entries; the next one has the id 1."""
        self.entries = []
        self.last_entry_id = 0

    def feed(self, first: float, last: float, limit: int) -> dict[str, Any]:
        """Return the newest entries by `created_at` from `first` to `last` (Unix times)."""
        selected = [entry for entry in self.entries if first <= measured_at(entry) <= last]
        selected.sort(key=measured_at)
        omitted = max(0, len(selected) - limit)
        description = {"id": self.number, "last_entry_id": self.last_entry_id or None}
        return {"channel": description, "feeds": selected[omitted:]}


class UploadedChannels:
    """Channels by number, but for `reserved` numbers; safe to use from several threads."""

    def __init__(self, reserved: Iterable[int] = ()) -> None:
        self._reserved = {str(number) for number in reserved}
        self._channels: dict[str, UploadedChannel] = {}
        self._lock = threading.Lock()

    def feed(self, number: str, first: float, last: float, limit: int) -> dict[str, Any] | None:
        """Return the channel's feed; None when nothing was uploaded to it."""
        with self._lock:
            if number not in self._channels:
                return None
            return self._channels[number].feed(first, last, limit)

    def upload(self, path: str, body: bytes) -> bool:
        """Execute ThingSpeak's call for bulk uploads, which creates a channel; False if invalid."""
        target = UPLOAD_PATH.fullmatch(path)
        if not target or target["channel"] in self._reserved:
            return False
        number = target["channel"]
        with self._lock:
            channel = self._channels.get(number) or UploadedChannel(int(number))
            try:
                channel.upload(json.loads(body)["updates"])
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                return False
            self._channels[number] = channel
        return True

    def delete(self, path: str) -> bool:
        """Clear a channel or delete an entry; False for any other path."""
        target = DELETE_PATH.fullmatch(path)
        if not target or target["channel"] not in self._channels:
            return False
        with self._lock:
            channel = self._channels[target["channel"]]
            if target["entry"]:
                channel.delete(int(target["entry"]))
            else:
                channel.clear()
        return True


def read_time(text: str) -> datetime:
    """Return a time in UTC; a text without a zone is in UTC. Raise TypeError or ValueError."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        return time.replace(tzinfo=UTC)
    return time.astimezone(UTC)


def measured_at(entry: Entry) -> float:
    """Return the time of an entry as Unix time."""
    return read_time(entry["created_at"]).timestamp()
