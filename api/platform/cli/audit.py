"""`flask --app api.app audit`: print the audit log."""

from datetime import datetime

import click
import orjson
from flask.cli import with_appcontext

from api.platform.audit import LINE, entries
from api.platform.cli.errors import Command, time_from_now
from api.platform.db import database
from api.platform.tables import AuditEntry


@click.command("audit", cls=Command)
@click.option(
    "--since",
    type=lambda text: time_from_now(text, -1),
    metavar="DURATION",
    help="Entries of the last 1d, 6h, 30m.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@with_appcontext
def audit(since: datetime | None, as_json: bool) -> None:
    """Print the audit log, oldest entry first."""
    columns = AuditEntry.__table__.columns.keys()
    with database().read() as session:
        for entry in entries(session, since):
            values = {column: getattr(entry, column) for column in columns}
            if as_json:
                click.echo(orjson.dumps(values))
            else:
                click.echo(LINE.format(**values, who=entry.key_id or entry.address))
