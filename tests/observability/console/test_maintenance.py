"""Verdicts, board, console and runbook say what is excluded, and why."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from observability.checks import boards
from observability.console.app import create_app
from observability.devstack import readiness
from observability.devstack.layout import StackLayout
from observability.generate import prometheus as rules
from observability.generate.dashboards.grafana.dashboard import dashboard
from observability.generate.dashboards.registry import boards as all_boards
from observability.generate.runbook.entries import entries
from observability.lib.prometheus import Prometheus
from observability.slo import verdicts
from observability.slo.verdicts import Verdict
from observability.spec import names
from observability.spec.plan import Plan
from tests.observability.console.conftest import FakeServers
from tests.observability.console.reading import measured, read
from tests.observability.generate.dashboards.support import board_panel
from tests.observability.slo.test_verdicts import MONTH, PROMISE, counted
from tests.observability.spec.validation.test_maintenance import ONCE, WEEKLY, maintenance

LATER = WEEKLY.replace("T02:", "T05:")
NAME = "orders.list-availability"
CODES = ("  rate_limit: 120/minute\n", "  rate_limit: 120/minute\n  excluded_codes: [503]\n")
EXCLUDED = f"count_over_time({names.IN_MAINTENANCE}"


@pytest.fixture
def own(plan_of: Callable[..., Plan]) -> Plan:
    """Return a Plan with maintenance and an excluded code."""
    return plan_of((maintenance(ONCE, LATER), CODES))


def answers(servers: FakeServers) -> Prometheus:
    """Return a client of the fake server."""
    return Prometheus(f"http://127.0.0.1:{servers.port}")


def row_of(plan: Plan, servers: FakeServers) -> verdicts.SloResult:
    """Return the result of one SLO over the period."""
    rows = verdicts.measure(plan, answers(servers), plan.period)
    return next(row for row in rows if row.slo == NAME)


def test_the_verdict_names_what_is_excluded(own: Plan, servers: FakeServers) -> None:
    """The JSON has seconds of maintenance and status codes; the table says how much."""
    measured(servers, own)
    servers.samples = {EXCLUDED: [({}, 3605.0)]} | servers.samples
    row = row_of(own, servers)
    [told] = verdicts.as_json([row], own.period)["slos"]
    assert (told["excluded_seconds"], list(told["excluded_codes"])) == (3605.0, ["503"])
    assert verdicts.describe_coverage([row]).endswith("1 h excluded as maintenance")


def test_an_slo_is_measured_during_maintenance(own: Plan, servers: FakeServers) -> None:
    """While nothing is recorded, data in the window is enough; else the metric is missing."""
    measured(servers, own)
    servers.samples.pop(names.MEASURED)
    assert row_of(own, servers).verdict == Verdict.UNMEASURED
    servers.samples[names.IN_MAINTENANCE] = [({names.REASON: "Upgrade"}, 1.0)]
    assert row_of(own, servers).verdict == Verdict.MET
    servers.samples.pop(f"count_over_time({names.MEASURED}")
    assert row_of(own, servers).verdict == Verdict.UNMEASURED


def test_the_budget_is_that_of_the_time_that_counts() -> None:
    """No events are estimated for maintenance."""
    half = replace(counted(10_000.0, 5.0, MONTH / 2), excluded_seconds=MONTH / 2)
    assert verdicts.judge(PROMISE, half, 0.0).budget_remaining == pytest.approx(0.5)
    whole = counted(10_000.0, 5.0, MONTH / 2)
    assert verdicts.judge(PROMISE, whole, 0.0).budget_remaining == pytest.approx(0.75)


def test_the_board_says_what_is_excluded(own: Plan, plan: Plan) -> None:
    """Maintenance is marked in the graphs; two tables have time by reason, and codes."""
    assert list(boards.check(own)) == []
    time = board_panel(own, "slo", "Excluded time").queries[0].expr
    assert time == f"sum by (reason) (count_over_time({names.IN_MAINTENANCE}[30d])) * 5"
    assert board_panel(own, "slo", "Excluded status codes").key == names.EXCLUDED_CODES
    constants = [rule for rule in rules.constants(own) if rule["labels"]["slo"] == NAME]
    assert constants[0]["labels"][names.EXCLUDED_CODES] == "503"
    board = next(board for board in all_boards(own) if board.slug == "slo")
    marks = dashboard(own, board)["annotations"].to_json_data()["list"]
    mark = next(mark for mark in marks if mark["name"] == "Maintenance")
    assert names.IN_MAINTENANCE in mark["target"]["expr"]
    assert "reason" in mark["tagKeys"]
    usual = next(board for board in all_boards(plan) if board.slug == "slo")
    assert not [panel for panel in usual.panels if "Excluded" in panel.title]


def test_console_and_runbook_say_what_is_excluded(
    own: Plan,
    plan: Plan,
    layout: StackLayout,
    servers: FakeServers,
) -> None:
    """The page has both numbers, and the runbook the reasons; another service has neither."""
    measured(servers, own)
    servers.samples = {EXCLUDED: [({}, 3605.0)]} | servers.samples
    text = read(create_app(layout, own).test_client(), f"/slo/{NAME}").text
    assert "Excluded 1 h" in text
    assert "Excluded codes 503" in text
    assert "2026-12-06T02:00:00Z for 1h: PostgreSQL upgrade" in text
    assert "for 30m every 7d: Weekly restart" in entries(own)[NAME].meaning
    usual = read(create_app(layout, plan).test_client(), f"/slo/{NAME}").text
    assert "Excluded" not in usual
    assert "maintenance" not in usual


def test_make_up_does_not_wait_for_slos_during_maintenance(
    own: Plan,
    servers: FakeServers,
) -> None:
    """A release within a window would else never be up."""
    prometheus = answers(servers)
    assert not readiness.slos_are_measured(prometheus, own, [])
    servers.samples[names.IN_MAINTENANCE] = [({names.REASON: "Upgrade"}, 1.0)]
    assert readiness.slos_are_measured(prometheus, own, [])
