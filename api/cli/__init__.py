"""Commands of `flask --app api.app`, a module for each command or group of commands."""

from flask import Flask

from api.cli import audit, health, jobs, keys, seed, worker
from api.platform.http import contract

COMMANDS = (
    seed.seed,
    worker.sync,
    worker.worker,
    jobs.group,
    keys.group,
    audit.audit,
    health.health,
)


def init_app(app: Flask) -> None:
    """Add the commands to the app's command line."""
    for command in COMMANDS:
        app.cli.add_command(command)
    contract.init_app(app)
