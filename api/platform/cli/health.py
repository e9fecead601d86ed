"""`flask --app api.app health`: run the health checks."""

import sys

import click
import orjson
from flask.cli import with_appcontext

from api.platform.http.health import report
from api.platform.state import app_state


@click.command("health")
@with_appcontext
def health() -> None:
    """Print the results of all health checks as JSON; exit 1 unless the app is ready."""
    body, is_ready = report(app_state().health_checks)
    click.echo(orjson.dumps(body))
    sys.exit(not is_ready)
