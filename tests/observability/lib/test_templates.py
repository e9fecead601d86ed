"""Templates need no escapes, and fail without a value that they name."""

import pytest

from observability.lib.templates import fill
from observability.spec import names


def test_fields_are_arguments_or_names() -> None:
    """Lower case is an argument, capitals are a constant of spec/names.py."""
    assert fill("rate(<<TOTAL>>[<<window>>]) > <<limit>>", window="5m", limit=3) == (
        f"rate({names.TOTAL}[5m]) > 3"
    )


@pytest.mark.parametrize(
    "text",
    [
        'm{a="b", c=~"x|y"}[5m] > bool 0',
        "{{ with printf `m{slo='%[1]s'}` $labels.slo | query }}{{ . | first | value }}{{ end }}",
        '{service="x"} |~ "(?P<word>a)" | pattern `<ip> <_>`',
    ],
)
def test_other_braces_and_dollars_stay(text: str) -> None:
    """PromQL, Go templates and LogQL need no escapes."""
    assert fill(text) == text


def test_a_value_is_not_read_as_a_template() -> None:
    """A field inside a value stays text."""
    assert fill("<<a>>", a="<<b>>") == "<<b>>"


def test_a_missing_value_is_an_error() -> None:
    """A misspelt field does not reach a generated file."""
    with pytest.raises(KeyError, match="a"):
        fill("<<a>>", b=2)


def test_an_unknown_name_is_an_error() -> None:
    """Capitals must be a constant of spec/names.py."""
    with pytest.raises(AttributeError, match="NO_SUCH_NAME"):
        fill("<<NO_SUCH_NAME>>")
