"""Tests of reading a service's metrics page."""

from http.server import BaseHTTPRequestHandler

import pytest

from observability.lib.http import Unreachable
from observability.lib.metrics_page import fetch_page
from observability.lib.remote import Address
from tests.metrics_apps import answering

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4"
PAGES = {
    "/text": (TEXT, '# TYPE a_total counter\na_total{b="c"} 1\n'),
    "/bare": (TEXT, '# TYPE a counter\na{b="c"} 1\n'),
    "/openmetrics": (OPENMETRICS, '# TYPE a counter\na_total{b="c"} 1\n# EOF\n'),
    "/cut": (OPENMETRICS, '# TYPE a counter\na_total{b="c"} 1\n'),
    "/html": ("text/html", "<html>log in</html>"),
    "/json": ("application/json", '{"a": 1}'),
    "/words": ("text/plain", "this is my server\nwelcome to it\n"),
    "/empty": (TEXT, ""),
}


class Pages(BaseHTTPRequestHandler):
    """A server of those pages."""

    def do_GET(self) -> None:
        kind, text = PAGES[self.path]
        if "openmetrics-text;version=1.0.0" not in self.headers["Accept"]:
            kind, text = TEXT, "not_asked_for_openmetrics 1\n"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.mark.parametrize(
    ("path", "name"), [("/text", "a_total"), ("/bare", "a"), ("/openmetrics", "a_total")]
)
def test_names_are_those_that_prometheus_stores(path: str, name: str) -> None:
    """Whatever the format, and with or without `_total`."""
    with answering(Pages) as url:
        page = fetch_page(Address(url + path))
    assert page.samples == {name: [{"b": "c"}]}
    assert page.types == {"a": "counter"}
    assert page.url == url + path


@pytest.mark.parametrize("path", ["/cut", "/html", "/json", "/words", "/empty"])
def test_what_is_no_metrics_page_is_one_line(path: str) -> None:
    """It names the page and the fix."""
    with answering(Pages) as url, pytest.raises(Unreachable) as error:
        fetch_page(Address(url + path, ()))
    assert f"the metrics page at {url}{path} answers with" in str(error.value)
    assert "fix: name the page that Prometheus scrapes" in str(error.value)
    assert "\n" not in str(error.value)
