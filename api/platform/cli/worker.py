"""`flask --app api.app worker`: run jobs."""

import click
from flask.cli import ScriptInfo

from api.platform.jobs.worker import Jobs


@click.command("worker")
@click.pass_obj
def worker(script: ScriptInfo) -> None:
    """Run jobs until SIGTERM."""
    Jobs(script.load_app()).work()
