"""The factory of an app: the platform around the blueprints of its nouns."""

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint, Flask
from flask_smorest import Api

from api.platform import db, keys, state
from api.platform.config import PlatformSettings
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
from api.platform.telemetry import error_reports, logs, metrics, tracing
from api.platform.types import JsonObject
from observability.spec.plan import Plan


class ProblemApi(Api):  # type: ignore[misc]
    """smorest's Api with the error schema of the platform.

    errors.init_app replaces its error handler, which drops headers.
    """

    ERROR_SCHEMA = errors.ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None


def flask_config(settings: PlatformSettings, title: str, info: JsonObject) -> JsonObject:
    """Return the configuration of Flask and smorest."""
    return {
        "MAX_CONTENT_LENGTH": settings.max_body_bytes,
        "PROPAGATE_EXCEPTIONS": False,
        "API_TITLE": title,
        "API_VERSION": "1",
        "OPENAPI_VERSION": "3.1.0",
        "API_SPEC_OPTIONS": {
            "info": info,
            "servers": [{"url": "/"}],
            "components": {"securitySchemes": {"bearer": auth.SECURITY_SCHEME}},
        },
    }


def create_app(
    name: str,
    settings: PlatformSettings,
    plan: Plan,
    *,
    title: str,
    info: JsonObject,
    blueprints: Iterable[Blueprint],
    migrations: Path,
    contract: Path,
) -> Flask:
    """Return an app that serves the blueprints; the catalogue of `plan` declares their routes.

    `title` and `info` are the OpenAPI document's; `contract` is the file of the committed one.
    Raise RuntimeError when routes and catalogue disagree.
    """
    logs.configure(plan.service, settings)
    app = hooks.ObservedFlask(name, static_folder=None)
    app.config.update(flask_config(settings, title, info))
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # // is 404: a redirection would follow the client's Host
    state.init_app(app, settings, contract)
    tracing.init_app(app, settings, plan)
    error_reports.init_app(app, settings)
    security_headers.init_app(app, settings)
    db.init_app(app, settings, migrations)
    keys.init_app(app)
    health.init_app(app, settings)
    api = ProblemApi(app)
    api.ma_plugin.converter.add_attribute_function(openapi_document.describe_map)
    for blueprint in (*blueprints, health.blueprint):
        api.register_blueprint(blueprint)
    app.register_blueprint(docs_page.blueprint)
    errors.init_app(app)
    limits.init_app(app, plan, settings)
    auth.init_app(app)
    metrics.init_app(app, plan)
    openapi.init_app(app, api.spec.to_dict(), plan)
    hooks.init_app(app, settings)
    return app
