"""The audit log: one entry per change of an audited object, in the transaction of the change.

Write sessions record the entries, so that no view or command can omit them.
"""

from datetime import datetime
from typing import Any

import click
from flask import g, has_request_context, request
from sqlalchemy import event, insert, inspect, select
from sqlalchemy.orm import ORMExecuteState, Session

from api.platform.tables import AuditEntry
from api.platform.telemetry import metrics, request_context
from observability.spec.redaction import redact

# The text form of an entry.
LINE = "{time:%Y-%m-%d %H:%M:%S}  {action:<16} {change:<7} {subject:<32} {who!s:<18} {fields}"


class RecordingSession(Session):
    """A session that records an audit entry for every change of an audited object."""


@event.listens_for(RecordingSession, "after_flush")
def _record(session: Session, _: Any) -> None:
    entries: list[dict[str, Any]] = []
    for change, objects in (
        ("insert", session.new),
        ("update", session.dirty),
        ("delete", session.deleted),
    ):
        entries += [_entry(change, changed) for changed in objects if changed.__audited__]
    entries = [entry for entry in entries if entry["fields"] or entry["change"] == "delete"]
    if entries:
        session.execute(insert(AuditEntry), entries)


def _entry(change: str, changed: Any) -> dict[str, Any]:
    state = inspect(changed)
    primary_key = state.mapper.primary_key_from_instance(changed)
    fields = []
    if change != "delete":
        fields = sorted(field.key for field in state.attrs if field.history.has_changes())
    entry: dict[str, Any] = {
        "action": _action(change),
        "subject": redact(f"{changed.__tablename__}/{'/'.join(map(str, primary_key))}"),
        "change": change,
        "fields": fields,
    }
    if has_request_context():
        entry |= {"key_id": g.get("key_id"), "address": request.remote_addr}
    if context := request_context.current():
        entry |= {"request_id": context.request_id, "trace_id": context.trace_id}
    return entry


def _action(change: str) -> str:
    if has_request_context():
        return metrics.current_route()
    command = click.get_current_context(silent=True)
    words: list[str] = []
    while command and command.parent:  # the outermost is the `flask` program itself
        words.insert(0, command.info_name or "")
        command = command.parent
    if words:
        return ".".join(["cli", *words])
    return f"code.{change}"


@event.listens_for(RecordingSession, "do_orm_execute")
def _refuse_bulk_changes(statement: ORMExecuteState) -> None:
    """Raise RuntimeError for a bulk statement: the rows that it changes are unknown."""
    changes = statement.is_insert or statement.is_update or statement.is_delete
    if not changes or statement.bind_mapper is None:
        return
    table = statement.bind_mapper.class_
    if table.__audited__:
        raise RuntimeError(
            f"{table.__name__} is audited: change its objects in the session, not by one statement"
        )


def entries(session: Session, since: datetime | None = None) -> list[AuditEntry]:
    """Return the entries since a time, or all, oldest first."""
    query = select(AuditEntry).order_by(AuditEntry.id)
    if since:
        query = query.where(AuditEntry.time >= since)
    return list(session.scalars(query))
