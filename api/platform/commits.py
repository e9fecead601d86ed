"""Commits whose outcome is unknown: the answer was lost, but the change may be stored."""

import sqlite3

from flask import g, has_request_context
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

PRIMARY_CODE = 0xFF  # of SQLite's extended error codes
# Errors of a COMMIT after which nothing is stored: SQLite's primary codes, and PostgreSQL's classes
# of codes (data exception, constraint violation, rollback). After others it may be stored: SQLite's
# file may hold a commit that did not reach the disk, and PostgreSQL's answer may be what was lost.
ROLLED_BACK_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT)
ROLLED_BACK_CLASSES = ("22", "23", "40")


class OutcomeUnknown(OperationalError):
    """A COMMIT that failed, although the database may have stored the change."""


def commit(session: Session) -> None:
    """Commit, and note that this request has stored something; raise OutcomeUnknown."""
    try:
        session.commit()
    except DBAPIError as error:
        if is_rolled_back(error.orig):
            raise
        cause = error.orig or error
        raise OutcomeUnknown(error.statement, error.params, cause, True) from error
    if has_request_context():
        g.has_committed = True


def is_rolled_back(error: BaseException | None) -> bool:
    """Tell whether the error of a COMMIT means that nothing is stored."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & PRIMARY_CODE in ROLLED_BACK_CODES
    return str(getattr(error, "sqlstate", None)).startswith(ROLLED_BACK_CLASSES)
