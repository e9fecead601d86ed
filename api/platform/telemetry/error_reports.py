"""Reports of unhandled exceptions to Sentry; without a DSN nothing is sent or imported."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson
from flask import Flask, request

from api.platform.config import PlatformSettings
from api.platform.state import app_state
from api.platform.telemetry import metrics, request_context
from observability.spec.redaction import redact

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint


def report(error: Exception) -> None:
    """Send an exception of the current request or job to Sentry, if there is a DSN."""
    send = app_state().report_error
    if send:
        send(error)


def scrub(event: "Event", _: "Hint") -> "Event":
    """Return the event without secrets."""
    text = orjson.dumps(event, default=str).decode()
    clean: Event = orjson.loads(redact(text))
    return clean


def connect(settings: PlatformSettings, dsn: str) -> Callable[[Exception], None]:
    """Start Sentry's SDK; return a function that sends an exception.

    The SDK is imported here because it costs memory and time even when it has no DSN.
    """
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration

    def send(error: Exception) -> None:
        with sentry_sdk.new_scope() as scope:
            context = request_context.current()
            if context:
                scope.set_tags({"request_id": context.request_id, "trace_id": context.trace_id})
            if request:
                scope.set_tag("route", metrics.current_route())
            scope.capture_exception(error)

    # Sends what is queued before the process ends, without the notice on standard error.
    send_at_exit = AtexitIntegration(callback=lambda *_: None)
    sentry_sdk.init(
        dsn,
        release=settings.version,
        environment=settings.env,
        default_integrations=False,  # they hook into other libraries
        integrations=[send_at_exit],
        include_local_variables=False,  # they hold bodies and keys
        max_breadcrumbs=0,
        before_send=scrub,
    )
    return send


def init_app(app: Flask, settings: PlatformSettings) -> None:
    """Report the exceptions of the app if the settings have a DSN."""
    if settings.sentry_dsn:
        dsn = settings.sentry_dsn.get_secret_value()
        app_state(app).report_error = connect(settings, dsn)
