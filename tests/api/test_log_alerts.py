"""The log alerts of the catalogue match the lines that the app writes."""

import json
from unittest.mock import Mock

import pytest

from api.platform import keys
from api.platform.telemetry import logs
from observability.spec import loading
from tests.api.conftest import MakeApp

LOG_ALERTS = {
    alert.name: alert.entry for alert in loading.load_plan().log_alerts if alert.entry.text
}


def test_texts_of_log_alerts_are_constants_of_the_app() -> None:
    """Each is defined beside the code that logs it."""
    texts = {entry.text for entry in LOG_ALERTS.values()}
    assert texts == {logs.ACCESS, logs.UNHANDLED_EXCEPTION}


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("name", LOG_ALERTS)
def test_failed_request_writes_a_line_that_the_alert_matches(
    name: str,
    make_app: MakeApp,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The line contains the text of the alert and has its level."""
    entry = LOG_ALERTS[name]
    client = make_app().test_client()
    monkeypatch.setattr(keys, "page", Mock(side_effect=ZeroDivisionError))
    assert client.get("/api/v1/keys").status_code == 500
    lines = [line for line in capsys.readouterr().err.splitlines() if str(entry.text) in line]
    assert len(lines) == 1
    level = json.loads(lines[0])["level"].lower()  # as Fluent Bit writes the label
    assert entry.level in {None, level}
