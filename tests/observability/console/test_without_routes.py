"""The console of a service that has only SLOs declared by hand."""

from collections.abc import Callable

from observability.console.app import create_app
from observability.devstack.layout import StackLayout
from observability.spec.plan import Plan

ONLY_SLOS = """{service: small, owner: platform, period: 30d, slos: {queue-short: {
  gauge: {value: queue_length, at_most: 100}, objective: 99, next_steps: [Look at it.]}}}"""


def test_pages_without_routes(layout: StackLayout, plan_of: Callable[..., Plan]) -> None:
    """The overview has no table of routes, and there is no page of one."""
    client = create_app(layout, plan_of(ONLY_SLOS)).test_client()
    home = client.get("/")
    assert home.status_code == 200
    assert "queue-short" in home.text
    assert 'id="routes"' not in home.text
    assert client.get("/slo/queue-short").status_code == 200
    assert client.get("/routes/unmatched").status_code == 404
