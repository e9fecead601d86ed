"""Ports for tests."""

import socket
from pathlib import Path

import pytest

from tests import serving


def test_no_connection_gets_a_port_of_a_test() -> None:
    """The kernel gives no connection a port of the tests' range."""
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="utf-8").split()
    assert serving.free_port() > int(ephemeral[1])


def test_a_port_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls give two ports, though nothing listens on the first one yet."""
    monkeypatch.setattr(serving, "PORTS", range(65_100, 65_400))
    first = serving.free_port()
    monkeypatch.setattr(serving, "PORTS", range(first, first + 1))
    with pytest.raises(AssertionError, match="in use"):
        serving.free_port()


def test_a_port_in_use_on_another_address_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that is in use on another local address is skipped."""
    port = serving.free_port()
    monkeypatch.setattr(serving, "PORTS", range(port, port + 1))
    monkeypatch.setattr(serving, "claim", lambda _: True)
    assert serving.free_port() == port
    with socket.socket() as listener:
        listener.bind(("127.0.0.3", port))
        with pytest.raises(AssertionError, match="in use"):
            serving.free_port()
