"""Generated YAML: any text is read as it was written, and long lines are unbroken."""

import pytest
import yaml

from observability.generate.yaml_text import HEADER, generated_yaml
from tests.observability.generate.test_hostile_text import TEXTS

CHARACTERS = (
    "",
    " a ",
    "yes",
    "1e3",
    "é ß 漢字",
    "😀",
    "tab\there",
    "a: b # c",
    "\u0085\u2028",
    "\x07",
)
LINES = ("one\ntwo\n", "one\ntwo", " indented\nless\n", "trailing \nspaces\n")


@pytest.mark.parametrize("text", [*TEXTS, *CHARACTERS, *LINES])
def test_text_is_read_as_it_was_written(text: str) -> None:
    """Whatever characters it contains, as a key, as a value and in a list."""
    data = {"key": text, text or "k": [text, {"inner": text}], "number": 1.5, "nothing": {}}
    assert yaml.safe_load(generated_yaml(data)) == data


def test_lines_are_what_a_diff_should_show() -> None:
    """A long line stays one; several lines are a block; the order is that of the data."""
    long = "word " * 500 + "end"
    data = {"z": long, "a": "one\ntwo\n"}
    assert generated_yaml(data) == f"{HEADER}z: {long}\na: |\n  one\n  two\n"
