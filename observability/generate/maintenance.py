"""Declared maintenance in the recording rules; without any, all rules stay as they are.

`rate` bridges a gap in a counter, and would count its increase after it. Events before and after a
window are therefore different series, by the label `section`.
"""

from collections.abc import Iterator
from decimal import Decimal

from observability.lib.json_object import Json
from observability.lib.templates import fill
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.quantities import format_decimal, parse_duration
from observability.spec.schema.maintenance import MaintenanceEntry

# Nothing before the first start.
ONCE = "vector(<<until>>) and vector(time()) >= <<start>>"
REPEATED = "<<until>> + <<every>> * floor((vector(time()) - <<start>> >= 0) / <<every>>)"
OPEN = "group by (<<STARTS>>, <<REASON>>) (<<MAINTENANCE_UNTIL>> > time())"
BETWEEN = 'count_values("<<SECTION>>", max(<<MAINTENANCE_UNTIL>>) <= time() or <<never>>)'
NEVER = "vector(0) unless on () <<MAINTENANCE_UNTIL>>"
IN_SECTION = "(<<expr>>)\n* on () group_left (<<SECTION>>) <<SECTION_INFO>>"
OUTSIDE = "(<<expr>>)\nand on () <<SECTION_INFO>>"
# What was not possible during maintenance has as much time after it as after a success.
GRACE = """\
clamp_max(
  (<<expr>>)
  + on () group_left () ((max(<<MAINTENANCE_UNTIL>>) > bool time() - <<limit>>) or vector(0)),
  1
)"""
SILENT = "<<expr>> unless on () <<IN_MAINTENANCE>>"
EXCLUDED = "(sum(count_over_time(<<IN_MAINTENANCE>>[<<window>>])) or vector(0)) * <<seconds>>"
REST = "(<<period>> - scalar(<<excluded>>))"


def rules(plan: Plan) -> Iterator[Json]:
    """Yield which windows are open, and the present section; nothing without maintenance."""
    if not plan.maintenance:
        return
    for entry in plan.maintenance:
        labels = {names.STARTS: f"{entry.from_:%Y-%m-%dT%H:%M:%SZ}", names.REASON: entry.reason}
        expr = until(plan, entry)
        yield {"record": names.MAINTENANCE_UNTIL, "expr": expr, "labels": labels}
    yield {"record": names.IN_MAINTENANCE, "expr": fill(OPEN), "labels": {}}
    section = fill(BETWEEN, never=fill(NEVER))
    yield {"record": names.SECTION_INFO, "expr": section, "labels": {}}


def until(plan: Plan, entry: MaintenanceEntry) -> str:
    """Return when events count again after the last window that has started, Unix time.

    The first scrape after the end is the one from which they are counted.
    """
    return fill(
        REPEATED if entry.every else ONCE,
        start=entry.start,
        until=format_decimal(entry.start + entry.for_.seconds + plan.clock.scrape),
        every=format_decimal(entry.every.seconds if entry.every else Decimal(0)),
    )


def excluded_seconds(plan: Plan) -> Iterator[Json]:
    """Yield how many seconds of the period were maintenance; nothing without maintenance."""
    if plan.maintenance:
        seconds = format_decimal(plan.clock.evaluate)
        expr = fill(EXCLUDED, window=plan.period.text, seconds=seconds)
        yield {"record": names.EXCLUDED + plan.period.name, "expr": expr, "labels": {}}


def rest_of_period(plan: Plan) -> str:
    """Return the seconds of the period in which events may count."""
    period = format_decimal(plan.period.seconds)
    if not plan.maintenance:
        return period
    return fill(REST, period=period, excluded=names.EXCLUDED + plan.period.name)


def mask_events(plan: Plan, expr: str) -> str:
    """Return a counter of events that is another series after each window, and none within."""
    return fill(IN_SECTION, expr=expr) if plan.maintenance else expr


def mask_seconds(plan: Plan, expr: str, labels: dict[str, str]) -> str:
    """Return an expression of good and bad seconds without those of maintenance."""
    if not plan.maintenance:
        return expr
    if limit := labels.get(names.LIMIT):
        seconds = format_decimal(parse_duration(limit).seconds)
        expr = fill(GRACE, expr=expr, limit=seconds)
    return fill(OUTSIDE, expr=expr)


def silence(plan: Plan, expr: str) -> str:
    """Return the expression of an alert that does not fire during maintenance."""
    return fill(SILENT, expr=expr) if plan.maintenance else expr
