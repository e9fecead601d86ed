"""The inbox: what is delivered is kept, once, over restarts and cut lines."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from observability.console.notification_store import Inbox, seconds

FIRING = {
    "status": "firing",
    "labels": {"alertname": "X", "slo": "a"},
    "annotations": {"summary": "s"},
    "startsAt": "2026-01-02T03:04:05.123456789Z",
    "fingerprint": "f1",
}
URL = "/api/inbox"


def notification(**changes: Any) -> dict[str, Any]:
    return {"version": "4", "receiver": "platform-page", "alerts": [FIRING | changes]}


def test_an_alert_is_delivered_repeated_and_resolved(client: FlaskClient) -> None:
    """A repeat counts, a resolution closes; both are the same entry."""
    assert client.get(URL).json == {"alerts": []}
    for changes in ({}, {}, {"status": "resolved", "annotations": {"summary": "over"}}):
        assert client.post(URL, json=notification(**changes)).json == {"status": "kept"}
    [alert] = client.get(URL).json["alerts"]
    assert alert["notifications"] == 3
    assert alert["labels"] == FIRING["labels"]
    assert alert["annotations"] == {"summary": "over"}
    assert alert["receiver"] == "platform-page"
    assert alert["delivered"] <= alert["resolved"]


def test_the_same_alert_at_another_time_is_another_entry(client: FlaskClient) -> None:
    """What fires again is not hidden behind what was resolved; the newest is first."""
    client.post(URL, json=notification(status="resolved"))
    client.post(URL, json=notification(startsAt="2026-01-02T04:00:00Z"))
    alerts = client.get(URL).json["alerts"]
    assert [alert["resolved"] is None for alert in alerts] == [True, False]


def test_the_first_resolution_is_the_one_that_counts(tmp_path: Path) -> None:
    """A repeated resolution does not move the time."""
    inbox = Inbox(tmp_path / "i")
    inbox.deliver(notification(status="resolved"))
    first = inbox.alerts()[0]["resolved"]
    inbox.deliver(notification(status="resolved"))
    assert inbox.alerts()[0]["resolved"] == first


def test_what_was_delivered_survives_a_restart(tmp_path: Path) -> None:
    """A new process reads the file; a last line that was cut is passed over, and the next delivery is kept."""
    path = tmp_path / "inbox.jsonl"
    before = Inbox(path)
    before.deliver(notification())
    before.deliver(notification(fingerprint="f2"))
    assert Inbox(path).alerts() == before.alerts()
    assert Inbox(path).heard == before.heard
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:-20] + "\n", encoding="utf-8")
    after = Inbox(path)
    assert len(after.alerts()) == 1
    after.deliver(notification(fingerprint="f3"))
    assert len(Inbox(path).alerts()) == 2


RUBBISH = [b"", b"{", b"[]", b"3", b'"words"', b"null", b"\xff\xfe", b"[" * 100_000]
RUBBISH += [
    json.dumps({"alerts": alerts}).encode()
    for alerts in (3, "abc", [3], [None], [{"labels": 3}], [{"annotations": "x"}])
]


@pytest.mark.parametrize("body", RUBBISH, ids=range(len(RUBBISH)))
def test_other_bodies_are_refused(body: bytes, client: FlaskClient, tmp_path: Path) -> None:
    """400 with a sentence, and nothing is kept, neither in sight nor on disk."""
    answer = client.post(URL, data=body)
    assert answer.status_code == 400
    assert "not a notification" in answer.json["error"]
    assert client.get(URL).json == {"alerts": []}
    assert not (tmp_path / "inbox.jsonl").exists()


def test_a_body_beyond_all_measure_is_refused(client: FlaskClient) -> None:
    """No more than 4 MB of it are read."""
    assert (
        client.post(URL, json=notification(annotations={"summary": "x" * (4 << 20)})).status_code
        == 400
    )
    assert client.get(URL).json == {"alerts": []}


def test_other_paths_and_methods_are_refused_as_json(client: FlaskClient) -> None:
    """A program gets JSON that says what is here."""
    answer = client.get("/api/other")
    assert (answer.status_code, answer.json) == (404, {"error": "only /api/inbox is here"})
    assert client.delete(URL).status_code == 405


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T01:00:01.5+01:00", 1.5),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_times_are_read_with_any_digits(text: str | None, value: float | None) -> None:
    """RFC 3339, as Alertmanager writes it."""
    assert seconds(text) == value


def test_lines_are_json(tmp_path: Path) -> None:
    """The file is one object a line, for whoever reads it with other tools."""
    path = tmp_path / "i"
    Inbox(path).deliver(notification())
    [line] = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["alerts"][0]["fingerprint"] == "f1"
