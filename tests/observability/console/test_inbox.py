"""The webhook: what it accepts, what it refuses, and what the inbox shows."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from gunicorn.http.errors import InvalidChunkSize

from observability.console import inbox
from observability.devstack.layout import INBOX_KEY, StackLayout
from tests.observability.console.conftest import KEY
from tests.observability.console.reading import NOTIFIED, notification
from tests.observability.console.test_notification_store import files_limited_to

URL = "/api/inbox"
INVALID = [b"", b"{", b"[]", b"3", b'"words"', b"null", b"\xff\xfe", b"[" * 100_000]
INVALID += [
    json.dumps({"alerts": alerts}).encode()
    for alerts in (3, "abc", [3], [None], [{"labels": 3}], [{"annotations": "x"}])
]
INVALID += [
    b'{"alerts": [], "alerts": []}',
    b'{"alerts": [{"labels": {"slo": "a", "sl\\u006f": "b"}}]}',
    b'{"alerts": [], "more": [{"a": 1, "a": 1}]}',
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
    answer = client.post(URL, data=body, content_type="application/json")
    assert answer.status_code == 400
    assert "not a notification" in answer.json["error"]
    assert client.get(URL).json == {"alerts": []}
    assert not (tmp_path / "inbox.jsonl").exists()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_body_is_refused(client: FlaskClient, chunked: bool, tmp_path: Path) -> None:
    """More than 1 MiB is 413, with and without a declared length, and nothing is stored."""
    body = json.dumps(notification(annotations={"summary": "x" * inbox.MAX_BYTES})).encode()
    words: dict[str, Any] = {"data": body}
    if chunked:
        words = {
            "input_stream": io.BytesIO(body),
            "environ_overrides": {"wsgi.input_terminated": True},
        }
    answer = client.post(URL, content_type="application/json", **words)
    assert answer.status_code == 413
    assert client.get(URL).json == {"alerts": []}
    assert not (tmp_path / "inbox.jsonl").exists()


def test_a_malformed_chunk_is_refused(client: FlaskClient) -> None:
    """gunicorn finds it when the body is read."""

    class MalformedBody(io.BytesIO):
        def readinto(self, _: object) -> int:
            raise InvalidChunkSize(b"zz")

        def read(self, _: int | None = -1) -> bytes:
            raise InvalidChunkSize(b"zz")

    answer = client.post(
        URL,
        content_type="application/json",
        input_stream=MalformedBody(),
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == 400
    assert "chunked" in answer.json["error"]


def test_the_time_of_a_delivery_is_that_of_the_console(client: FlaskClient) -> None:
    """Whatever the sender says."""
    body = json.dumps(notification())
    sent = body.replace("{", '{"at": NaN, ', 1)
    assert client.post(URL, data=sent, content_type="application/json").status_code == 200
    [alert] = client.get(URL).json["alerts"]
    assert alert["delivered"] > 0


def test_without_space_alertmanager_is_told_to_repeat(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The response is 507 with the reason, without a traceback in the log."""
    with files_limited_to(100):
        answer = client.post(URL, json=notification())
    assert answer.status_code == 507
    assert "File too large" in answer.json["error"]
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.exc_info is None
    assert client.get(URL).json == {"alerts": []}
    assert client.post(URL, json=notification()).json == {"status": "kept"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer evara_another"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": KEY}, 401),
        ({"Authorization": f"Basic {KEY}"}, 401),
        ({"Authorization": "Bearer ümlaut"}, 401),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:8080"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Host": "evil.example:8080"}, 400),
    ],
)
def test_other_senders_are_refused(
    client: FlaskClient, headers: dict[str, str], status: int, tmp_path: Path
) -> None:
    """Only Alertmanager has the key; a web page of any origin is refused also with it."""
    wire = {"Content-Type": "application/json"} | headers
    wire = {name: value.encode().decode("latin-1") for name, value in wire.items()}
    answer = client.post(URL, data=json.dumps(notification()), headers=wire)
    assert answer.status_code == status
    assert client.get(URL).json == {"alerts": []}
    assert not (tmp_path / "inbox.jsonl").exists()


@pytest.mark.parametrize("text", [None, "", "\n"])
def test_without_a_key_nothing_is_stored(
    client: FlaskClient, layout: StackLayout, text: str | None
) -> None:
    """Before `up` has made the key, no delivery is accepted."""
    layout.key_file(INBOX_KEY).unlink()
    if text is not None:
        layout.key_file(INBOX_KEY).write_text(text, encoding="utf-8")
    for sent in ("", KEY):
        headers = {"Authorization": f"Bearer {sent}"}
        assert client.post(URL, json=notification(), headers=headers).status_code == 401
