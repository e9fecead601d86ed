"""The webhook: what it accepts, what it refuses, and what the inbox shows."""

import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.observability.console.reading import NOTIFIED, notification

URL = "/api/inbox"
INVALID = [b"", b"{", b"[]", b"3", b'"words"', b"null", b"\xff\xfe", b"[" * 100_000]
INVALID += [
    json.dumps({"alerts": alerts}).encode()
    for alerts in (3, "abc", [3], [None], [{"labels": 3}], [{"annotations": "x"}])
]
INVALID.append(b'{"alerts": [{"labels": {"slo": "\\ud800"}}]}')  # half of a surrogate pair


def test_repeats_and_resolutions_update_the_entry(client: FlaskClient) -> None:
    """A repeat increases the counter, a resolution closes the entry."""
    assert client.get(URL).json == {"alerts": []}
    for changes in ({}, {}, {"status": "resolved", "annotations": {"summary": "over"}}):
        assert client.post(URL, json=notification(**changes)).json == {"status": "kept"}
    [alert] = client.get(URL).json["alerts"]
    assert alert["notifications"] == 3
    assert alert["labels"] == NOTIFIED["labels"]
    assert alert["annotations"] == {"summary": "over"}
    assert alert["receiver"] == "platform-page"
    assert alert["delivered"] <= alert["resolved"]


def test_an_alert_that_fires_again_is_another_entry(client: FlaskClient) -> None:
    """The newest entry is first."""
    client.post(URL, json=notification(status="resolved"))
    client.post(URL, json=notification(startsAt="2026-01-02T04:00:00Z"))
    alerts = client.get(URL).json["alerts"]
    assert [alert["resolved"] is None for alert in alerts] == [True, False]


@pytest.mark.parametrize("body", INVALID, ids=range(len(INVALID)))
def test_other_bodies_are_refused(body: bytes, client: FlaskClient, tmp_path: Path) -> None:
    """The response is 400, and nothing is stored."""
    answer = client.post(URL, data=body)
    assert answer.status_code == 400
    assert "not a notification" in answer.json["error"]
    assert client.get(URL).json == {"alerts": []}
    assert not (tmp_path / "inbox.jsonl").exists()


def test_a_huge_body_is_refused(client: FlaskClient) -> None:
    """No more than 4 MB of it are read."""
    assert (
        client.post(URL, json=notification(annotations={"summary": "x" * (4 << 20)})).status_code
        == 400
    )
    assert client.get(URL).json == {"alerts": []}
