"""The audit log: one entry per change of an audited object, in the transaction that changes it; and how to read it.

Sessions that write call it by themselves, so no view or command can forget it.
"""

from datetime import datetime
from typing import Any

import click
from flask import current_app, g, has_request_context, request
from sqlalchemy import event, insert, inspect, select
from sqlalchemy.orm import ORMExecuteState, Session

from api.models import AuditEntry
from api.platform.telemetry import metrics, request_context

LINE = "{time:%Y-%m-%d %H:%M:%S}  {action:<16} {change:<7} {subject:<32} {who!s:<18} {fields}"  # an entry for people


class RecordingSession(Session):
    """A session in which no change of an audited object goes without its entry."""


@event.listens_for(RecordingSession, "after_flush")
def _record(session: Session, _: Any) -> None:
    changes = (("insert", session.new), ("update", session.dirty), ("delete", session.deleted))
    entries = [
        _entry(kind, found) for kind, objects in changes for found in objects if found.__audited__
    ]
    if told := [entry for entry in entries if entry["fields"] or entry["change"] == "delete"]:
        session.execute(insert(AuditEntry), told)


def _entry(change: str, changed: Any) -> dict[str, Any]:
    state = inspect(changed)
    told = {attribute.key for attribute in state.attrs if attribute.history.has_changes()}
    current = request_context.current()
    return {
        "action": _action(change),
        "subject": f"{changed.__tablename__}/{'/'.join(map(str, state.mapper.primary_key_from_instance(changed)))}",
        "change": change,
        "fields": [] if change == "delete" else sorted(told),
        "key_id": g.get("key_id") if has_request_context() else None,
        "address": request.remote_addr if has_request_context() else None,
        "request_id": current.request_id if current else None,
        "trace_id": current.trace_id if current else None,
    }


def _action(change: str) -> str:
    if has_request_context():
        return metrics.current_route(current_app)
    command, words = click.get_current_context(silent=True), list[str]()
    while command and command.parent:  # the outermost is whatever flask was started by
        command, words = command.parent, [command.info_name or "", *words]
    return ".".join(["cli", *words]) if words else f"code.{change}"


@event.listens_for(RecordingSession, "do_orm_execute")
def _refuse_bulk(statement: ORMExecuteState) -> None:
    """A statement over many rows does not say which it changed: RuntimeError, where the log would miss it."""
    changes = statement.is_insert or statement.is_update or statement.is_delete
    if changes and statement.bind_mapper is not None and statement.bind_mapper.class_.__audited__:
        raise RuntimeError(
            f"{statement.bind_mapper.class_.__name__} is audited: change its objects in the session, not by one statement"
        )


def entries(session: Session, since: datetime | None = None) -> list[AuditEntry]:
    """The entries since then, or all, oldest first."""
    query = select(AuditEntry).order_by(AuditEntry.id)
    return list(session.scalars(query.where(AuditEntry.time >= since) if since else query))
