"""The order of request hooks: one list of layers, and the two calls that surround them."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, Response

from api.platform import faults
from api.platform.config import PlatformSettings
from api.platform.http import auth, errors, limits, openapi, security_headers, unparsed
from api.platform.outbound import deadlines
from api.platform.state import app_state
from api.platform.telemetry import logs, tracing


@dataclass(frozen=True)
class Layer:
    """Hooks that belong together; `enabled` returns whether the settings need them."""

    before: Callable[[], Response | None] | None = None
    after: Callable[[Response], Response] | None = None
    teardown: Callable[[BaseException | None], None] | None = None
    extension: Callable[[Flask], None] | None = None  # registers the hooks of a library
    enabled: Callable[[PlatformSettings], bool] = lambda _: True


# From the outermost layer to the innermost: `before` runs downwards, `after` and `teardown`
# run upwards.
LAYERS = (
    # The outermost layer: log lines of all layers have the ids, and the request's line covers all.
    Layer(before=logs.begin, after=logs.finish, teardown=logs.end),
    # The span needs the ids and covers the layers below.
    Layer(before=tracing.begin, teardown=tracing.end, enabled=lambda s: bool(s.otlp_endpoint)),
    # Refusals and errors of the layers below get these headers, too.
    Layer(after=security_headers.add_headers),
    # A browser sends a preflight without a key, so it is answered before authorisation.
    Layer(
        before=security_headers.answer_preflight,
        after=security_headers.allow_origin,
        enabled=lambda s: bool(s.cors_origins),
    ),
    # Limits are counted per key, so the key is identified first.
    Layer(before=auth.identify, after=auth.record_use),
    # A fault affects every caller, independently of limits and scopes.
    Layer(before=faults.inject, enabled=lambda s: s.faults_file is not None),
    Layer(before=deadlines.begin_deadline, teardown=deadlines.end_deadline),
    # Before authorisation, so that guessed keys are counted.
    Layer(extension=limits.register, after=limits.add_headers),
    # After the limits, which count refused requests, too.
    Layer(before=unparsed.refuse),
    Layer(
        before=security_headers.refuse_unknown_host,
        enabled=security_headers.has_known_hosts,
    ),
    Layer(before=auth.authorise),
    # After authorisation: only authorised callers get details about invalid requests.
    Layer(before=openapi.refuse_unknown_input, after=openapi.add_deprecation_headers),
)


class ObservedFlask(Flask):
    """Flask that measures and logs the hooks, also when they fail."""

    def full_dispatch_request(self) -> Response:
        """Measure hooks, view and error handlers; complete a response if a hook failed."""
        return errors.complete(app_state(self).timed_dispatch())

    def handle_exception(self, e: Exception) -> Response:
        """Answer an exception that no handler caught, without running failed hooks again."""
        return errors.last_resort(e)

    def announce_stop(self) -> None:
        """Answer from now on that this process is not ready: it will stop."""
        app_state(self).is_stopping = True

    def answer_unparsed(self, status: int, address: str) -> bytes:
        """Return the whole HTTP response to a request that gunicorn cannot parse."""
        return unparsed.answer(self, status, address)


def init_app(app: Flask, settings: PlatformSettings) -> None:
    """Register the layers that the settings enable."""
    for layer in LAYERS:
        if not layer.enabled(settings):
            continue
        if layer.before:
            app.before_request(layer.before)
        if layer.extension:
            layer.extension(app)
        if layer.after:
            app.after_request(layer.after)
        if layer.teardown:
            app.teardown_request(layer.teardown)
