"""Formats of times and texts."""

from observability.console.formats import prose


def test_prose_marks_code_and_nothing_else() -> None:
    """Backticks make code; everything else is escaped."""
    assert prose("run `make <x>` & <b>") == "run <code>make &lt;x&gt;</code> &amp; &lt;b&gt;"
