"""The console: Alertmanager's inbox, and pages for people who have no Grafana.

gunicorn serves `main()`.
"""

import os
from pathlib import Path

from flask import Flask, Response, request
from jinja2 import PackageLoader, StrictUndefined
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.exceptions import HTTPException

from observability.console.chart_images import SPANS, chart_images
from observability.console.context import Console
from observability.console.errors import show_error
from observability.console.formats import ago, clock, prose
from observability.console.inbox import inbox
from observability.console.notification_store import NotificationStore
from observability.console.pages import pages, slo_url
from observability.console.queries import Queries
from observability.devstack.layout import StackLayout
from observability.lib import charts
from observability.lib.html import with_macros
from observability.lib.remote import Address
from observability.sli import registry
from observability.slo.verdicts import describe_coverage
from observability.spec import host_names
from observability.spec.plan import Plan

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self';"
    " script-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def main() -> Flask:
    """Return the console of the stack that EVARA_STACK_DIR and EVARA_PORT_OFFSET name."""
    layout = StackLayout.main()
    return create_app(layout, layout.plan())


def create_app(layout: StackLayout, plan: Plan, server: Address | None = None) -> Flask:
    """Return the console of a stack, or of another Prometheus, which has no inbox."""
    app = Flask(__name__)
    app.jinja_loader = with_macros(PackageLoader("observability.console"))
    inbox_file = Path(os.devnull) if server else layout.state / "inbox.jsonl"
    queries = Queries(layout, plan, server)
    app.extensions["console"] = Console(layout, queries, NotificationStore(inbox_file))
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.filters.update(
        unit=charts.text,
        ago=ago,
        clock=clock,
        prose=prose,
        promise=registry.promise,
        coverage=describe_coverage,
    )
    app.jinja_env.globals.update(
        slo_url=slo_url,
        spans=SPANS,
        service=plan.scope,
        has_stack=server is None,
        period=plan.period.name,
        paging_severity=plan.paging_severity,
        severities=set(plan.policy.severities) - {plan.heartbeat_severity},
    )
    for blueprint in (pages, chart_images, *([] if server else [inbox])):
        app.register_blueprint(blueprint)
    app.add_url_rule("/metrics", view_func=metrics)
    app.register_error_handler(HTTPException, show_error)
    app.before_request(refuse_unknown_host)
    app.after_request(add_security_headers)
    return app


def metrics() -> Response:
    """Return the metrics of this process; Prometheus notices by them that it is down."""
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)


def refuse_unknown_host() -> Response | None:
    """Answer 400 when the Host header is a name under which the console is not reached."""
    target = request.environ.get("RAW_URI", "/")
    if host_names.from_environment().accepts(request.headers.get("Host"), target):
        return None
    return Response(host_names.REFUSAL, 400, mimetype="text/plain")


def add_security_headers(response: Response) -> Response:
    """Add the headers that a view has not set itself."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
