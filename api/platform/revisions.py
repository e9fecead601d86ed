"""The revisions of migrations: those of the code, and the one that the database is at."""

from functools import lru_cache

from alembic.script import ScriptDirectory
from flask import current_app
from sqlalchemy import column, inspect, select, table
from sqlalchemy.orm import Session

# Made once: a new table for each check would fill SQLAlchemy's cache of compiled statements.
VERSIONS = table("alembic_version", column("version_num"))


@lru_cache
def _revisions_in(folder: str) -> tuple[str, ...]:
    return tuple(script.revision for script in ScriptDirectory(folder).walk_revisions())


def known_revisions() -> tuple[str, ...]:
    """Return the revisions of the current app's migrations, newest first."""
    return _revisions_in(current_app.extensions["migrate"].directory)


def stored_revision(session: Session) -> str | None:
    """Return the revision that the database is at; None before the first migration."""
    if not inspect(session.connection()).has_table(VERSIONS.name):
        return None
    return session.scalar(select(VERSIONS.c.version_num))


def is_of_newer_release(revision: str | None) -> bool:
    """Return whether a newer release has migrated the database to this revision.

    This release works with it if it is the one before: migrations are compatible with that one
    alone. How many releases lie between cannot be seen here.
    """
    return revision is not None and revision not in known_revisions()
