"""The drill's clock: the same Plan with shorter durations, so that alerts arrive within seconds."""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from observability.spec.plan import Clock, Plan, Window
from observability.spec.quantities import Duration, format_duration, parse_duration
from observability.spec.schema.policy import DrillEntry

RANGE = re.compile(r"(?<=\[)\d+(?:ms|s|m|h|d)(?=[]:])")  # of a range selector or a subquery
UNCHANGED = {"threshold", "buckets", "clock", "log_alerts"}  # `clock` is that of the policy


def accelerate(plan: Plan) -> Plan:
    """Return the Plan with every duration ÷ the drill's speed; names stay the same.

    Nothing gets shorter than one scrape, and no window shorter than `scrapes_per_window` scrapes.
    """
    faster: Plan = Accelerator(plan.policy.drill).convert(plan)
    return faster


class Accelerator:
    """The conversion of a Plan and everything in it to the drill's clock."""

    def __init__(self, drill: DrillEntry):
        self.speed = drill.speed
        self.scrape = drill.scrape.seconds
        self.shortest_window = self.scrape * drill.scrapes_per_window

    def convert(self, value: Any, field: str = "") -> Any:
        """Return the value of a field with shorter durations."""
        if isinstance(value, Window):
            return replace(value, seconds=self.lookback(value.seconds))
        if isinstance(value, Clock):
            return Clock(*map(self.interval, value))
        if field in UNCHANGED:
            return value
        if isinstance(value, Duration):
            shorten = self.lookback if field == "fresh_within" else self.interval
            return Duration(value.text, shorten(value.seconds))
        if field in {"for_", "probe_every"}:
            return self.interval(value)
        if field == "expr":
            return RANGE.sub(self._range, value)
        return self._convert_parts(value)

    def _convert_parts(self, value: Any) -> Any:
        if hasattr(value, "__dataclass_fields__"):
            names = value.__dataclass_fields__
            update = {name: self.convert(getattr(value, name), name) for name in names}
            return replace(value, **update)
        if isinstance(value, BaseModel):
            names = type(value).model_fields
            update = {name: self.convert(getattr(value, name), name) for name in names}
            return value.model_copy(update=update)
        if isinstance(value, dict):
            return {key: self.convert(part) for key, part in value.items()}
        if type(value) is tuple:
            return tuple(map(self.convert, value))
        return value

    def interval(self, seconds: Decimal) -> Decimal:
        """Return an interval of at least one scrape, in seconds; zero stays zero."""
        return self._shorten(seconds, self.scrape)

    def lookback(self, seconds: Decimal) -> Decimal:
        """Return a length of at least `scrapes_per_window` scrapes, in seconds."""
        return self._shorten(seconds, self.shortest_window)

    def _shorten(self, seconds: Decimal, minimum: Decimal) -> Decimal:
        if not seconds:
            return seconds
        return max(Decimal(round(seconds / self.speed)), minimum)

    def _range(self, match: re.Match[str]) -> str:
        return format_duration(self.lookback(parse_duration(match[0]).seconds))
