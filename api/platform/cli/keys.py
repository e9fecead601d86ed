"""`flask --app api.app keys`: create, list and revoke API keys."""

from datetime import datetime
from typing import Any

import click
import orjson
from marshmallow import ValidationError
from werkzeug.exceptions import NotFound

from api.platform import keys
from api.platform.cli.errors import Group, time_from_now
from api.platform.http.key_routes import KeySchema, NewKeySchema
from api.platform.tables import SCOPES
from api.platform.types import JsonObject

MAX_LISTED = 10_000
TIMES = ("created_at", "last_used_at", "expires_at", "revoked_at")  # columns of the table
ROW = "{:<13} {:<6} {:<6} {:<17} {:<17} {:<17} {:<17} {}"
HEADINGS = ("id", "scope", "limits", "created", "last used", "expires", "revoked", "name")


def parse_lifetime(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    """Return the time at which a lifetime such as `90d` ends when it begins now."""
    return time_from_now(text, 1) if text else None


class KeyCommands(Group):
    """Commands that print refused values as a sentence instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (NotFound, ValidationError) as error:
            raise click.ClickException(str(error)) from error


group = KeyCommands("keys", help="Create, list and revoke API keys.")


@group.command("create")
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(SCOPES),
    required=True,
    help="`write` includes `read`; `admin` includes both.",
)
@click.option(
    "--expires",
    "expires_at",
    callback=parse_lifetime,
    help="Lifetime, such as 90d; by default without end.",
)
@click.option("--unlimited", is_flag=True, help="Not rate-limited: for load runs and probers.")
def create_key(name: str, scope: str, expires_at: datetime | None, unlimited: bool) -> None:
    """Create a key and print it alone on the last line; it cannot be shown again."""
    values = NewKeySchema().load({"name": name, "scope": scope, "unlimited": unlimited})
    key = keys.create(**values, expires_at=expires_at)
    click.echo(f"created key {key.id} with scope {scope}; store it now, it is not shown again:")
    click.echo(key.token)


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def list_keys(as_json: bool) -> None:
    """List all keys, newest first, without the keys themselves."""
    listed = KeySchema(many=True).dump(keys.page(1, MAX_LISTED)["items"])
    if as_json:
        click.echo(orjson.dumps({"keys": listed}))
        return
    click.echo(ROW.format(*HEADINGS))
    for key in listed:
        click.echo(table_row(key))


def table_row(key: JsonObject) -> str:
    """Return the line of a key in the table; times are to the minute."""
    limits = "yes"
    if key["unlimited"]:
        limits = "none"
    times = [(key[name] or "-")[:16] for name in TIMES]
    return ROW.format(key["id"], key["scope"], limits, *times, key["name"])


@group.command("revoke")
@click.argument("key_id", metavar="ID")
def revoke_key(key_id: str) -> None:
    """Revoke a key; this is idempotent."""
    keys.revoke(key_id)
    click.echo(f"revoked; running workers reject it within {keys.CACHE_SECONDS:.0f} s")
