"""The HTML that pages share."""

from pathlib import Path

import observability

PACKAGE = Path(observability.__file__).parent


def test_every_table_is_that_of_the_macro() -> None:
    """So each can be scrolled by keyboard, and has a name for screen readers."""
    templates = PACKAGE.rglob("*.html")
    assert [path.name for path in templates if "<table" in path.read_text("utf-8")] == [
        "table.html"
    ]
