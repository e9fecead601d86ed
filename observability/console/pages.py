"""The pages: overview, SLO, route and alert. They open whatever else is down."""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Blueprint, abort, redirect, render_template, url_for
from werkzeug.wrappers import Response

from observability.console import alerts
from observability.console.chart_images import images_of_board, route_variable, selected_span
from observability.console.context import console
from observability.console.queries import Queries, Stat, jobs_panel
from observability.generate.runbook.entries import RunbookEntry
from observability.lib.http import Unreachable
from observability.lib.json_object import Json
from observability.lib.panels import METRICS, Kind, Panel, Unit
from observability.lib.prometheus import LabelledValue, Labels
from observability.sli import registry
from observability.spec import board_slugs, names

pages = Blueprint("pages", __name__)


@pages.get("/")
def home() -> str:
    """Show the whole stack at a glance."""
    queries = console().queries
    load_charts = images_of_board(board_slugs.LOAD)
    durations = [image for image in load_charts if image.panel.unit == Unit.SECONDS]
    return render_page(
        "home.html",
        lambda: overview(queries),
        routes_panel=routes_panel(queries),
        jobs_panel=jobs_panel(queries.plan),
        delivered=alerts.without_heartbeats(queries, delivered_alerts()),
        charts=[*images_of_board(board_slugs.OVERVIEW), *durations[:1]],
        links=queries.links(),
    )


def overview(queries: Queries) -> Json:
    """Return the numbers of the overview; raise Unreachable."""
    current = alerts.current_alerts(queries)
    firing = [alert for alert in current if alert["state"] == "firing"]
    paging_alerts = alerts.with_label(firing, names.SEVERITY, queries.plan.paging_severity)
    panel = routes_panel(queries)
    rates: Json = {}
    if panel:
        rates = {route.id: [None] * len(panel.queries) for route in queries.plan.routes}
        rates |= queries.table(panel)
    return {
        "slos": queries.slos(),
        "alerts": current,
        "paging_alerts": paging_alerts,
        "stats": overview_stats(queries),
        "rates": rates,
        "jobs": queries.table(jobs_panel(queries.plan)),
    }


def overview_stats(queries: Queries) -> list[Stat]:
    """Return the stats of the overview board, without budgets and alerts.

    Budgets are recorded every two minutes, later than the verdicts beside them, and the alerts on
    the page include those without a rule.
    """
    stats = []
    for panel in queries.boards[board_slugs.OVERVIEW].panels:
        expr = panel.queries[0].expr
        is_elsewhere = names.BUDGET_LEFT in expr or names.ALERTS in expr
        if panel.kind == Kind.STAT and not is_elsewhere:
            stats.append(queries.stat(panel))
    return stats


@pages.get("/slo/<name>")
def slo(name: str) -> str:
    """Show one SLO: its numbers, its charts, its alerts, what to do."""
    queries = console().queries
    shown = next((slo for slo in queries.plan.slos if slo.name == name), None) or abort(404)
    entry = queries.runbook[name]

    def fetch() -> Json:
        [row] = [row for row in queries.slos() if row.slo == name]
        return {
            "row": row,
            "time_to_exhaustion": queries.stat(budget_panel(queries, name)),
            "alerts": alerts.with_label(alerts.current_alerts(queries), names.SLO, name),
            "runbook_answers": runbook_answers([entry]),
        }

    return render_page(
        "slo.html",
        fetch,
        slo=shown,
        is_route=shown.subject in queries.plan.route_ids.values(),
        counts_seconds=registry.kind_of(shown).counts_seconds,
        entry=entry,
        charts=images_of_board(board_slugs.SLO, slo=name),
        delivered=alerts.with_label(delivered_alerts(), names.SLO, name),
    )


@pages.get("/routes/<name>")
def route(name: str) -> str:
    """Show one route: rate, errors, duration, its SLOs, what to do."""
    queries = console().queries
    if name not in {*queries.plan.route_ids.values(), names.UNMATCHED}:
        abort(404)
    panel = routes_panel(queries) or abort(404)
    slos = [slo.name for slo in queries.plan.slos if slo.subject == name]
    entries = [queries.runbook[slo] for slo in slos]

    def fetch() -> Json:
        return {
            "slos": [row for row in queries.slos() if row.slo in slos],
            "cells": queries.table(panel).get(name, [None] * len(panel.queries)),
            "runbook_answers": runbook_answers(entries),
        }

    http_by_route = {route: http for http, route in queries.plan.route_ids.items()}
    return render_page(
        "route.html",
        fetch,
        name=name,
        http=http_by_route.get(name),
        routes_panel=panel,
        entries=entries,
        charts=images_of_board(board_slugs.ROUTES, route=route_variable(name)),
    )


@pages.get("/alerts/<name>")
def alert(name: str) -> str:
    """Show one alert: what it means, what to do, and when it was delivered."""
    queries = console().queries
    entry = queries.runbook.get(name)
    delivered = alerts.with_label(delivered_alerts(), "alertname", name)
    sent = alerts.with_label(alerts.sent_alerts(queries), "alertname", name)
    if entry is None and not delivered and not sent:
        abort(404)

    def fetch() -> Json:
        needs_loki = name in {log_alert.name for log_alert in queries.plan.log_alerts}
        return {
            "alerts": alerts.with_label(alerts.current_alerts(queries), "alertname", name),
            "loki_is_missing": needs_loki and queries.log_alerts() is None,
            "runbook_answers": runbook_answers([entry] if entry else []),
        }

    return render_page("alert.html", fetch, name=name, entry=entry, delivered=delivered)


@pages.get("/explore")
def explore() -> Response:
    """Redirect the source link of a log alert to the overview.

    Loki writes it for Grafana's page of this name; the native stack has no Grafana.
    """
    return redirect(url_for("pages.home"))


def render_page(template: str, fetch: Callable[[], Json], **known: Any) -> str:
    """Return a page with what is known and what `fetch` adds, or why Prometheus does not answer."""
    queries = console().queries
    prometheus_error = ""
    numbers: Json = {}
    try:
        queries.require_prometheus()
        numbers = fetch()
    except Unreachable as error:
        prometheus_error = str(error)
    return render_template(
        template,
        span=selected_span(),
        now=time.time(),
        has_numbers=bool(numbers),
        prometheus_error=prometheus_error,
        alertmanager_is_ready=queries.server is not None or queries.is_ready("alertmanager"),
        last_delivery=console().store.last_delivery,
        **numbers,
        **known,
    )


def budget_panel(queries: Queries, slo: str) -> Panel:
    """Return the panel with the time until an SLO's budget is gone."""
    for panel in queries.boards[board_slugs.SLO].panels:
        if panel.kind == Kind.STAT and panel.unit == Unit.SECONDS:
            return panel.bind(slo=slo)
    raise LookupError("the board of SLOs has no stat in seconds")


def routes_panel(queries: Queries) -> Panel | None:
    """Return the panel with rate, errors and duration of every route; None without routes."""
    board = queries.boards.get(board_slugs.ROUTES)
    panels = board.panels if board else ()
    return next((panel for panel in panels if panel.kind == Kind.TABLE), None)


def delivered_alerts() -> list[Json]:
    """Return the inbox, newest first, with alerts that ended without a resolution marked."""
    return alerts.mark_ended(console().queries, console().store.alerts())


def runbook_answers(entries: Iterable[RunbookEntry]) -> dict[str, list[LabelledValue]]:
    """Return the present answer of each query in the runbook's checks; raise Unreachable.

    Queries for Loki are left out, and so are samples that are no number.
    """
    checks = [check for entry in entries for check in entry.checks]
    answers = {}
    for expr in sorted({check.query for check in checks if check.source == METRICS}):
        samples = console().queries.prometheus.query(expr)
        answers[expr] = [sample for sample in samples if math.isfinite(sample[1])]
    return answers


def slo_url(labels: Labels) -> str:
    """Return the URL of the SLO that an alert is about, "" when the catalogue has no such SLO."""
    name = labels.get(names.SLO)
    if name not in {slo.name for slo in console().queries.plan.slos}:
        return ""
    return url_for("pages.slo", name=name)
