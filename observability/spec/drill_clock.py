"""The drill's clock: the same Plan with shorter durations, so that alerts arrive within seconds."""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from observability.spec.clock import Clock
from observability.spec.plan import Plan, Window
from observability.spec.quantities import Duration, format_duration, parse_promql_duration
from observability.spec.schema.policy import DrillEntry

# Durations of PromQL (1h30m, 1w), and what may contain the same characters without being one.
# Where PromQL expects a duration, a plain number is one, too, in seconds.
DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
LENGTH = rf"(?:{DURATION}|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w.])"
TOKEN = re.compile(
    rf"""
      "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | `[^`]*` | \#.*  # strings and comments
    | (?<=\[) \s* (?P<range>{LENGTH})                         # of a selector or a subquery
    | :\s* (?P<step>{LENGTH}) (?=\s*])                        # resolution of a subquery
    | \b(?i:offset)\s*[-+]?\s* (?P<offset>{LENGTH})
    | [a-zA-Z_:][\w:]*                                        # names, such as ratio_rate5m
    | (?P<literal>{DURATION})                                 # as in: time() - last > 1h
    """,
    re.VERBOSE,
)
UNCHANGED = {"threshold", "buckets", "clock", "log_alerts"}  # `clock` is that of the policy


def accelerate(plan: Plan) -> Plan:
    """Return the Plan with every duration ÷ the drill's speed; names stay the same.

    Nothing gets shorter than one scrape, and no window shorter than `scrapes_per_window` scrapes.
    A drill during maintenance must raise its alerts, too: the Plan has none.
    """
    faster: Plan = Accelerator(plan.policy.drill).convert(replace(plan, maintenance=()))
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
            return TOKEN.sub(self._shorten_token, value)
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

    def _shorten_token(self, token: re.Match[str]) -> str:
        """Return a token of an expression, shorter when it is a duration."""
        kind = token.lastgroup
        if kind is None:
            return token[0]
        shorten = self.lookback if kind == "range" else self.interval
        seconds = shorten(parse_promql_duration(token[kind]))
        before = token[0].removesuffix(token[kind])
        return before + format_duration(seconds)
