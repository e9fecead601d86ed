"""The limits of readings, for requests, syncs and responses."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from marshmallow import ValidationError, validate
from sqlalchemy import ColumnElement

from api.models import LARGEST, METRIC
from api.platform.clock import now
from api.platform.http.parsing import Whole

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MAX_AHEAD = timedelta(days=1)  # clocks of devices are never wrong by more


class Limit(NamedTuple):
    """A marshmallow validator, and the reason that the metric of rejected values has for it."""

    validate: Any
    reason: str


def plausible(moment: datetime) -> None:
    """Raise ValidationError for a time before 2000 or more than a day ahead."""
    if not EARLIEST <= moment <= now() + MAX_AHEAD:
        raise ValidationError("Must be between 2000-01-01 and one day from now.")


LIMITS = {
    "metric": Limit(Whole(METRIC), "metric_name"),
    "time": Limit(plausible, "time_range"),
    "value": Limit(validate.Range(-LARGEST, LARGEST), "value_range"),
}


def exceeded(row: dict[str, Any]) -> str | None:
    """Return the reason why a reading is not acceptable; None when it is."""
    for key, limit in LIMITS.items():
        try:
            limit.validate(row[key])
        except ValidationError:
            return limit.reason
    return None


def is_metric(name: str) -> bool:
    """Return whether a text is the name of a metric."""
    return re.fullmatch(METRIC, name) is not None


def within(table: Any, latest: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for rows up to a time that an answer can show.

    Earlier releases stored readings of channels without these limits.
    """
    return (
        table.time.between(EARLIEST, latest),
        table.value.between(-LARGEST, LARGEST),
    )
