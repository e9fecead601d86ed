"""The page of a load run: it escapes, loads nothing from elsewhere, and marks disagreements."""

import re

from observability.load.pages import format_count, render_page
from observability.load.report import build_report
from tests.observability.load.support import PROFILE, locust_report, recording


def render(requests: int) -> str:
    """Return the page of a run of which the server counted so many requests."""
    report = build_report(PROFILE, locust_report(), recording(requests))
    return render_page("report.html", report=report | {"period": "30d"}, pictures=[])


def test_the_page_escapes_and_loads_nothing() -> None:
    """Responses are escaped; the page has no script and no external address."""
    page = render(requests=100)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert re.findall(r"<img[^>]*>|<link[^>]*>|@import|url\(", page) == []
    assert "default-src 'none'" in page


def test_the_page_marks_what_disagrees() -> None:
    """A disagreement has a sign and a text beside its colour."""
    page = render(requests=150)
    assert "Clients and server disagree" in page
    assert "Another client sent requests during the run" in page
    assert page.count('<td class="off ') == 2
    assert "≠" in page


def test_thousands_are_separated_by_narrow_spaces() -> None:
    """Counts are rounded, and readable in any language."""
    assert format_count(1234567.4) == "1\u202f234\u202f567"
