"""The pages of a running stack."""

import ssl
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from observability.devstack import addresses
from observability.devstack.layout import StackLayout
from tests.observability.devstack.test_certificates import create
from tests.serving import serving


class Page(BaseHTTPRequestHandler):
    """A server that answers every GET with 204."""

    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()


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


def test_https_is_listed_where_it_is_served(layout: StackLayout, tmp_path: Path) -> None:
    """Its certificate has another name than this machine's address, and may have any issuer."""
    layout.remember_mode("compose")
    create(tmp_path / "site.pem")
    server = HTTPServer(("127.0.0.1", 0), Page)
    moved = replace(layout, ports=layout.ports | {"tls": server.server_port})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "site.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        found = addresses.find_addresses(moved)
    assert found == [("API with https", f"https://localhost:{server.server_port}/docs")]
    assert addresses.find_addresses(moved) == []
