"""Commands of `flask --app api.app` that every app has, a module for each or for each group."""

from collections.abc import Callable

from flask import Flask

from api.platform.cli import audit, health, jobs, keys, seed, worker
from api.platform.http import contract
from api.platform.state import app_state

COMMANDS = (
    seed.seed,
    worker.worker,
    jobs.group,
    keys.group,
    audit.audit,
    health.health,
    contract.commands,
)


def init_app(app: Flask, store_data: Callable[[], None]) -> None:
    """Add the commands; `seed` calls `store_data` to store the app's own data."""
    app_state(app).store_data = store_data
    for command in COMMANDS:
        app.cli.add_command(command)
