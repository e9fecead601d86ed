"""The runbook's entries: every alert and every SLO has what a person on call needs."""

from collections.abc import Callable

import pytest

from observability.checks import expressions
from observability.generate import prometheus
from observability.generate.runbook.entries import entries
from observability.lib.panels import LOGS
from observability.spec import names
from observability.spec.plan import Plan


def test_every_alert_and_every_slo_has_an_entry(plan: Plan) -> None:
    """Nothing can fire that the runbook does not explain."""
    alerts = {alert.name for alert in (*plan.guards, *plan.symptoms, *plan.log_alerts)}
    slos = {slo.name for slo in plan.slos}
    assert set(entries(plan)) == {names.BURN_ALERT} | alerts | slos


def test_an_entry_is_complete(plan: Plan) -> None:
    """An entry has at least two checks, and no empty text."""
    for entry in entries(plan).values():
        assert len(entry.checks) >= 2, entry.name
        assert all(vars(entry).values()), entry


def test_every_query_names_series_that_exist(plan: Plan) -> None:
    """Queries name series and buckets that exist; those to Loki are marked so."""
    series = expressions.known_series(plan)
    edges = frozenset(plan.buckets)
    for entry in entries(plan).values():
        for check in entry.checks:
            assert ("(Loki)" in check.text) == (check.source == LOGS)
            if check.source != LOGS:
                assert list(expressions.check_expression(check.query, series, edges)) == [], (
                    entry.name
                )


def test_runbook_of_silence_shows_the_last_line(plan: Plan) -> None:
    """A query for lines of the last minutes would return none."""
    entry_by_name = entries(plan)
    assert entry_by_name["LogSilence"].checks[0].text == "When did the last line arrive? (Loki)"
    assert entry_by_name["LogErrorBurst"].checks[0].text == "Which lines are these? (Loki)"


@pytest.mark.parametrize(
    ("slo", "impact"),
    [
        (
            "orders.list-availability",
            "Requests to orders.list fail with a server error (5xx).",
        ),
        ("orders.list-latency-200ms", "Responses of orders.list take longer than 200ms."),
        (
            "orders.list-probe",
            "orders.list cannot be reached from outside; most likely all requests fail.",
        ),
        (
            "database-availability",
            "Routes that need database become slow, fail, or return old data.",
        ),
    ],
)
def test_the_impact_follows_from_the_kind_of_sli(plan: Plan, slo: str, impact: str) -> None:
    """The catalogue says nothing about the impact of these SLOs."""
    assert entries(plan)[slo].users == impact


def test_the_runbook_says_when_each_tier_resolves(plan: Plan) -> None:
    """An alert ends with its tier's shortest window: minutes for a page, hours for a ticket."""
    entry_by_name = entries(plan)
    tiers = "T0 1m, D0 30s, P0 1m, T1 1m, T2 5m, T3 5m, T4 2h, T5 6h."
    assert entry_by_name[names.BURN_ALERT].over.endswith(f": {tiers}")
    over = entry_by_name["orders.list-availability"].over
    assert "below 0.1 %" in over
    assert names.BURN_ALERT in over


def test_drills_are_named_by_the_kind_of_sli(plan: Plan) -> None:
    """A route's failures are drilled, a dependency's are proven by promtool cases."""
    entry_by_name = entries(plan)
    assert entry_by_name["orders.list-availability"].drill.startswith("`make drill D=route-errors`")
    assert "promtool" in entry_by_name["database-availability"].drill
    assert entry_by_name["TargetDown"].drill == "`make drill D=stop-api`"


def test_alerts_carry_the_address_of_their_page(plan: Plan) -> None:
    """The runbook's and the board's address stand in each alert."""
    groups = prometheus.groups(plan)
    for alert in (rule for group in groups for rule in group["rules"] if "alert" in rule):
        assert alert["annotations"]["runbook_url"] in (
            f"http://localhost:8080/alerts/{alert['alert']}",
            "http://localhost:8080/slo/{{ $labels.slo }}",
        )
        dashboard_url = alert["annotations"]["dashboard_url"]
        assert dashboard_url.startswith("http://localhost:3000/d/evara-api-")


@pytest.mark.parametrize(
    ("alerts", "severity"),
    [
        ("{disable: [page]}", "ticket, no page"),
        ("{disable: [ticket]}", "page, no ticket"),
        ("{disable: [page, ticket]}", "no page, no ticket"),
    ],
)
def test_the_runbook_says_which_alerts_are_off(
    plan_of: Callable[..., Plan], alerts: str, severity: str
) -> None:
    """Without pages, no drill raises an alert of the SLO."""
    http = "    http: GET /api/v1/orders\n"
    entry = entries(plan_of(((http, f"{http}    alerts: {alerts}\n"),)))["orders.list-availability"]
    assert entry.severity == severity
    assert ("make drill" in entry.drill) == ("no page" not in severity)
