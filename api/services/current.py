"""The current reading of each metric: the newest one that is not ahead of the server's clock.

A device whose clock is ahead sends readings that lie in the future. They are stored, but until
their time comes, readings of the present are newer in fact.
"""

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.models import Latest, Reading
from api.platform.clock import now
from api.services import limits
from api.services.node_counts import Memory, count

AHEAD = timedelta(minutes=5)  # by which clocks of devices may differ from the server's
RECEIVED_AHEAD = "evara_ahead_readings"  # a metric of the catalogue
_counted = Memory()
_logged = Memory()
log = logging.getLogger(__name__)


class CurrentReading(NamedTuple):
    """The current reading of a metric, and the metric's row, which has its alarm state."""

    row: Latest
    time: datetime
    value: float

    @property
    def metric(self) -> str:
        """The metric's name."""
        return self.row.metric


def horizon() -> datetime:
    """Return the time from which on a reading is ahead of the server's clock."""
    return now() + AHEAD


def readings(
    session: Session, node_id: str, metrics: Collection[str] | None = None
) -> list[CurrentReading]:
    """Return the current readings of a node's metrics, of all by default, in order of metrics."""
    newest = (
        select(Reading)
        .where(
            Reading.node_id == Latest.node_id,
            Reading.metric == Latest.metric,
            *limits.within(Reading, horizon()),
        )
        .order_by(Reading.time.desc())
        .limit(1)
        .correlate(Latest)
    )
    # One search of the primary key's index for each column and metric.
    time = newest.with_only_columns(Reading.time).scalar_subquery()
    value = newest.with_only_columns(Reading.value).scalar_subquery()
    query = select(Latest, time, value).where(Latest.node_id == node_id).order_by(Latest.metric)
    if metrics is not None:
        query = query.where(Latest.metric.in_(metrics))
    return [
        CurrentReading(row, time, value)
        for row, time, value in session.execute(query)
        if time is not None and limits.is_metric(row.metric)
    ]


def readings_ahead(session: Session, node_id: str) -> list[Latest]:
    """Return the newest reading of each metric that is ahead, in order of metrics."""
    in_range = limits.within(Latest, now() + limits.MAX_AHEAD)
    query = select(Latest).where(Latest.node_id == node_id, Latest.time > horizon(), *in_range)
    rows = session.scalars(query.order_by(Latest.metric))
    return [row for row in rows if limits.is_metric(row.metric)]


def count_ahead(node_id: str, rows: list[dict[str, Any]]) -> int:
    """Return how many rows are ahead. Count those that are new, and log the first of each node.

    Requests are repeated, and a sync reads entries again; each process counts a reading only once.
    """
    limit = horizon()
    ahead = [row for row in rows if row["time"] > limit]
    for row in ahead:
        if _counted.is_new((node_id, row["metric"], row["time"])):
            count(RECEIVED_AHEAD, node_id)
    if ahead and _logged.is_new(node_id):
        fields = {"subject": node_id, "time": ahead[0]["time"].isoformat()}
        log.warning("readings are ahead of the server's clock", extra=fields)
    return len(ahead)
