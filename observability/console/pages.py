"""The console: Alertmanager's inbox, and pages for people who have no Grafana; gunicorn serves `main()`.

GET  /  /slo/NAME  /routes/NAME  /alerts/NAME    pages; they open whatever else is down
GET  /api/inbox    {"alerts": […]}: one entry per alert, newest first, with when it was delivered and resolved
POST /api/inbox    Alertmanager's webhook (version 4)
"""

import json
import math
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from flask import Blueprint, Flask, Response, abort, current_app, render_template, request, url_for
from flask.typing import ResponseReturnValue
from jinja2 import StrictUndefined
from markupsafe import Markup, escape
from werkzeug.exceptions import HTTPException

from observability.console.notification_store import RUBBISH, Inbox
from observability.console.queries import JOBS, PICTURES, SPANS, Answers, drawn
from observability.devstack.layout import StackLayout
from observability.generate.runbook.entries import ALERT, Entry
from observability.lib import charts
from observability.lib.http import Unreachable
from observability.lib.panels import METRICS, Kind, Panel, Unit
from observability.sli import registry
from observability.spec import board_slugs, names, plan

LARGEST = 4 << 20  # bytes of one notification
WIDTHS = (360, 640)  # pixels of a picture: on a phone, elsewhere
NOTHING_ELSE = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    + NOTHING_ELSE,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
PICTURE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    + NOTHING_ELSE,
    "Cache-Control": f"private, max-age={PICTURES:.0f}",
}
web = Blueprint("web", __name__)


@dataclass(frozen=True)
class Console:
    """What the views work with."""

    answers: Answers
    inbox: Inbox


@dataclass(frozen=True)
class Picture:
    """A panel of a board, and where its picture is."""

    panel: Panel
    slug: str
    number: int
    bound: dict[str, str]


def main() -> Flask:
    """The console of the stack that EVARA_STACK_DIR and EVARA_PORT_OFFSET name."""
    layout = StackLayout.main()
    return create_app(layout, layout.plan())


def create_app(layout: StackLayout, made: plan.Plan) -> Flask:
    app = Flask(__name__)
    app.extensions["console"] = Console(Answers(layout, made), Inbox(layout.inbox))
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.filters.update(
        unit=charts.text, ago=ago, clock=clock, prose=prose, promise=registry.promise
    )
    app.jinja_env.globals.update(
        promise=promise, spans=SPANS, widths=WIDTHS, service=made.service, period=made.period.name
    )
    app.jinja_env.globals.update(
        paging_severity=made.paging_severity,
        severities=set(made.policy.severities) - {made.heartbeat_severity},
    )
    app.register_blueprint(web)
    app.after_request(protect)
    return app


def here() -> Console:
    found: Console = current_app.extensions["console"]
    return found


def protect(answer: Response) -> Response:
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


@web.get("/")
def home() -> str:
    """Everything at a glance."""
    answers = here().answers
    overview, routes = answers.boards[board_slugs.OVERVIEW], red(answers)

    def ask() -> dict[str, Any]:
        alerts = answers.alerts()
        calls = [
            alert
            for alert in alerts
            if alert["state"] == "firing"
            and alert["labels"].get(names.SEVERITY) == answers.plan.paging_severity
        ]
        # what is left of budgets is recorded every two minutes, which is later than the verdicts beside it
        now = (
            panel
            for panel in overview.panels
            if panel.kind == Kind.STAT and names.BUDGET_LEFT not in panel.queries[0].expr
        )
        stats = [
            answers.look(panel, len(calls))
            if names.ALERTS in panel.queries[0].expr
            else answers.stat(panel)
            for panel in now
        ]
        rates = {
            route.id: [None] * len(routes.queries) for route in answers.plan.routes
        } | answers.table(routes)
        return {
            "slos": answers.slos(),
            "alerts": alerts,
            "calls": calls,
            "stats": stats,
            "rates": rates,
            "jobs": answers.table(JOBS),
        }

    durations = [
        picture for picture in pictures(board_slugs.LOAD) if picture.panel.unit == Unit.SECONDS
    ][:1]
    shown = {"charts": [*pictures(board_slugs.OVERVIEW), *durations], "links": answers.links()}
    delivered = [
        alert
        for alert in received()
        if alert["labels"].get(names.SEVERITY) != answers.plan.heartbeat_severity
    ]
    return page("home.html", ask, red=routes, sync=JOBS, delivered=delivered, **shown)


@web.get("/slo/<name>")
def slo(name: str) -> str:
    """One promise: its numbers, its pictures, its alerts, what to do."""
    answers = here().answers
    promise = next((slo for slo in answers.plan.slos if slo.name == name), None) or abort(404)
    entry = answers.runbook[name]
    [gone] = [
        p.bind(slo=name)
        for p in answers.boards[board_slugs.SLO].panels
        if p.kind == Kind.STAT and p.unit == Unit.SECONDS
    ]

    def ask() -> dict[str, Any]:
        row = next(row for row in answers.slos() if row.slo == name)
        return {
            "row": row,
            "gone": answers.stat(gone),
            "alerts": mine(answers.alerts(), names.SLO, name),
            "live": looks([entry]),
        }

    delivered = mine(received(), names.SLO, name)
    return page(
        "slo.html",
        ask,
        is_route=promise.subject in answers.plan.route_ids.values(),
        counts_seconds=registry.kind_of(promise).counts_seconds,
        slo=promise,
        entry=entry,
        charts=pictures(board_slugs.SLO, slo=name),
        delivered=delivered,
    )


@web.get("/routes/<name>")
def route(name: str) -> str:
    """One route: rate, errors, duration, its promises, what to do."""
    answers = here().answers
    if name not in {*answers.plan.route_ids.values(), names.UNMATCHED}:
        abort(404)
    panel = red(answers)
    entries = [answers.runbook[slo.name] for slo in answers.plan.slos if slo.subject == name]

    def ask() -> dict[str, Any]:
        cells = answers.table(panel).get(name, [None] * len(panel.queries))
        return {
            "slos": [row for row in answers.slos() if row.slo in {entry.name for entry in entries}],
            "cells": cells,
            "live": looks(entries),
        }

    http = next((http for http, known in answers.plan.route_ids.items() if known == name), None)
    exact = name.replace(".", "[.]")  # variables of routes are regular expressions
    return page(
        "route.html",
        ask,
        name=name,
        http=http,
        red=panel,
        entries=entries,
        charts=pictures(board_slugs.ROUTES, route=exact),
    )


@web.get("/alerts/<name>")
def alert(name: str) -> str:
    """One alert: what it means, what to do, and when it was delivered."""
    answers = here().answers
    entry, delivered = answers.runbook.get(name), mine(received(), "alertname", name)
    if entry is None and not delivered and not mine(answers.sent(), "alertname", name):
        abort(404)

    def ask() -> dict[str, Any]:
        deaf = any(log.name == name for log in answers.plan.log_alerts) and not answers.reads_logs()
        return {
            "alerts": mine(answers.alerts(), "alertname", name),
            "deaf": deaf,
            "live": looks([entry] if entry else []),
        }

    return page("alert.html", ask, name=name, entry=entry, delivered=delivered)


@web.get("/charts/<slug>/<int:number>.svg")
def chart(slug: str, number: int) -> ResponseReturnValue:
    """A panel of a board as a picture; 503 while Prometheus does not answer."""
    answers, wanted = here().answers, request.args
    panels = list(answers.boards[slug].panels) if slug in answers.boards else []
    routes = {*answers.plan.route_ids.values(), names.UNMATCHED}
    subjects = {
        "",
        *(slo.name for slo in answers.plan.slos),
        *(name.replace(".", "[.]") for name in routes),
    }
    bound = {key: wanted.get(key, "") for key in ("slo", "route")}
    if (
        number >= len(panels)
        or not drawn(panels[number])
        or not subjects.issuperset(bound.values())
    ):
        abort(404)
    width = WIDTHS[0] if wanted.get("width") == str(WIDTHS[0]) else WIDTHS[1]
    try:
        image = answers.picture(
            panels[number].bind(**bound), span(), width, dark=wanted.get("theme") == "dark"
        )
    except Unreachable as error:
        return Response(str(error), 503, mimetype="text/plain")
    return Response(image, mimetype="image/svg+xml", headers=PICTURE_HEADERS)


@web.get("/api/inbox")
def inbox() -> ResponseReturnValue:
    return {"alerts": here().inbox.alerts()}


@web.post("/api/inbox")
def deliver() -> ResponseReturnValue:
    try:
        here().inbox.deliver(json.loads(request.stream.read(LARGEST)))
    except RUBBISH:
        return {"error": "this is not a notification of Alertmanager"}, 400
    return {"status": "kept"}


@web.app_errorhandler(HTTPException)
def refuse(error: HTTPException) -> ResponseReturnValue:
    """JSON for programs; for people what there is instead."""
    code = error.code or 500
    if request.path.startswith("/api"):
        return {"error": "only /api/inbox is here" if code == 404 else error.description}, code
    return render_template("missing.html", code=code, known=near(request.path)), code


def near(path: str) -> dict[str, str]:
    """Pages whose names are like that of a page that is not there, with their addresses; first those of its kind."""
    answers, asked = here().answers, path.rsplit("/", 1)[-1]
    kinds: dict[str, Iterable[str]] = {
        "web.slo": [slo.name for slo in answers.plan.slos],
        "web.route": answers.plan.route_ids.values(),
        "web.alert": [entry.name for entry in answers.runbook.values() if entry.kind == ALERT],
    }
    pages = {
        kind: {name: url_for(kind, name=name) for name in found} for kind, found in kinds.items()
    }
    own = [
        known
        for known in pages.values()
        if any(url.rsplit("/", 1)[0] == path.rsplit("/", 1)[0] for url in known.values())
    ]
    for known in [*own, {name: url for found in pages.values() for name, url in found.items()}]:
        if found := [name for name in known if asked and asked in name][:6] or get_close_matches(
            asked, known, 6, 0.6
        ):
            return {name: known[name] for name in found}
    return {}


def page(template: str, ask: Callable[[], dict[str, Any]], **known: Any) -> str:
    """A page with what is known here and what Prometheus adds; when it does not answer, the page says so instead."""
    answers, kept = here().answers, here().inbox
    silent, seen = "", dict[str, Any]()
    try:
        answers.alive()
        seen = ask()
    except Unreachable as error:
        silent = str(error)
    state = {
        "seen": bool(seen),
        "silent": silent,
        "delivers": answers.delivers(),
        "heard": kept.heard,
    }
    return render_template(template, span=span(), now=time.time(), **state, **seen, **known)


def span() -> str:
    """How far back pictures look."""
    asked = request.args.get("span", "")
    return asked if asked in SPANS else next(iter(SPANS))


def red(answers: Answers) -> Panel:
    """Rate, errors and duration of every route."""
    return next(
        panel for panel in answers.boards[board_slugs.ROUTES].panels if panel.kind == Kind.TABLE
    )


def pictures(slug: str, **bound: str) -> list[Picture]:
    """The pictures of a board; of one with a variable, those that show what it is bound to."""
    found = [
        Picture(panel, slug, number, bound)
        for number, panel in enumerate(here().answers.boards[slug].panels)
        if drawn(panel)
    ]
    return [
        picture for picture in found if not bound or picture.panel.bind(**bound) != picture.panel
    ]


def mine(alerts: Iterable[dict[str, Any]], label: str, value: str) -> list[dict[str, Any]]:
    return [alert for alert in alerts if alert["labels"].get(label) == value]


def received() -> list[dict[str, Any]]:
    """The inbox, newest first, with what has ended in silence."""
    return here().answers.judged(here().inbox.alerts())


def looks(entries: Iterable[Entry]) -> dict[str, list[tuple[dict[str, str], float]]]:
    """What the runbook's questions are answered with now; those about log lines are for Loki, and no number is no answer."""
    answers = here().answers
    asked = {check.query for entry in entries for check in entry.checks if check.source == METRICS}
    return {
        query: [sample for sample in answers.query(query) if math.isfinite(sample[1])]
        for query in sorted(asked)
    }


def promise(labels: dict[str, str]) -> str:
    """The page of the SLO that an alert is about; empty when it is about none that is known."""
    known = labels.get(names.SLO) in {slo.name for slo in here().answers.plan.slos}
    return url_for("web.slo", name=labels[names.SLO]) if known else ""


def ago(moment: float | None) -> str:
    return charts.text(None if moment is None else max(0.0, time.time() - moment), Unit.SECONDS)


def clock(moment: float | None) -> str:
    """Local time, with the day when it is not today's."""
    if moment is None:
        return "–"
    then = time.localtime(moment)
    return time.strftime("%H:%M:%S" if then[:3] == time.localtime()[:3] else "%d %b %H:%M:%S", then)


def prose(text: str) -> Markup:
    """Text as the catalogue writes it, in which `this` is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped one call further in
