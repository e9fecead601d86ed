"""The environment of a stack's processes."""

import pytest

from observability.devstack.layout import StackLayout
from observability.devstack.processes import clean_environment


def test_settings_of_another_stack_are_not_inherited(
    monkeypatch: pytest.MonkeyPatch, layout: StackLayout
) -> None:
    """A process inherits what is no setting of a stack, and the mark of its own."""
    monkeypatch.setenv("EVARA_DATABASE_URL", "another")
    monkeypatch.setenv("HOME", "/here")
    environment = clean_environment(layout)
    assert "EVARA_DATABASE_URL" not in environment
    assert environment["HOME"] == "/here"
    assert environment["EVARA_STACK"] == str(layout.state)
