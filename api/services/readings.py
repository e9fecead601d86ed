"""Storage and queries of readings; storing readings is idempotent."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.models import Latest, Node, Reading
from api.platform.clock import now
from api.platform.db import database, insert_into, paged
from api.platform.types import JsonObject
from api.services import alarms, current, limits
from api.services.nodes import require

LOOKUP_KEYS = 500  # keys per query, far below the limit of bound values in every database
Row = dict[str, Any]  # metric, time, value; a sync adds keys of its own
ReadingKey = tuple[str, datetime]  # metric, time


class Outcome(NamedTuple):
    """The result of a batch; a conflict is stored with another value."""

    stored: int
    duplicates: int
    conflicts: list[Row]
    ahead: int  # of the server's clock


def store(node_id: str, rows: list[Row]) -> dict[str, int]:
    """Store a batch in one transaction and return {"stored", "duplicates", "conflicts"}.

    It has "ahead", too, when some are ahead of the server's clock. Raise NotFound when there is no
    such node.
    """
    with database().write() as session:
        node = require(session, node_id)
        outcome = insert(session, node, rows)
    receipt = {
        "stored": outcome.stored,
        "duplicates": outcome.duplicates,
        "conflicts": len(outcome.conflicts),
    }
    if outcome.ahead:
        receipt["ahead"] = outcome.ahead
    return receipt


def insert(session: Session, node: Node, rows: list[Row]) -> Outcome:
    """Store rows in the session's transaction.

    The first value for a metric and time is kept.
    """
    values = unique_rows(node.id, rows)
    stored = insert_new(session, values)
    update_latest(session, values)
    metrics = {row["metric"] for row in rows}
    alarms.record_alarms(session, node, metrics)
    conflicts = []
    if stored < len(rows):
        conflicts = conflicting_rows(session, node.id, rows)
    duplicates = len(rows) - stored - len(conflicts)
    ahead = current.count_ahead(node.id, rows)
    return Outcome(stored, duplicates, conflicts, ahead)


def key_of(row: Row) -> ReadingKey:
    """Return the key of a row among the readings of its node."""
    return row["metric"], row["time"]


def unique_rows(node_id: str, rows: list[Row]) -> list[Row]:
    """Return the first row of each key as values of the readings table, in key order.

    PostgreSQL locks row by row: without one order, two batches could deadlock.
    """
    value_by_key: dict[ReadingKey, float] = {}
    for row in rows:
        value_by_key.setdefault(key_of(row), row["value"])
    return [
        {"node_id": node_id, "metric": metric, "time": time, "value": value}
        for (metric, time), value in sorted(value_by_key.items())
    ]


def insert_new(session: Session, values: list[Row]) -> int:
    """Insert the values whose keys are not stored yet and return their number."""
    statement = insert_into(session, Reading).on_conflict_do_nothing().returning(Reading.metric)
    # The values are parameters: a statement with .values() would be compiled anew for each number
    # of rows, which costs more than storing them.
    inserted = session.execute(statement, values).all()
    return len(inserted)


def update_latest(session: Session, values: list[Row]) -> None:
    """Move each metric's row to its newest time, never back; `values` are in key order."""
    latest_by_metric = {row["metric"]: row for row in values}  # in key order, too
    statement = insert_into(session, Latest)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=["node_id", "metric"],
        set_={"time": new.time, "value": new.value},
        where=new.time > Latest.time,
    )
    session.execute(statement, list(latest_by_metric.values()))


def conflicting_rows(session: Session, node_id: str, rows: list[Row]) -> list[Row]:
    """Return the rows that are stored with another value."""
    keys = sorted({key_of(row) for row in rows})
    stored: dict[ReadingKey, float] = {}
    for start in range(0, len(keys), LOOKUP_KEYS):
        stored |= stored_values(session, node_id, keys[start : start + LOOKUP_KEYS])
    return [row for row in rows if stored[key_of(row)] != row["value"]]


def stored_values(
    session: Session, node_id: str, keys: list[ReadingKey]
) -> dict[ReadingKey, float]:
    """Return the stored values of at least these keys."""
    metrics = {metric for metric, _ in keys}
    times = {time for _, time in keys}
    # Conditions that the primary key's index serves: a range of times may span years, and for
    # pairs of metric and time SQLite would scan all readings of the node.
    query = select(Reading.metric, Reading.time, Reading.value).where(
        Reading.node_id == node_id,
        Reading.metric.in_(metrics),
        Reading.time.in_(times),
    )
    return {(metric, time): value for metric, time, value in session.execute(query)}


def page(
    node_id: str,
    page: int,
    page_size: int,
    metric: str | None = None,
    from_: datetime | None = None,
    to: datetime | None = None,
) -> JsonObject:
    """Return a page of readings with from_ ≤ time < to, oldest first; a day up to now by default.

    Raise NotFound when there is no such node.
    """
    end = to or now()
    start = from_ or end - timedelta(days=1)
    query = (
        select(Reading)
        .where(
            Reading.node_id == node_id,
            Reading.time >= start,
            Reading.time < end,
            *limits.within(Reading, end),
        )
        .order_by(Reading.time, Reading.metric)
    )
    if metric:
        query = query.where(Reading.metric == metric)
    with database().read() as session:
        require(session, node_id)
        query = query.where(Reading.metric.not_in(invalid_metrics(session, node_id)))
        return paged(session, query, page, page_size)


def invalid_metrics(session: Session, node_id: str) -> list[str]:
    """Return the metrics of the node whose names no answer can show."""
    metrics = session.scalars(select(Latest.metric).where(Latest.node_id == node_id))
    return [metric for metric in metrics if not limits.is_metric(metric)]


def latest(node_id: str) -> JsonObject:
    """Return {"items"} with the current reading of every metric, by metric.

    It has "ahead", too, when readings are ahead of the server's clock: the newest of each metric.
    Raise NotFound when there is no such node.
    """
    with database().read() as session:
        require(session, node_id)
        answer: JsonObject = {"items": current.readings(session, node_id)}
        ahead = current.readings_ahead(session, node_id)
    if ahead:
        answer["ahead"] = ahead
    return answer
