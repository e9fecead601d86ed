"""The images of charts."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask.testing import FlaskClient

from observability.spec import names
from observability.spec.plan import Plan
from tests.observability.console.conftest import FakeServers
from tests.observability.console.reading import PAGES, measured, read


def test_every_chart_of_a_page_is_served(
    client: FlaskClient, servers: FakeServers, plan: Plan
) -> None:
    """The images have their own content security policy."""
    measured(servers, plan)
    servers.samples = {"": [({"route": "orders.list", "le": "1", "slo": "s"}, 1.0)]}
    for path in PAGES[:3]:
        page = read(client, path)
        addresses = [address for address in page.all("img", "src") if address.startswith("/charts")]
        assert len(addresses) >= 3
        for address in addresses:
            answer = client.get(address)
            assert (answer.status_code, answer.mimetype) == (200, "image/svg+xml"), address
            assert "img-src data:" in answer.headers["Content-Security-Policy"]


def test_every_linked_route_has_charts(client: FlaskClient, servers: FakeServers) -> None:
    """Also routes outside the catalogue."""
    servers.samples = {names.HTTP_REQUESTS: [({"route": names.UNMATCHED}, 1.0)]}
    linked = {
        address for address in read(client).all("a", "href") if address.startswith("/routes/")
    }
    assert f"/routes/{names.UNMATCHED}" in linked
    for path in sorted(linked):
        addresses = [
            address
            for address in read(client, path).all("img", "src")
            if address.startswith("/charts")
        ]
        assert addresses
        assert {client.get(address).status_code for address in addresses} == {200}, path


@pytest.mark.parametrize(
    "path",
    [
        "none/1.svg",
        "overview/99.svg",
        "overview/0.svg",
        "logs/0.svg",
        "slo/6.svg?slo=x",
        "routes/2.svg?route=.*",
        "routes/6.svg",
    ],
)
def test_other_charts_are_404(client: FlaskClient, servers: FakeServers, path: str) -> None:
    """Unknown boards and subjects, and other kinds of panels, cause no query."""
    assert client.get(f"/charts/{path}").status_code == 404
    assert not servers.queries


def test_concurrent_readers_share_one_chart(app: Flask, servers: FakeServers) -> None:
    """It is drawn once."""
    address = "/charts/overview/9.svg"
    with ThreadPoolExecutor(4) as readers:
        pictures = set(readers.map(lambda _: app.test_client().get(address).text, range(4)))
    assert len(pictures) == 1
    assert set(servers.queries.values()) == {1}
