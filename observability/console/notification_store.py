"""Alertmanager's default receiver: every delivered notification on disk, one JSON line each."""

import json
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

# The exceptions that reading anything but a notification raises
INVALID_NOTIFICATION = (ValueError, AttributeError, TypeError, RecursionError)
AlertKey = tuple[str, str]  # fingerprint and start


class NotificationStore:
    """Delivered alerts: a repeat only increases the counter, a resolution closes the alert."""

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()
        self._alerts: dict[AlertKey, dict[str, Any]] = {}
        self.last_delivery: float | None = None  # Unix time, repeats included
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                with suppress(*INVALID_NOTIFICATION):  # a killed process leaves a cut line
                    self._add(json.loads(line))

    def deliver(self, notification: dict[str, Any]) -> None:
        """Store one notification, on disk first.

        Raise one of INVALID_NOTIFICATION, and store nothing, for anything else.
        """
        record = {
            "at": time.time(),
            "receiver": notification.get("receiver", ""),
            "alerts": notification.get("alerts", []),
        }
        parse_alerts(record)
        with self._lock:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            self._add(record)

    def _add(self, record: dict[str, Any]) -> None:
        for key, entry, is_resolved in parse_alerts(record):
            stored = self._alerts.setdefault(key, entry)
            stored["notifications"] += 1
            stored["annotations"] = entry["annotations"]
            if is_resolved and stored["resolved"] is None:
                stored["resolved"] = record["at"]
        self.last_delivery = record["at"]

    def alerts(self) -> list[dict[str, Any]]:
        """Return a copy of every alert, the latest delivery first."""
        with self._lock:
            alerts = [dict(alert) for alert in self._alerts.values()]
        alerts.sort(key=lambda alert: -alert["delivered"])
        return alerts


def parse_alerts(record: dict[str, Any]) -> list[tuple[AlertKey, dict[str, Any], bool]]:
    """Return the key of each alert of a record, its entry, and whether it is resolved."""
    alerts = []
    for alert in record["alerts"]:
        fingerprint = str(alert.get("fingerprint", ""))
        start = str(alert.get("startsAt", ""))
        is_resolved = alert.get("status") == "resolved"
        entry = {
            "labels": as_texts(alert.get("labels", {})),
            "annotations": as_texts(alert.get("annotations", {})),
            "receiver": record["receiver"],
            "started": unix_seconds(alert.get("startsAt")),
            "delivered": record["at"],
            "resolved": None,
            "notifications": 0,
        }
        key = (fingerprint, start)
        alerts.append((key, entry, is_resolved))
    return alerts


def as_texts(mapping: dict[str, str]) -> dict[str, str]:
    """Return the mapping with every value as text that can be encoded as UTF-8."""
    texts = {}
    for key, value in mapping.items():
        texts[str(key)] = str(value).encode(errors="replace").decode()
    return texts


def unix_seconds(text: str | None) -> float | None:
    """Return the Unix time of an RFC 3339 text with any number of digits, None for another text."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None
