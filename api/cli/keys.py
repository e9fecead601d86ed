"""`flask --app api.app keys`: make, list and revoke API keys."""

from datetime import datetime, timedelta
from typing import Any

import click
import orjson
from flask.cli import AppGroup
from marshmallow import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import NotFound

from api.models import SCOPES, now
from api.platform import keys
from api.v1.keys import KeySchema, NewKeySchema
from observability.spec.quantities import parse_positive_duration

MOST_LISTED = 10_000


def away(error: SQLAlchemyError) -> click.ClickException:
    return click.ClickException(
        f"{error.args[0]}; mend the database, or run: flask --app api.app db upgrade"
    )


def lifetime(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    """`90d` → the moment at which it is over."""
    try:
        return (
            now() + timedelta(seconds=float(parse_positive_duration(text).seconds))
            if text
            else None
        )
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(str(error)) from error


class KeyCommands(AppGroup):
    """Tells in a sentence what went wrong."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SQLAlchemyError as error:
            raise away(error) from error
        except (NotFound, ValidationError) as error:
            raise click.ClickException(str(error)) from error


group = KeyCommands("keys", help="API keys: make, list and revoke them.")


@group.command("create")
@click.argument("name")
@click.option(
    "--scope", type=click.Choice(SCOPES), required=True, help="write may read, admin may all."
)
@click.option(
    "--expires", "expires_at", callback=lifetime, help="After so long, as in 90d; never by default."
)
@click.option("--unlimited", is_flag=True, help="Not rate-limited: for load runs and probers.")
def create_key(name: str, scope: str, expires_at: datetime | None, unlimited: bool) -> None:
    """Make a key. The last line is the key alone; it is stored nowhere and never shown again."""
    values = NewKeySchema().load({"name": name, "scope": scope, "unlimited": unlimited})
    key = keys.create(**values, expires_at=expires_at)
    click.echo(
        f"key {key.id} made, scope {scope}; keep it, this is the only time that it is shown:\n{key.token}"
    )


@group.command("list")
@click.option("--json", "json_", is_flag=True, help="Print JSON for scripts.")
def list_keys(json_: bool) -> None:
    """Show all keys, the newest first; none of them can be shown itself."""
    found = KeySchema(many=True).dump(keys.page(1, MOST_LISTED)["items"])
    if json_:
        click.echo(orjson.dumps({"keys": found}))
        return
    rows = [("id", "scope", "limits", "made", "last used", "expires", "revoked", "name")]
    for key in found:
        times = [
            (key[name] or "-")[:16]
            for name in ("created_at", "last_used_at", "expires_at", "revoked_at")
        ]
        rows.append(
            (key["id"], key["scope"], "none" if key["unlimited"] else "yes", *times, key["name"])
        )
    for row in rows:
        click.echo("{:<13} {:<6} {:<6} {:<17} {:<17} {:<17} {:<17} {}".format(*row))


@group.command("revoke")
@click.argument("key_id", metavar="ID")
def revoke_key(key_id: str) -> None:
    """Revoke a key; doing it again changes nothing."""
    keys.revoke(key_id)
    click.echo(f"revoked; running workers refuse it within {keys.CACHE_SECONDS:.0f} s")
