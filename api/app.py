"""The application factory: reads as a table of contents."""

from copy import deepcopy
from functools import partial

from flask import Flask
from flask_smorest import Api

from api import cli
from api.config import Settings, from_environment
from api.platform import db, faults
from api.platform.http import auth, docs_page, errors, health, limits, openapi, security_headers
from api.platform.http.errors import ProblemSchema
from api.platform.outbound import guarded_calls
from api.platform.outbound.redis_client import Shared
from api.platform.telemetry import error_reports, logs, metrics, tracing
from api.services import live, thingspeak
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
    """smorest's Api with our error shape in the contract; errors.init_app replaces its handler, which drops headers."""

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None


def create_app(settings: Settings | None = None) -> Flask:
    """A ready app; RuntimeError when its routes and the catalogue disagree."""
    settings = settings or from_environment()
    logs.configure(settings.log_level, settings.env, settings.version)
    app = metrics.ObservedFlask(__name__, static_folder=None)
    app.config.update(
        deepcopy(OPENAPI), MAX_CONTENT_LENGTH=settings.max_body_bytes, PROPAGATE_EXCEPTIONS=False
    )
    app.url_map.strict_slashes = False
    app.extensions["evara_settings"] = settings
    declared = loading.load_plan()

    logs.init_app(app)
    tracing.init_app(app, settings)
    security_headers.init_app(app, settings)
    db.init_app(app, settings.database_url, settings.database_statement_timeout)
    auth.identify_callers(app, settings)
    if settings.faults_file:
        faults.init_app(app, settings.faults_file)
    guarded_calls.init_app(app, settings.request_deadline)
    shared = Shared(settings.redis_url) if settings.redis_url else None
    thingspeak.init_app(app, settings, shared)
    live.init_app(app, settings.live_ttl, shared)
    health.init_app(app, settings.limiter_url)
    health.register(
        app,
        thingspeak.DEPENDENCY,
        partial(guarded_calls.check, thingspeak.DEPENDENCY),
        critical=False,
    )
    api = app.extensions["evara_api"] = ProblemApi(app)
    api.ma_plugin.converter.add_attribute_function(openapi.field2map)
    for blueprint in (nodes.blueprint, readings.blueprint, keys.blueprint, health.blueprint):
        api.register_blueprint(blueprint)
    app.register_blueprint(docs_page.blueprint)
    errors.init_app(app)
    error_reports.init_app(app, settings)
    limits.init_app(app, declared, settings)
    auth.authorise_callers(app)
    metrics.init_app(app, declared)
    openapi.init_app(
        app, declared, check_answers=settings.check_answers and settings.env != "production"
    )
    cli.init_app(app)
    return app
