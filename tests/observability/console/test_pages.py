"""The pages: their figures; they open whatever is down; they escape all text."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from observability.console.app import create_app
from observability.devstack.layout import StackLayout
from observability.generate.runbook import entries
from observability.lib.prometheus import Prometheus
from observability.slo.verdicts import measure
from observability.spec import names
from observability.spec.plan import Plan
from tests.observability.console.conftest import FakeServers
from tests.observability.console.reading import PAGES, alert, deliver, measured, read

EVIL = "<script>alert('x')</script>\"' onload=x {{ 7*7 }}"


def test_slos_are_those_of_the_command(
    client: FlaskClient, servers: FakeServers, plan: Plan
) -> None:
    """Every SLO has the verdict of `slo --json`; missed ones come first."""
    measured(servers, plan)
    servers.samples[f"increase({names.BAD}"] = [
        ({"slo": slo.name}, 300_000.0 * (n % 2)) for n, slo in enumerate(plan.slos)
    ]
    page = read(client)
    shown = dict(zip(page.all("tr", "data-slo"), page.all("tr", "data-verdict"), strict=True))
    rows = measure(plan, Prometheus(f"http://127.0.0.1:{servers.port}"), plan.period)
    assert shown == {row.slo: row.verdict for row in rows}
    assert list(shown.values())[: len(plan.slos) // 2] == ["missed"] * (len(plan.slos) // 2)
    assert f"of {len(plan.slos)} SLOs" in page.text


@pytest.mark.parametrize(
    ("alerts", "bad", "said", "tab"),
    [
        ([], 0.0, "No alert is firing, and no SLO is missed", "OK"),
        ([alert("Watchdog", "heartbeat")], 0.0, "No alert is firing, and no SLO is missed", "OK"),
        ([alert("X", "page", "pending")], 0.0, "No alert is firing, and no SLO is missed", "OK"),
        ([], 900_000.0, "No alert is firing, but", "30 missed"),
        ([alert("X", "ticket", slo="s")], 0.0, "1 ticket firing, no page", "1 ticket"),
        (
            [alert("X", "ticket"), alert("TargetDown", "page", job="api")],
            0.0,
            "1 page: TargetDown api",
            "1 paging",
        ),
        (
            [alert("ProgramMissing", "page", job="prober", program="worker")],
            0.0,
            "1 page: ProgramMissing worker",
            "1 paging",
        ),
        (
            [alert("X", "page", slo="s", tier=tier) for tier in ("T1", "T2")],
            0.0,
            "1 page: X s",
            "1 paging",
        ),
    ],
)
def test_the_headline_names_the_worst_alert(
    client: FlaskClient,
    servers: FakeServers,
    plan: Plan,
    alerts: list[Any],
    bad: float,
    said: str,
    tab: str,
) -> None:
    """Pages come before tickets, tickets before missed SLOs; tiers of one burn are one page."""
    measured(servers, plan, bad=bad)
    servers.alerts = alerts
    page = read(client)
    assert said in page.text
    assert page.text.startswith(f"{tab.replace('30', str(len(plan.slos)))} · evara-api")


def test_pages_say_how_much_of_the_period_has_data(
    client: FlaskClient, servers: FakeServers, plan: Plan
) -> None:
    """A young server and an SLO with few events are said to be so, and neither is missed."""
    measured(servers, plan, total=8.0)
    servers.samples[f"count_over_time({names.MEASURED}"] = [
        ({"slo": slo.name}, 1680.0) for slo in plan.slos
    ]
    page = read(client)
    assert f"of {len(plan.slos)} SLOs over 30d, 28 min of which have data" in page.text
    assert "~ too few" in page.text
    assert set(page.all("tr", "data-verdict")) == {"too few"}
    text = read(client, "/slo/orders.list-availability").text
    assert "Data 28 min of 30d" in text
    assert "Events 8 of 1 000" in text


def test_broken_metrics_are_as_urgent_as_a_miss(
    client: FlaskClient, servers: FakeServers, plan: Plan
) -> None:
    """More bad events than events show no figure."""
    measured(servers, plan, total=100.0, bad=900.0)
    page = read(client)
    assert set(page.all("tr", "data-verdict")) == {"broken"}
    assert f"{len(plan.slos)} SLOs are missed, broken or unmeasured" in page.text


def test_spent_budget_is_shown_as_spent(
    client: FlaskClient, servers: FakeServers, plan: Plan
) -> None:
    """The tile of the smallest budget links to its SLO."""
    measured(servers, plan)
    worst = plan.slos[3].name
    servers.samples[f"increase({names.BAD}"] = [({"slo": worst}, 900_000.0)]
    smallest = rf"Smallest budget left ✗ \S+ (\S+ )?% {re.escape(worst)} "
    assert re.search(smallest, read(client).text)
    assert "Budget gone in ✗ spent" in read(client, f"/slo/{worst}").text
    assert "spent" not in read(client, f"/slo/{plan.slos[4].name}").text.split("Charts")[0]


def test_results_of_runbook_queries_have_units(
    client: FlaskClient, servers: FakeServers, plan: Plan
) -> None:
    """Shares are per cent; a missing sample and NaN are shown as no data."""
    measured(servers, plan)
    servers.samples = {
        names.error_ratio("5m") + "{": [({}, 0.25)],
        names.HTTP_REQUESTS: [({}, float("nan"))],
        **servers.samples,
    }
    text = read(client, "/slo/orders.list-availability").text
    assert re.search(r"ratio of bad events\? \S+ 25 %", text)
    assert text.count("no data") == 2


def test_routes_are_shown_with_their_numbers(
    client: FlaskClient, servers: FakeServers, plan: Plan
) -> None:
    """Each route of the catalogue has a row, requested or not; NaN is no number."""
    servers.samples = {
        names.HTTP_REQUESTS: [({"route": "orders.list"}, 12.5), ({"route": "docs"}, float("nan"))]
    }
    page = read(client)
    assert "orders.list 12.5/s – – – –" in page.text
    links = page.all("a", "href")
    assert all(f"/routes/{route.id}" in links for route in plan.routes)
    assert "/routes/docs" not in links


def test_an_slo_has_its_numbers_charts_alerts_and_runbook(
    client: FlaskClient, servers: FakeServers, plan: Plan
) -> None:
    """The page shows only this SLO, with the present results of the runbook's queries."""
    measured(servers, plan, bad=1000.0)
    for n, name in enumerate(("orders.list-availability", "orders.get-availability")):
        deliver(
            client,
            {"alertname": "ErrorBudgetBurn", "slo": name},
            fingerprint=f"f{n}",
            annotations={"summary": f"about {name}"},
        )
    page = read(client, "/slo/orders.list-availability")
    entry = entries.entries(plan)["orders.list-availability"]
    assert "99.900 %" in page.text
    assert "about orders.list-availability" in page.text
    assert "about orders.get-availability" not in page.text
    assert all(check.text in page.text for check in entry.checks)
    assert all(" ".join(check.query.split()) in page.text for check in entry.checks)
    assert all(servers.queries[check.query] for check in entry.checks)
    assert len(page.all("img", "alt")) == 4  # the logo and three charts
    assert "/routes/orders.list" in page.all("a", "href")


@pytest.mark.parametrize("name", ["parcels-kept", "belt-short", "api-availability", "orders-fast"])
def test_an_slo_that_is_declared_by_hand_has_a_page(
    client: FlaskClient, servers: FakeServers, plan: Plan, name: str
) -> None:
    """It has what other SLOs have, without the link to one route."""
    measured(servers, plan)
    page = read(client, f"/slo/{name}")
    entry = entries.entries(plan)[name]
    assert all(check.text in page.text for check in entry.checks)
    assert all(servers.queries[check.query] for check in entry.checks)
    assert entry.users in page.text
    assert not any(link.startswith("/routes/") for link in page.all("a", "href"))


def test_a_route_has_its_slos_charts_and_runbooks(
    client: FlaskClient, servers: FakeServers, plan: Plan
) -> None:
    """The variable of its charts is a regular expression; routes without SLO have a page, too."""
    measured(servers, plan)
    page = read(client, "/routes/orders.list")
    slo_names = [slo.name for slo in plan.slos if slo.subject == "orders.list"]
    assert page.all("tr", "data-slo") == slo_names
    assert page.all("details", "id") == slo_names
    assert any("route=orders%5B.%5Dlist" in address for address in page.all("img", "src"))
    for name in (plan.exempt[0][0], names.UNMATCHED):
        assert "no SLO and no runbook page" in read(client, f"/routes/{name}").text


def test_an_alert_has_its_runbook_and_its_deliveries(
    client: FlaskClient, servers: FakeServers
) -> None:
    """The page of an alert outside the catalogue says so."""
    servers.alerts = [alert("TargetDown", "page", job="api")]
    deliver(client, {"alertname": "TargetDown", "job": "prober"})
    deliver(client, {"alertname": "ByHand"}, fingerprint="f2")
    page = read(client, "/alerts/TargetDown")
    assert "● firing TargetDown page api" in page.text
    assert "Prometheus cannot scrape a process" in page.text
    assert "● open TargetDown prober" in page.text
    assert "ByHand" not in page.text
    assert "not in the catalogue" in read(client, "/alerts/ByHand").text


@pytest.mark.parametrize("path", PAGES)
def test_pages_open_while_the_servers_are_down(unreachable: FlaskClient, path: str) -> None:
    """They say what is wrong and how to fix it, and still show inbox or runbook, and no chart."""
    deliver(unreachable, {"alertname": "TargetDown", "severity": "page"})
    page = read(unreachable, path)
    assert "Prometheus does not answer" in page.text
    assert "make logs P=prometheus" in page.text
    assert "Alertmanager does not answer" in page.text
    assert not [address for address in page.all("img", "src") if address.startswith("/charts")]
    expected = "what was wrong" if path in ("/", "/alerts/TargetDown") else "Users notice"
    assert expected in page.text
    assert unreachable.get("/charts/overview/8.svg").status_code == 503


@pytest.mark.parametrize("path", PAGES)
def test_hostile_labels_stay_text(client: FlaskClient, servers: FakeServers, path: str) -> None:
    """Labels, annotations and series are escaped."""
    labels = {
        "alertname": "TargetDown",
        "severity": "page",
        "slo": "orders.list-availability",
        "job": EVIL,
        "tier": EVIL,
    }
    servers.alerts = [alert("TargetDown", "page", slo=EVIL) | {"annotations": {"summary": EVIL}}]
    servers.samples = {"": [(dict.fromkeys(("route", "slo", "task", "x"), EVIL), 1.0)]}
    deliver(client, labels, annotations={"summary": EVIL})
    deliver(
        client,
        {"alertname": EVIL, "severity": EVIL},
        annotations={"summary": EVIL},
        fingerprint="f2",
    )
    page = read(client, path)
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [
        {"src": "/static/console.js", "defer": None}
    ]
    assert not [attributes for _, attributes in page.tags if "onload" in attributes]
    assert path == "/routes/orders.list" or EVIL in page.text


def test_metrics_of_the_process_are_exposed(client: FlaskClient) -> None:
    """Prometheus notices by them that the console of the compose stack is down."""
    response = client.get("/metrics")
    assert response.content_type.startswith("text/plain; version=")
    assert "process_cpu_seconds_total" in response.text


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_accessible(
    client: FlaskClient, servers: FakeServers, plan: Plan, path: str
) -> None:
    """Language, title, headings, landmarks, scopes, texts of images and ids are complete."""
    measured(servers, plan)
    servers.alerts = [alert("TargetDown", "page", job="api")]
    deliver(client, {"alertname": "TargetDown", "severity": "page"})
    page = read(client, path)
    tags = [tag for tag, _ in page.tags]
    assert page.all("html", "lang") == ["en"]
    assert [tags.count(tag) for tag in ("title", "h1", "main", "header", "footer")] == [
        1,
        1,
        1,
        1,
        1,
    ]
    assert len(page.all("th", "scope")) == tags.count("th")
    assert len(page.all("img", "alt")) == tags.count("img")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {
        attributes["aria-labelledby"]
        for _, attributes in page.tags
        if "aria-labelledby" in attributes
    } <= set(ids)


def test_the_page_of_an_slo_says_which_alerts_are_off(
    layout: StackLayout, plan_of: Callable[..., Plan]
) -> None:
    """Who wonders why nobody was paged finds it beside the objective, and in the runbook."""
    http = "    http: GET /api/v1/orders\n"
    plan = plan_of(((http, f"{http}    alerts: {{disable: [page]}}\n"),))
    client = create_app(layout, plan).test_client()
    page = client.get("/slo/orders.list-availability").text
    assert "over 30d · route" in page
    assert "</a> · no page</p>" in page
    assert "ticket, no page" in page
    assert "no page" not in client.get("/slo/orders.get-availability").text
