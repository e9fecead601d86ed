"""Alertmanager's default receiver: keeps every delivered notification on disk, one JSON line each."""

import json
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

RUBBISH = (
    ValueError,
    AttributeError,
    TypeError,
    RecursionError,
)  # what reading something else than a notification raises
Key = tuple[str, str]


class Inbox:
    """Delivered alerts by fingerprint and start: repeats change nothing but the counter, a resolution closes them."""

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()
        self._alerts: dict[Key, dict[str, Any]] = {}
        self.heard: float | None = None  # when something was delivered last, be it a repeat
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    self._take(json.loads(line))
                except RUBBISH:
                    continue  # the last line of a killed process may be cut

    def deliver(self, notification: dict[str, Any]) -> None:
        """Keeps one notification: on disk first, then in sight; raises one of RUBBISH, having kept nothing, for anything else."""
        record = {
            "at": time.time(),
            "receiver": notification.get("receiver", ""),
            "alerts": notification.get("alerts", []),
        }
        read(record)
        with self._lock:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            self._take(record)

    def _take(self, record: dict[str, Any]) -> None:
        for key, fresh, resolved in read(record):
            entry = self._alerts.setdefault(key, fresh)
            entry["notifications"] += 1
            entry["annotations"] = fresh["annotations"]
            if resolved and entry["resolved"] is None:
                entry["resolved"] = record["at"]
        self.heard = record["at"]

    def alerts(self) -> list[dict[str, Any]]:
        with self._lock:
            return sorted(
                (dict(alert) for alert in self._alerts.values()),
                key=lambda alert: -alert["delivered"],
            )


def read(record: dict[str, Any]) -> list[tuple[Key, dict[str, Any], bool]]:
    """Every alert of a record: what makes it the same one, its entry in the inbox, and whether it is over."""
    found = []
    for alert in record["alerts"]:
        entry = {
            "labels": texts(alert.get("labels", {})),
            "annotations": texts(alert.get("annotations", {})),
            "receiver": record["receiver"],
            "started": seconds(alert.get("startsAt")),
            "delivered": record["at"],
            "resolved": None,
            "notifications": 0,
        }
        found.append(
            (
                (str(alert.get("fingerprint", "")), str(alert.get("startsAt", ""))),
                entry,
                alert.get("status") == "resolved",
            )
        )
    return found


def texts(mapping: dict[str, str]) -> dict[str, str]:
    """The same with everything as text that can be written as UTF-8."""
    return {
        str(key): str(value).encode(errors="replace").decode() for key, value in mapping.items()
    }


def seconds(text: str | None) -> float | None:
    """RFC 3339 with any number of digits → Unix seconds."""
    try:
        return datetime.fromisoformat((text or "").replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None
