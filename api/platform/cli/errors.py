"""Errors as commands print them: a sentence and the command that fixes it."""

import click
from sqlalchemy.exc import SQLAlchemyError


def database_error(error: SQLAlchemyError) -> click.ClickException:
    """Return the message for a database that is unavailable or lacks migrations."""
    return click.ClickException(
        f"{error.args[0]}; fix the connection to the database, or run: "
        "flask --app api.app db upgrade"
    )
