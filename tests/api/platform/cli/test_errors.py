"""Errors as commands print them."""

import re

import pytest

from tests.api.conftest import MakeApp


@pytest.mark.parametrize(
    "words",
    [
        "seed",
        "audit",
        "jobs list",
        "jobs retry 1",
        "jobs drop 1",
        "keys create x --scope read",
        "keys list",
        "keys revoke x",
    ],
)
def test_a_database_without_tables_is_named_with_the_fix(make_app: MakeApp, words: str) -> None:
    """A sentence instead of a traceback: the reason, the database, and what to do."""
    result = make_app().test_cli_runner().invoke(args=words.split())
    assert result.exit_code == 1
    assert re.search("no such table|does not exist", result.output)
    assert re.search(r"in (sqlite|postgresql)\S*://", result.output)
    assert "fix: set EVARA_DATABASE_URL" in result.output
    assert "flask --app api.app db upgrade" in result.output
    assert "Traceback" not in result.output
