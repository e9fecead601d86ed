"""Readers share the answers of the servers."""

from concurrent.futures import ThreadPoolExecutor

from flask import Flask

from observability.spec.plan import Plan
from tests.observability.console.conftest import FakeServers
from tests.observability.console.reading import measured


def test_concurrent_readers_share_one_answer(app: Flask, servers: FakeServers, plan: Plan) -> None:
    """So do readers shortly afterwards."""
    measured(servers, plan)
    servers.delay = 0.05
    with ThreadPoolExecutor(8) as readers:
        pages = list(readers.map(lambda _: app.test_client().get("/").text, range(8)))
    assert all("No alert is firing" in page for page in pages)
    assert servers.queries.pop("/-/ready") == 2  # Prometheus and Alertmanager
    assert servers.queries.pop("/") <= 4  # looking for their own pages
    assert (
        servers.queries.pop("/api/v2/alerts") == 2
    )  # what Alertmanager holds; it also is its page where it has no other
    assert set(servers.queries.values()) == {1}
