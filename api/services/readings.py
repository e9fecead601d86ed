"""Storing and reading what nodes measured; storing the same readings again changes nothing."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.models import Latest, Node, Reading, now
from api.platform.db import database, insert_into, paged
from api.services import notifications
from api.services.nodes import require

CHUNK = 500  # keys per question, far below every database's limit of bound values
Row = dict[str, Any]  # metric, time, value


def store(node_id: str, rows: list[Row]) -> dict[str, int]:
    """Stores a batch in one transaction: {"stored", "duplicates", "conflicts"}; NotFound without the node."""
    with database().write() as session:
        return insert(session, require(session, node_id), rows)


def insert(session: Session, node: Node, rows: list[Row]) -> dict[str, int]:
    """Stores rows in the session's transaction. The first value stored for a metric and time stays."""
    unique: dict[tuple[str, datetime], float] = {}
    for row in rows:
        unique.setdefault((row["metric"], row["time"]), row["value"])
    # in one order always: PostgreSQL locks row by row, and two batches that wait for each other would both fail
    values = [
        {"node_id": node.id, "metric": metric, "time": time, "value": unique[metric, time]}
        for metric, time in sorted(unique)
    ]
    # Rows as parameters, not in .values(): a statement for just so many rows is compiled every time, which costs more than storing them.
    statement = insert_into(session, Reading).on_conflict_do_nothing().returning(Reading.metric)
    stored = len(session.execute(statement, values).all())
    remember(session, values)
    notifications.record(session, node, {row["metric"] for row in rows})
    conflicts = differing(session, node.id, rows) if stored < len(rows) else 0
    return {"stored": stored, "duplicates": len(rows) - stored - conflicts, "conflicts": conflicts}


def differing(session: Session, node_id: str, rows: list[Row]) -> int:
    """How many of the rows are stored with another value."""
    keys = sorted({(row["metric"], row["time"]) for row in rows})
    kept: dict[tuple[str, datetime], float] = {}
    for start in range(0, len(keys), CHUNK):
        metrics, times = map(set, zip(*keys[start : start + CHUNK], strict=True))
        query = select(Reading.metric, Reading.time, Reading.value).where(
            # Keys of the index: between the first and the last time may lie years, and for pairs SQLite would scan the node.
            Reading.node_id == node_id,
            Reading.metric.in_(metrics),
            Reading.time.in_(times),
        )
        kept |= {(metric, time): value for metric, time, value in session.execute(query)}
    return sum(kept[row["metric"], row["time"]] != row["value"] for row in rows)


def remember(session: Session, values: list[Row]) -> None:
    """Moves the newest reading of each metric forward, never back."""
    newest: dict[str, Row] = {}
    for value in values:
        if value["metric"] not in newest or value["time"] > newest[value["metric"]]["time"]:
            newest[value["metric"]] = value
    statement = insert_into(session, Latest)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["node_id", "metric"],
            set_={"time": statement.excluded.time, "value": statement.excluded.value},
            where=statement.excluded.time > Latest.time,
        ),
        list(newest.values()),
    )


def span(
    node_id: str,
    page: int,
    page_size: int,
    metric: str | None = None,
    from_: datetime | None = None,
    to: datetime | None = None,
) -> dict[str, Any]:
    """A page of readings with from_ ≤ time < to, oldest first."""
    end = to or now()
    start = from_ or end - timedelta(days=1)
    query = select(Reading).where(
        Reading.node_id == node_id, Reading.time >= start, Reading.time < end
    )
    if metric:
        query = query.where(Reading.metric == metric)
    with database().read() as session:
        require(session, node_id)
        return paged(session, query.order_by(Reading.time, Reading.metric), page, page_size)


def latest(node_id: str) -> list[Latest]:
    """The newest reading of every metric, by metric."""
    with database().read() as session:
        require(session, node_id)
        return list(
            session.scalars(select(Latest).where(Latest.node_id == node_id).order_by(Latest.metric))
        )
