"""The alerts of Alertmanager and of the console."""

from collections.abc import Callable

import pytest

from observability.lib.alerts import fetch_active_alerts, fetch_delivered_alerts
from observability.lib.http import Unreachable

Fetch = Callable[[str], object]
CLIENTS = (fetch_active_alerts, fetch_delivered_alerts)


@pytest.mark.parametrize("path", ["", "/json", "/object"])
@pytest.mark.parametrize("fetch", CLIENTS)
def test_another_server_is_unreachable(stranger: str, fetch: Fetch, path: str) -> None:
    """Text and JSON of another shape are not alerts."""
    with pytest.raises(Unreachable, match=stranger):
        fetch(stranger + path)


@pytest.mark.parametrize("fetch", CLIENTS)
def test_an_unreachable_server_names_the_fix(nobody: str, fetch: Fetch) -> None:
    """The message says how to start the stack."""
    with pytest.raises(Unreachable, match=f"at {nobody} does not answer .* make up"):
        fetch(nobody)
