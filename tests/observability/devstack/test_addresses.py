"""The pages of a running stack."""

import pytest

from observability.devstack import addresses
from observability.devstack.layout import StackLayout


def test_pages_of_containers_are_listed_when_they_respond(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of profiles; the native stack does not list another program's page."""
    monkeypatch.setattr(addresses, "responds", lambda *_: True)
    assert "Load runs" not in dict(addresses.find_addresses(layout))
    layout.remember_mode("compose")
    assert {"Grafana", "Traces", "Mailbox", "Load runs"} <= dict(
        addresses.find_addresses(layout)
    ).keys()
    monkeypatch.setattr(addresses, "responds", lambda url, _: url != layout.url("locust"))
    assert "Load runs" not in dict(addresses.find_addresses(layout))
