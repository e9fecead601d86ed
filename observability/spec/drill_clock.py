"""The drill's clock: the same Plan with shorter durations, so that alerts arrive within seconds."""

import re
from dataclasses import replace
from decimal import Decimal

from observability.spec.plan import Alert, Clock, EntryT, Plan, Slo, Tier, Window
from observability.spec.quantities import Duration, format_duration, parse_duration
from observability.spec.schema.catalogue import WatchEntry
from observability.spec.schema.entry import AlertEntry
from observability.spec.schema.policy import DrillEntry, SeverityEntry

RANGE = re.compile(r"(?<=\[)\d+(?:ms|s|m|h|d)(?=[]:])")  # of a range selector or a subquery


def accelerate(plan: Plan) -> Plan:
    """Return the Plan with every duration ÷ the drill's speed; names stay the same.

    Nothing gets shorter than one scrape, and no window shorter than `scrapes_per_window` scrapes.
    """
    return Accelerator(plan.policy.drill).plan(plan)


class Accelerator:
    """The conversion of each part of a Plan to the drill's clock."""

    def __init__(self, drill: DrillEntry):
        self.speed = drill.speed
        self.scrape = drill.scrape.seconds
        self.shortest_window = self.scrape * drill.scrapes_per_window

    def plan(self, plan: Plan) -> Plan:
        """Return the Plan on the drill's clock."""
        severities = {
            name: self.severity(severity) for name, severity in plan.policy.severities.items()
        }
        return replace(
            plan,
            period=self.window(plan.period),
            slos=tuple(map(self.slo, plan.slos)),
            tiers=tuple(map(self.tier, plan.tiers)),
            guards=tuple(map(self.guard, plan.guards)),
            symptoms=tuple(map(self.symptom, plan.symptoms)),
            windows=tuple(map(self.window, plan.windows)),
            clock=self.clock(plan.clock),
            probe_every=self.scrape,
            policy=plan.policy.model_copy(update={"severities": severities}),
        )

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

    def window(self, window: Window) -> Window:
        """Return the window with its name and a shorter length."""
        return replace(window, seconds=self.lookback(window.seconds))

    def slo(self, slo: Slo) -> Slo:
        """Return an SLO whose freshness is shorter; thresholds of durations stay."""
        if slo.fresh_within is None:
            return slo
        seconds = self.lookback(slo.fresh_within.seconds)
        return replace(slo, fresh_within=Duration(slo.fresh_within.text, seconds))

    def tier(self, tier: Tier) -> Tier:
        """Return a burn-rate alert with shorter windows and `for`."""
        conditions = tuple(
            replace(condition, window=self.window(condition.window))
            for condition in tier.conditions
        )
        return replace(
            tier,
            for_=self.interval(tier.for_),
            conditions=conditions,
            guard_window=self.window(tier.guard_window),
        )

    def guard(self, guard: Alert[AlertEntry]) -> Alert[AlertEntry]:
        """Return a guard with a shorter `for`."""
        return self._with_entry(guard)

    def symptom(self, symptom: Alert[WatchEntry]) -> Alert[WatchEntry]:
        """Return a symptom with a shorter `for` and shorter ranges in its expression."""
        return self._with_entry(symptom, expr=RANGE.sub(self._range, symptom.entry.expr))

    def _with_entry(self, alert: Alert[EntryT], **changes: str) -> Alert[EntryT]:
        wait = Duration("", self.interval(alert.entry.for_.seconds))
        return replace(alert, entry=alert.entry.model_copy(update={"for_": wait, **changes}))

    def _range(self, match: re.Match[str]) -> str:
        return format_duration(self.lookback(parse_duration(match[0]).seconds))

    def clock(self, clock: Clock) -> Clock:
        """Return the clock with shorter intervals."""
        return Clock(*map(self.interval, clock))

    def severity(self, severity: SeverityEntry) -> SeverityEntry:
        """Return a severity with shorter timings of delivery."""
        timings = {
            key: Duration("", self.interval(getattr(severity, key).seconds))
            for key in ("group_wait", "group_interval", "repeat_interval")
        }
        return severity.model_copy(update=timings)
