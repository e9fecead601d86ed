"""Errors as commands print them: a sentence and the command that fixes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import click
from flask.cli import AppGroup, ScriptInfo
from sqlalchemy.exc import SQLAlchemyError

from api.platform.clock import now
from api.platform.commits import OutcomeUnknown
from api.platform.state import app_state
from observability.spec.quantities import parse_positive_duration


class Command(click.Command):
    """A command that prints errors of the database as a sentence instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        with database_errors(ctx):
            return super().invoke(ctx)


class Group(AppGroup):
    """A group of such commands."""

    def invoke(self, ctx: click.Context) -> Any:
        with database_errors(ctx):
            return super().invoke(ctx)


@contextmanager
def database_errors(ctx: click.Context) -> Iterator[None]:
    """Raise ClickException for a database that is unavailable or lacks migrations."""
    try:
        yield
    except OutcomeUnknown as error:
        raise click.ClickException(
            f"{error.args[0]}; the change may be stored, or not. fix: list what is stored, then"
            " undo it or repeat the command"
        ) from error
    except SQLAlchemyError as error:
        app = ctx.ensure_object(ScriptInfo).load_app()
        url = app_state(app).database.engine.url.render_as_string(hide_password=True)
        raise click.ClickException(
            f"{error.args[0]}, in {url}; fix: set EVARA_DATABASE_URL to the API's database, or"
            " migrate this one: flask --app api.app db upgrade"
        ) from error


def time_from_now(duration: str, sign: int) -> datetime:
    """Return the time so long after (sign 1) or before (-1) now; raise BadParameter for others."""
    try:
        seconds = float(parse_positive_duration(duration).seconds)
        return now() + sign * timedelta(seconds=seconds)
    except OverflowError as error:
        raise click.BadParameter(f"{duration!r} is too long") from error
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
