"""Reports of what nobody foresaw, in a request or a job, to Sentry; nowhere without a DSN."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson
from flask import Flask, current_app, request

from api.config import Settings
from api.platform.state import app_state
from api.platform.telemetry import logs, metrics, request_context

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint


def report(error: Exception) -> None:
    if current_app and (send := app_state().report_error):
        send(error)


def reporter(settings: Settings, dsn: str) -> Callable[[Exception], None]:
    """Sentry, told of exceptions and nothing else: imported here, because it costs memory and time even when it has no DSN."""
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration

    def scrub(event: "Event", _: "Hint") -> "Event":
        clean: Event = orjson.loads(logs.redact(orjson.dumps(event, default=str).decode()))
        return clean

    def send(error: Exception) -> None:
        with sentry_sdk.new_scope() as scope:
            if current := request_context.current():
                scope.set_tags({"request_id": current.request_id, "trace_id": current.trace_id})
            if request:
                scope.set_tag("route", metrics.current_route())
            scope.capture_exception(error)

    sentry_sdk.init(
        dsn,
        release=settings.version,
        environment=settings.env,
        default_integrations=False,  # they hook into everything; what we send is sent by name
        integrations=[
            AtexitIntegration(callback=lambda *_: None)
        ],  # what waits is sent before the process ends
        include_local_variables=False,  # of a stack's frames: bodies and keys are among them
        max_breadcrumbs=0,
        before_send=scrub,
    )
    return send


def init_app(app: Flask, settings: Settings) -> None:
    if dsn := settings.sentry_dsn and settings.sentry_dsn.get_secret_value():
        app_state(app).report_error = reporter(settings, dsn)
