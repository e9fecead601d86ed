"""The reasons why a command of the API failed."""

import pytest

from observability.devstack.flask_command import last_error

TRACEBACK = """\
Traceback (most recent call last):
  File "config.py", line 23, in from_environment
    return Settings()
           ^^^^^^^^^^
pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings
webhook_url
  String should match pattern '^https' [type=string_pattern_mismatch]
    For further information visit https://errors.pydantic.dev/2.14/v/string_pattern_mismatch
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            TRACEBACK,
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings"
            " webhook_url String should match pattern '^https' [type=string_pattern_mismatch]",
        ),
        ("warning\nthe file is missing\n", "the file is missing"),
        (
            "KeyError: 1\n\nDuring handling …\nRuntimeError: it is wrong",
            "RuntimeError: it is wrong",
        ),
        ("", "it says nothing"),
    ],
)
def test_the_reason_of_a_failure_is_one_line(output: str, reason: str) -> None:
    """The last exception with its details, without pydantic's link."""
    assert last_error(output) == reason
