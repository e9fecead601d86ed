"""The factory of the other app."""

from pathlib import Path

from flask import Flask

from api.platform import cli, factory
from api.platform.config import PlatformSettings
from api.platform.db import database
from api.platform.http import key_routes
from api.platform.jobs import tasks
from observability.spec import loading
from tests.api.platform.other_app import orders
from tests.api.platform.other_app.models import Order

FOLDER = Path(__file__).resolve().parent
CATALOGUE = FOLDER / "catalogue.yaml"
BLUEPRINTS = (orders.blueprint, key_routes.blueprint)


def store_data() -> None:
    """Store the order that the app starts with, unless it exists."""
    with database().write() as session:
        session.merge(Order(id="first", amount=1.0))


def create_app(settings: PlatformSettings) -> Flask:
    """Return a ready app; raise RuntimeError when the app and the catalogue disagree."""
    plan = loading.load_plan(CATALOGUE)
    app = factory.create_app(
        __name__,
        settings,
        plan,
        title="Orders",
        info={"description": "Orders of a shop."},
        blueprints=BLUEPRINTS,
        migrations=FOLDER / "migrations",
        contract=FOLDER / "openapi.json",
    )
    tasks.init_app(app, plan, (orders.SHIPPING,), deliveries=orders.NOTIFY)
    cli.init_app(app, store_data)
    return app
