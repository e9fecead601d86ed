"""Tests of the client of the console."""

import pytest

from observability.lib.console import fetch_delivered_alerts
from observability.lib.http import Unreachable


@pytest.mark.parametrize("path", ["", "/json"])
def test_another_server_is_unreachable(stranger: str, path: str) -> None:
    """Neither text nor JSON of another shape passes for alerts."""
    with pytest.raises(Unreachable, match=stranger):
        fetch_delivered_alerts(stranger + path)


def test_an_unreachable_server_names_the_fix(nobody: str) -> None:
    """The message says how to start the stack."""
    with pytest.raises(Unreachable, match="make up"):
        fetch_delivered_alerts(nobody)
