"""Tests of what all clients share."""

from observability.lib.http import poll


def test_polling_tries_at_least_once() -> None:
    """A timeout of zero still allows one attempt."""
    assert len(list(poll(0, 0))) == 1
