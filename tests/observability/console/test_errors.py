"""Error pages, and JSON errors below /api."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from observability.console import pages
from tests.observability.console.reading import read


def test_404_lists_the_pages(client: FlaskClient) -> None:
    """It contains no figures."""
    page = read(client, "/slo/nowhere", 404)
    assert "Page not found" in page.text
    assert "/slo/NAME" in page.text
    assert "Numbers are" not in page.text
    assert "this page refreshes every 10 s" in read(client).text


def test_500_names_the_log(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 as a page, with the log to read."""
    monkeypatch.setattr(pages, "images_of_board", lambda *_: 1 / 0)
    page = read(app.test_client(), "/", 500)
    assert "make logs P=console" in page.text


def test_errors_below_api_are_json(client: FlaskClient) -> None:
    """The JSON says which path exists."""
    answer = client.get("/api/other")
    assert (answer.status_code, answer.json) == (404, {"error": "only /api/inbox is here"})
    assert client.delete("/api/inbox").status_code == 405
