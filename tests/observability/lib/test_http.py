"""Tests of what all clients share: the error, and polling."""

import pytest

from observability.lib.http import Unreachable, fetch_json, poll


def test_an_unreachable_server_names_the_fix(nobody: str) -> None:
    """The message names the server, its address and the command that starts it."""
    with pytest.raises(Unreachable, match=f"Loki at {nobody} does not answer .* make up"):
        fetch_json("Loki", nobody, "/ready")


def test_polling_tries_at_least_once() -> None:
    """A timeout of zero still allows one attempt."""
    assert len(list(poll(0, 0))) == 1
