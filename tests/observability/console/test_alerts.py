"""Alerts on the pages: their sources, and their end."""

from dataclasses import replace

from flask import Flask
from flask.testing import FlaskClient

from observability.console.app import create_app
from observability.devstack.layout import StackLayout
from observability.generate.runbook import entries
from observability.spec.plan import Plan
from tests.observability.console.conftest import FakeServers
from tests.observability.console.reading import alert, deliver, held, measured, read


def test_alert_without_a_rule_is_shown(
    client: FlaskClient, servers: FakeServers, plan: Plan
) -> None:
    """It was sent to Alertmanager directly; a silenced one is not shown."""
    measured(servers, plan)
    servers.alerts = [alert("TargetDown", "page", job="api"), alert("Early", "page", "pending")]
    servers.held = [
        held("TargetDown", "page", job="api"),
        held("ByHand", "page"),
        held("Hushed", "page", "suppressed"),
    ]
    page = read(client)
    assert "2 pages: ByHand and more" in page.text
    assert "Paging ✗ 2" in page.text
    assert "Firing (2)" in page.text
    assert "Pending (1)" in page.text
    assert "The condition is true, but not yet" in page.text
    assert "Hushed" not in page.text
    assert "● firing ByHand page" in read(client, "/alerts/ByHand").text
    assert "what is wrong" in read(client, "/alerts/ByHand").text


def test_alert_that_no_server_reports_has_ended(
    layout: StackLayout, plan: Plan, servers: FakeServers
) -> None:
    """Also if its resolution was never delivered, or if it fires again since a later time."""
    client = create_app(layout, plan).test_client()
    servers.held = [held("Silenced", "page", "suppressed"), held("Again", "page")]
    servers.alerts = [alert("Restarted", "page")]
    for n, name in enumerate(("Gone", "Silenced", "Restarted", "Again")):
        deliver(client, {"alertname": name, "severity": "page"}, fingerprint=f"f{n}")
    deliver(
        client,
        {"alertname": "Again", "severity": "page"},
        fingerprint="f3",
        startsAt="2026-01-01T00:00:00Z",
    )
    page = read(client)
    assert "○ ended, resolution not delivered Gone" in page.text
    assert all(f"● open {name}" in page.text for name in ("Silenced", "Restarted", "Again"))
    assert page.text.count("resolution not delivered") == 2
    deliver(client, {"alertname": "Fresh", "severity": "page"}, fingerprint="f9")
    assert "● open Fresh" in read(client).text  # Alertmanager was asked before that


def test_alerts_of_other_services_are_not_shown(client: FlaskClient, servers: FakeServers) -> None:
    """A Prometheus, an Alertmanager and an inbox may serve several services and environments."""
    others: list[dict[str, str]] = [{"service": "shop"}, {"environment": "staging"}]
    servers.held = []
    for number, labels in enumerate(others):
        servers.alerts.append(alert("RuleOfOther", "page", **labels))
        servers.held.append(held("HeldOfOther", "page", **labels))
        labels |= {"alertname": "SentByOther", "severity": "page"}
        deliver(client, labels, fingerprint=f"f{number}")
    page = read(client)
    assert "No alert is firing" in page.text
    assert "Other" not in page.text


def test_an_alert_links_to_itself_and_to_its_slo(client: FlaskClient, servers: FakeServers) -> None:
    """Every tier that burns is named."""
    name = "orders.list-availability"
    servers.alerts = [
        alert("ErrorBudgetBurn", "page", slo=name, tier=tier) for tier in ("T2", "T1")
    ]
    page = read(client, "/alerts/ErrorBudgetBurn")
    assert f"ErrorBudgetBurn page {name} T1, T2" in page.text
    deliver(client, {"alertname": "ErrorBudgetBurn", "slo": name, "severity": "page"})
    links = read(client).all("a", "href")
    assert links.count("/alerts/ErrorBudgetBurn") == 2
    assert links.count(f"/slo/{name}") >= 3


def test_delivered_alerts_are_shown_and_heartbeats_are_not(client: FlaskClient) -> None:
    """A delivered alert links to its SLO or its own page, and is open or resolved."""
    deliver(
        client,
        {
            "alertname": "ErrorBudgetBurn",
            "slo": "orders.list-availability",
            "severity": "page",
            "tier": "T1",
        },
    )
    deliver(
        client,
        {"alertname": "TargetDown", "severity": "page", "job": "api"},
        fingerprint="f2",
        status="resolved",
    )
    deliver(client, {"alertname": "Watchdog", "severity": "heartbeat"}, fingerprint="f3")
    page = read(client)
    assert {"/slo/orders.list-availability", "/alerts/TargetDown"} <= set(page.all("a", "href"))
    assert "/alerts/Watchdog" not in page.all("a", "href")
    assert "● open ErrorBudgetBurn page orders.list-availability T1" in page.text
    assert "✓ resolved TargetDown page api" in page.text
    assert "2 delivered" in page.text


def test_log_alerts_come_from_loki(
    app: Flask, layout: StackLayout, servers: FakeServers, plan: Plan
) -> None:
    """They are shown beside those of Prometheus, which is not queried for log lines."""
    measured(servers, plan)
    servers.log_alerts = [alert("LogSilence", "page", program="api")]
    assert "No alert is firing" in read(app.test_client()).text
    with_loki = replace(layout, ports=layout.ports | {"loki": servers.port})
    beside = create_app(with_loki, plan).test_client()
    assert "1 page: LogSilence api" in read(beside).text
    entry = entries.entries(plan)["LogSilence"]
    assert "Users notice" in read(beside, "/alerts/LogSilence").text
    assert [bool(servers.queries[check.query]) for check in entry.checks] == [False, False, True]
    servers.log_alerts = []
    later = create_app(with_loki, plan).test_client()
    assert "This alert is not firing" in read(later, "/alerts/LogSilence").text
    without_loki = read(app.test_client(), "/alerts/LogSilence")
    assert "Not evaluated: Loki is not running" in without_loki.text
    assert "This alert is not firing" in read(app.test_client(), "/alerts/TargetDown").text
