"""The application factory: the platform, and the nouns in it."""

from pathlib import Path

from flask import Flask

from api import cli
from api.config import Settings, from_environment
from api.platform import factory
from api.platform.http import health, key_routes
from api.platform.jobs import tasks
from api.services import alarms, state, sync, thingspeak
from api.v1 import nodes, readings
from observability.spec import loading

FOLDER = Path(__file__).resolve().parent


def create_app(settings: Settings | None = None) -> Flask:
    """Return a ready app; raise RuntimeError when the app and the catalogue disagree."""
    settings = settings or from_environment()
    plan = loading.load_plan()
    app = factory.create_app(
        __name__,
        settings,
        plan,
        title="Evara telemetry API",
        info={
            "description": "Readings of water tanks, bore wells and flow meters.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        blueprints=(nodes.blueprint, readings.blueprint, key_routes.blueprint),
        migrations=FOLDER.parent / "migrations",
        contract=FOLDER / "openapi.json",
    )
    state.init_app(app, settings)
    health.register_guarded(app, thingspeak.DEPENDENCY)
    tasks.init_app(app, plan, (sync.new_task(settings),), deliveries=alarms.JOB)
    cli.init_app(app)
    return app
