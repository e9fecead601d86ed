"""Notifications are stored once, and survive restarts and truncated lines."""

import json
from pathlib import Path

import pytest

from observability.console.notification_store import NotificationStore, unix_seconds
from tests.observability.console.reading import notification


def test_first_resolution_is_kept(tmp_path: Path) -> None:
    """A repeated resolution does not change the time."""
    store = NotificationStore(tmp_path / "i")
    store.deliver(json.dumps(notification(status="resolved")).encode())
    first = store.alerts()[0]["resolved"]
    store.deliver(json.dumps(notification(status="resolved")).encode())
    assert store.alerts()[0]["resolved"] == first


def test_deliveries_survive_a_restart(tmp_path: Path) -> None:
    """A new process reads the file, ignores a cut last line, and stores the next delivery."""
    path = tmp_path / "inbox.jsonl"
    before = NotificationStore(path)
    before.deliver(json.dumps(notification()).encode())
    before.deliver(json.dumps(notification(fingerprint="f2")).encode())
    assert NotificationStore(path).alerts() == before.alerts()
    assert NotificationStore(path).last_delivery == before.last_delivery
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:-20] + "\n", encoding="utf-8")
    after = NotificationStore(path)
    assert len(after.alerts()) == 1
    after.deliver(json.dumps(notification(fingerprint="f3")).encode())
    assert len(NotificationStore(path).alerts()) == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T01:00:01.5+01:00", 1.5),
        ("soon", None),
        ("", None),
    ],
)
def test_times_are_parsed_with_any_number_of_digits(text: str, value: float | None) -> None:
    """RFC 3339, as Alertmanager writes it."""
    assert unix_seconds(text) == value


def test_lines_are_json(tmp_path: Path) -> None:
    """Each line of the file is one JSON object."""
    path = tmp_path / "i"
    NotificationStore(path).deliver(json.dumps(notification()).encode())
    [line] = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["alerts"][0]["fingerprint"] == "f1"
