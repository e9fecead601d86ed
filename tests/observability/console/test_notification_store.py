"""Notifications are stored once, and survive restarts and truncated lines."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from observability.console.notification_store import (
    MAX_ALERTS,
    MAX_FILE_BYTES,
    NotificationStore,
    unix_seconds,
)
from tests.observability.console.reading import notification


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Let writes of this process fail, after a part of the text, like those to a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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
    path.write_text(text[:-20], encoding="utf-8")
    after = NotificationStore(path)
    assert len(after.alerts()) == 1
    after.deliver(json.dumps(notification(fingerprint="f3")).encode())
    assert len(NotificationStore(path).alerts()) == 2


def test_the_file_and_the_alerts_are_bounded(tmp_path: Path) -> None:
    """Whatever is delivered, the newest alerts stay, and a new process has the same ones."""
    path = tmp_path / "inbox.jsonl"
    store = NotificationStore(path)
    summary = {"summary": "x" * 500_000}
    for number in range(25):
        body = notification(fingerprint=f"large {number}", annotations=summary)
        store.deliver(json.dumps(body).encode())
        assert path.stat().st_size <= MAX_FILE_BYTES
    large = [alert["delivered"] for alert in store.alerts()]
    assert 4 <= len(large) <= 8
    assert NotificationStore(path).alerts() == store.alerts()
    for number in range(MAX_ALERTS + 10):
        store.deliver(json.dumps(notification(fingerprint=f"small {number}")).encode())
    assert len(store.alerts()) == MAX_ALERTS
    assert max(large) < min(alert["delivered"] for alert in store.alerts())
    assert NotificationStore(path).alerts() == store.alerts()


def test_a_file_that_an_earlier_release_grew_is_shortened(tmp_path: Path) -> None:
    """The newest notifications stay."""
    path = tmp_path / "inbox.jsonl"
    line = json.dumps(notification(annotations={"summary": "x" * 1000}) | {"at": 1.0}) + "\n"
    newest = json.dumps(notification(fingerprint="newest") | {"at": 2.0}) + "\n"
    path.write_text(line * 10_000 + newest, encoding="utf-8")
    store = NotificationStore(path)
    assert path.stat().st_size <= MAX_FILE_BYTES
    assert store.last_delivery == 2.0
    assert len(store.alerts()) == 2


def test_a_delivery_without_space_stores_nothing(tmp_path: Path) -> None:
    """No part of it stays in the file or in memory; the next delivery is stored."""
    path = tmp_path / "inbox.jsonl"
    store = NotificationStore(path)
    store.deliver(json.dumps(notification()).encode())
    before = path.read_bytes()
    with files_limited_to(len(before) + 100), pytest.raises(OSError, match="large"):
        store.deliver(json.dumps(notification(fingerprint="f2")).encode())
    assert path.read_bytes() == before
    assert len(store.alerts()) == 1
    store.deliver(json.dumps(notification(fingerprint="f3")).encode())
    assert NotificationStore(path).alerts() == store.alerts()
    assert len(store.alerts()) == 2


def test_a_file_that_cannot_be_shortened_is_read(tmp_path: Path) -> None:
    """The console starts without space, too; no half of a shorter file stays."""
    path = tmp_path / "inbox.jsonl"
    line = json.dumps(notification(annotations={"summary": "x" * 1000}) | {"at": 1.0}) + "\n"
    path.write_text(line * 5_000, encoding="utf-8")
    with files_limited_to(1_000_000):
        store = NotificationStore(path)
        assert len(store.alerts()) == 1
        with pytest.raises(OSError, match="large"):
            store.deliver(json.dumps(notification(fingerprint="f2")).encode())
    store.deliver(json.dumps(notification(fingerprint="f3")).encode())
    assert path.stat().st_size <= MAX_FILE_BYTES
    assert NotificationStore(path).alerts() == store.alerts()
    assert len(store.alerts()) == 2


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
