"""The overview board: SLOs, firing alerts and traffic."""

from collections.abc import Iterator

from observability.generate.dashboards.shared_panels import (
    BUDGET_STEPS,
    alert_annotations,
    burn_rates,
    traffic,
)
from observability.lib.panel_builders import FINE_RATIO, stat, table
from observability.lib.panel_queries import P95, query
from observability.lib.panels import BAD, GOOD, WARN, Board, Panel, Query, Row, Unit
from observability.lib.promql import burn_rate, firing
from observability.lib.requests import duration, failing_ratio, request_rates
from observability.lib.templates import fill
from observability.sli.latency import colour_steps
from observability.spec import board_slugs, names
from observability.spec.plan import SHORT_WINDOW, Plan


def board(plan: Plan) -> Board:
    """Return the board that people open first."""
    promises = (slo_table(plan), firing_alerts(plan), burn_rates(width=8, height=10))
    requests = request_stats(plan) if plan.routes else ()
    rows = [Row("Now", (*slo_stats(plan), *requests)), Row("All SLOs", promises)]
    if plan.routes:
        rows.append(Row("Traffic", traffic(plan)))
    return Board(
        board_slugs.OVERVIEW,
        "Overview",
        "Objectives, measured availability and latency, and firing alerts",
        tuple(rows),
        annotations=alert_annotations(plan),
    )


def slo_stats(plan: Plan) -> tuple[Panel, ...]:
    """Return pages, SLOs that are missed, and the least budget."""
    return (
        stat(
            "Paging",
            "Firing alerts that page somebody.",
            Unit.NUMBER,
            f"count({firing(severity=plan.paging_severity)}) or vector(0)",
            (0, GOOD),
            (1, BAD),
        ),
        stat(
            "Missed SLOs",
            f"SLOs that are missed over {plan.period.name}.",
            Unit.NUMBER,
            fill("count(<<BUDGET_LEFT>> < 0) or vector(0)"),
            (0, GOOD),
            (1, BAD),
        ),
        stat(
            "Smallest budget left",
            f"The smallest of all SLOs over {plan.period.name}.",
            Unit.RATIO,
            fill("min(<<BUDGET_LEFT>>)"),
            *BUDGET_STEPS,
        ),
    )


def request_stats(plan: Plan) -> tuple[Panel, ...]:
    """Return rate, errors and duration of all requests."""
    return (
        stat(
            "Requests",
            "Requests per second, of all routes.",
            Unit.REQUESTS,
            request_rates(plan.signals),
        ),
        stat(
            "Failing",
            "Ratio of requests that end in 5xx.",
            Unit.RATIO,
            failing_ratio(plan.signals),
            (0, GOOD),
            (0.001, WARN),
            (0.01, BAD),
        ),
        *(p95(plan) if plan.signals.latency else ()),
    )


def p95(plan: Plan) -> Iterator[Panel]:
    """Yield the duration of all requests."""
    yield stat(
        "p95",
        "95 % of successful requests took at most this long.",
        Unit.SECONDS,
        duration(plan.signals, P95),
        *colour_steps(plan),
    )


def slo_table(plan: Plan) -> Panel:
    """Return the table of all SLOs, the one that burns fastest first."""
    measured = f"max by ({names.SLO}) (1 - {names.error_ratio(plan.period.name)})"
    data = f"max by ({names.SLO}) ({names.covered(plan.period.name)})"
    burn = f"max by ({names.SLO}) ({burn_rate(SHORT_WINDOW)})"
    return table(
        "SLOs",
        f"Objective and measured share over {plan.period.name}. Budget left: 100 % is "
        "untouched, negative is a missed SLO. "
        "Burn is of the last 5 minutes: 1 spends the budget exactly within the period. "
        "Data is how much of the period was measured.",
        Unit.RATIO,
        query("max by (<<SLO>>) (<<OBJECTIVE>>)", "objective", decimals=FINE_RATIO),
        Query(measured, "measured", decimals=FINE_RATIO),
        query("max by (<<SLO>>) (<<BUDGET_LEFT>>)", "budget left", gauge=True),
        Query(burn, "burn", Unit.TIMES),
        Query(data, "data", Unit.SECONDS),
        width=16,
        height=20,
        steps=BUDGET_STEPS,
        key=names.SLO,
        link=board_slugs.SLO,
        sort_by=("-burn", "budget left"),
    )


def firing_alerts(plan: Plan) -> Panel:
    """Return the table of firing alerts without the heartbeat, which always fires."""
    severities = [name for name in plan.policy.severities if name != plan.heartbeat_severity]
    alerts = firing(severity="~" + "|".join(severities))
    return table(
        "Firing",
        "Firing alerts, without the watchdog, which always fires.",
        Unit.NUMBER,
        Query(f"count by (alertname, {names.SEVERITY}, {names.SLO}) ({alerts})", "alerts"),
        width=8,
        height=10,
        key=f"alertname,{names.SEVERITY},{names.SLO}",
        expects_data=False,
        no_data_text="no alert is firing",
    )
