"""`flask --app api.app worker` and `sync`: run jobs as a worker, or every sync once."""

import sys

import click
from flask.cli import ScriptInfo

from api.jobs import Jobs


@click.command("sync")
@click.pass_obj
def sync(script: ScriptInfo) -> None:
    """Pull new readings from ThingSpeak, once; exit 1 when a node is not synced to the end."""
    if not Jobs(script.load_app()).sync_now():
        sys.exit(1)


@click.command("worker")
@click.pass_obj
def worker(script: ScriptInfo) -> None:
    """Sync and deliver until SIGTERM."""
    Jobs(script.load_app()).work()
