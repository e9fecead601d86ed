"""The application factory: the platform first, then the nouns."""

from copy import deepcopy

from flask import Flask
from flask_smorest import Api

from api import cli
from api.config import Settings, from_environment
from api.platform import db, state
from api.platform import keys as keyring
from api.platform.http import (
    auth,
    docs_page,
    errors,
    health,
    hooks,
    limits,
    openapi,
    openapi_document,
    security_headers,
)
from api.platform.http.errors import ProblemSchema
from api.platform.telemetry import error_reports, logs, metrics, tracing
from api.services import state as service_state
from api.services import thingspeak
from api.v1 import keys, nodes, readings
from observability.spec import loading

OPENAPI = {
    "API_TITLE": "Evara telemetry API",
    "API_VERSION": "1",
    "OPENAPI_VERSION": "3.1.0",
    "API_SPEC_OPTIONS": {
        "info": {
            "description": "Readings of water tanks, bore wells and flow meters.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "components": {"securitySchemes": {"bearer": auth.SECURITY_SCHEME}},
    },
}


class ProblemApi(Api):  # type: ignore[misc]
    """smorest's Api with the error schema of this API.

    errors.init_app replaces its error handler, which drops headers.
    """

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None


def create_app(settings: Settings | None = None) -> Flask:
    """Return a ready app; raise RuntimeError when its routes and the catalogue disagree."""
    settings = settings or from_environment()
    logs.configure(settings.log_level, settings.env, settings.version)
    app = hooks.ObservedFlask(__name__, static_folder=None)
    app.config.update(
        deepcopy(OPENAPI), MAX_CONTENT_LENGTH=settings.max_body_bytes, PROPAGATE_EXCEPTIONS=False
    )
    app.url_map.strict_slashes = False
    plan = loading.load_plan()

    state.init_app(app, settings)
    tracing.init_app(app, settings)
    error_reports.init_app(app, settings)
    security_headers.init_app(app, settings)
    db.init_app(app, settings.database_url, settings.database_statement_timeout)
    keyring.init_app(app)
    service_state.init_app(app, settings)
    health.init_app(app, settings.limiter_url)
    health.register_guarded(app, thingspeak.DEPENDENCY)
    api = ProblemApi(app)
    api.ma_plugin.converter.add_attribute_function(openapi_document.describe_map)
    for blueprint in (nodes.blueprint, readings.blueprint, keys.blueprint, health.blueprint):
        api.register_blueprint(blueprint)
    app.register_blueprint(docs_page.blueprint)
    errors.init_app(app)
    limits.init_app(app, plan, settings)
    auth.init_app(app)
    metrics.init_app(app, plan)
    openapi.init_app(app, api.spec.to_dict(), plan)
    hooks.init_app(app, settings)
    cli.init_app(app)
    return app
