"""`flask --app api.app sync`: run every sync once."""

import sys

import click
from flask.cli import ScriptInfo

from api.platform.cli.errors import Command
from api.platform.jobs.worker import Jobs
from api.services.thingspeak import SYNC_JOB


@click.command("sync", cls=Command)
@click.pass_obj
def sync(script: ScriptInfo) -> None:
    """Fetch new readings from ThingSpeak once; exit 1 unless every node is synced."""
    all_finished = Jobs(script.load_app()).runners[SYNC_JOB].run_all()
    sys.exit(not all_finished)
