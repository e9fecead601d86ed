"""The lists of tests/e2e/test_documented_commands.py agree with the documentation."""

from tests.e2e import test_documented_commands as commands


def test_every_documented_command_is_run_or_has_a_reason() -> None:
    """No command is in none of the lists of that module, and no entry of a list is about none."""
    assert commands.unlisted_commands() == [], "fix: add a Step, or a reason to NOT_RUN"
    assert [text for text in commands.listed_commands() if not commands.documented(text)] == []
