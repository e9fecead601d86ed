"""Alertmanager's default receiver: the newest notifications on disk, one JSON line each."""

import json
import os
import threading
import time
from contextlib import suppress
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from observability.lib.json_object import Json

MAX_ALERTS = 500  # the newest; pages and answers stay fast
MAX_FILE_BYTES = 4 << 20  # then only the newest notifications stay
KEPT_BYTES = 2 << 20


class NotifiedAlert(BaseModel):
    """One alert of a notification, as Alertmanager's webhook (version 4) sends it."""

    model_config = ConfigDict(extra="allow")

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    fingerprint: str = ""
    status: str = ""
    starts_at: str = Field("", alias="startsAt")


class Notification(BaseModel):
    """A notification with the Unix time of its delivery, by default now."""

    at: float = Field(default_factory=time.time)
    receiver: str = ""
    alerts: list[NotifiedAlert] = []


class NotificationStore:
    """Delivered alerts: a repeat only increases the counter, a resolution closes the alert."""

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()
        self._alerts: dict[tuple[str, str], Json] = {}  # by fingerprint and start
        self.last_delivery: float | None = None  # Unix time, repeats included
        if path.exists():
            with suppress(OSError):  # without space for a shorter file, the long one stays
                self._make_room(0)
            self._read()

    def deliver(self, body: bytes) -> None:
        """Store one notification, on disk first.

        Raise ValueError for anything else, and OSError, having stored nothing, without space.
        """
        notification = parse_notification(body)
        line = notification.model_dump_json(by_alias=True).encode() + b"\n"
        with self._lock:
            if self._path.exists():
                self._make_room(len(line))
            append(self._path, line)
            self._add(notification)

    def _read(self) -> None:
        """Replace the alerts by those of the file; remove the cut line that a killed process left.

        The next notification would otherwise continue that line, and be lost with it.
        """
        content = self._path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            os.truncate(self._path, end)
        self._alerts.clear()
        for line in content[:end].splitlines():
            with suppress(ValueError):
                self._add(Notification.model_validate_json(line))

    def _make_room(self, size: int) -> None:
        """Remove the oldest notifications when the file has no room for `size` more bytes."""
        if self._path.stat().st_size + size <= MAX_FILE_BYTES:
            return
        with self._path.open("rb") as file:
            file.seek(-KEPT_BYTES, os.SEEK_END)
            file.readline()  # the end of a notification that is too old
            newest = file.read()
        draft = self._path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        append(draft, newest)
        draft.replace(self._path)
        self._read()

    def _add(self, notification: Notification) -> None:
        for alert in notification.alerts:
            new = {
                "labels": alert.labels,
                "receiver": notification.receiver,
                "started": unix_seconds(alert.starts_at),
                "delivered": notification.at,
                "resolved": None,
                "notifications": 0,
            }
            stored = self._alerts.setdefault((alert.fingerprint, alert.starts_at), new)
            stored["notifications"] += 1
            stored["annotations"] = alert.annotations
            if alert.status == "resolved" and stored["resolved"] is None:
                stored["resolved"] = notification.at
        while len(self._alerts) > MAX_ALERTS:
            oldest = next(iter(self._alerts))
            del self._alerts[oldest]
        self.last_delivery = notification.at

    def alerts(self) -> list[Json]:
        """Return a copy of every alert, the latest delivery first."""
        with self._lock:
            alerts = [dict(alert) for alert in self._alerts.values()]
        return sorted(alerts, key=itemgetter("delivered"), reverse=True)


def parse_notification(body: bytes) -> Notification:
    """Return the notification, delivered now; raise ValueError, also for a repeated key."""
    try:
        members = json.loads(body, object_pairs_hook=members_once)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    notification = Notification.model_validate(members)
    notification.at = time.time()
    return notification


def members_once(pairs: list[tuple[str, Any]]) -> Json:
    """Return the members of a JSON object; raise ValueError when a key is repeated."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key is repeated")
    return members


def append(path: Path, text: bytes) -> None:
    """Append the text to the file, whole or not at all; raise OSError."""
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        rest = memoryview(text)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            file.truncate(end)
            raise


def unix_seconds(text: str) -> float | None:
    """Return the Unix time of an RFC 3339 text with any number of digits, None for another text."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
