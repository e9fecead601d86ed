"""The part of catalogue.yaml that declares maintenance windows."""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from observability.spec.quantities import Duration
from observability.spec.schema.entry import Entry
from observability.spec.schema.fields import PositiveDuration, Text


def parse_moment(value: Any) -> datetime:
    """Return a time in UTC, in whole seconds; raise ValueError for anything else."""
    is_utc = isinstance(value, datetime) and value.utcoffset() == timedelta(0)
    if not is_utc or value.microsecond:
        raise ValueError(
            f"{str(value)!r} is no time in UTC; write it without quotes, as in 2026-12-06T02:00:00Z"
        )
    moment: datetime = value
    return moment


class MaintenanceEntry(Entry):
    """A time, or one that repeats, in which nothing counts for or against any SLO."""

    from_: Annotated[datetime, BeforeValidator(parse_moment), Field(alias="from")]
    for_: Annotated[PositiveDuration, Field(alias="for")]
    every: PositiveDuration | None = None
    reason: Text

    @model_validator(mode="after")
    def require_time_between(self) -> Self:
        """Raise ValueError for a window that repeats before it has ended."""
        if self.every and self.every.seconds <= self.for_.seconds:
            raise ValueError(
                f"repeats every {self.every.text}, but is {self.for_.text} long; "
                "write a longer `every`, or a shorter `for`"
            )
        return self

    @property
    def start(self) -> int:
        """Return the Unix time at which the first window starts."""
        return round(self.from_.timestamp())

    @property
    def text(self) -> str:
        """Return when it is and why, as in `2026-12-06T02:00:00Z for 1h: PostgreSQL upgrade`."""
        repeats = f" every {self.every.text}" if self.every else ""
        return f"{self.from_:%Y-%m-%dT%H:%M:%SZ} for {self.for_.text}{repeats}: {self.reason}"

    def overlaps(self, other: "MaintenanceEntry") -> bool:
        """Return whether some window of the two is at the same time; ends may touch starts."""
        if self.every and other.every:
            step = math.gcd(milliseconds(self.every), milliseconds(other.every))
            after = (other.start - self.start) * 1000 % step
            return after < milliseconds(self.for_) or step - after < milliseconds(other.for_)
        single, repeated = (other, self) if self.every else (self, other)
        end = single.start + float(single.for_.seconds)
        return any(
            start < end and single.start < start + float(repeated.for_.seconds)
            for start in repeated.starts_near(single.start)
        )

    def starts_near(self, moment: int) -> Iterator[float]:
        """Yield the starts of the last window before a Unix time, and of the next one."""
        yield self.start
        if self.every:
            length = float(self.every.seconds)
            number = max(0, math.floor((moment - self.start) / length))
            yield self.start + number * length
            yield self.start + (number + 1) * length


def milliseconds(duration: Duration) -> int:
    """Return a duration as a whole number."""
    return int(duration.seconds * 1000)
