"""Availability: the share of calls that do not fail."""

from collections.abc import Sequence

from observability.lib.panels import Unit
from observability.lib.promql import event_rates, one_of, selector
from observability.lib.runbook_check import RunbookCheck
from observability.sli.kind import EventCounters, EventKind, or_zero, subjects_of, sum_calls
from observability.sli.sources import SOURCES
from observability.sli.steady_traffic import EVENTS, ONE_INSTANCE, SteadyTraffic, counter
from observability.spec.plan import AVAILABILITY, Plan, Slo


class Availability(EventKind):
    """Every call is an event; it is bad when it fails."""

    name = AVAILABILITY
    bad_text = "calls to {subject} failed"

    def counters(self, slos: Sequence[Slo]) -> EventCounters:
        """Return all calls and those that fail."""
        source, subjects = SOURCES[slos[0].source], subjects_of(slos)
        total = sum_calls(slos, selector(source.count, **subjects))
        failed = sum_calls(slos, source.failed_calls(**subjects))
        return EventCounters(total=total, bad=or_zero(failed, total))

    def steady_series(self, plan: Plan, traffic: SteadyTraffic) -> dict[str, str]:
        """Return failed and successful calls of every subject."""
        series: dict[str, str] = {}
        for slo in self.slos(plan):
            source = SOURCES[slo.source]
            subject = {source.label: slo.subjects[0]}
            failed = selector(source.count, **subject, **source.one_failure(), **ONE_INSTANCE)
            succeeded = selector(source.count, **subject, **source.one_success(), **ONE_INSTANCE)
            bad = traffic.bad_of(EVENTS, slo.name)
            series |= {failed: counter(bad), succeeded: counter(EVENTS - bad)}
        return series

    def promise(self, slo: Slo) -> str:
        """Return what the source calls a success."""
        return SOURCES[slo.source].success

    def impact(self, slo: Slo) -> str:
        """Return the catalogue's words, else the source's."""
        return slo.impact or SOURCES[slo.source].impact_of_failure.format(subject=slo.subject)

    def checks(self, slo: Slo) -> tuple[RunbookCheck, ...]:
        """Return what the source shows about failures."""
        source = SOURCES[slo.source]
        if not slo.is_declared:
            return source.checks_of_failure(slo.subject)
        routes = one_of(slo.routes)
        failed = {source.label: routes, **source.failed}
        by_route = event_rates(source.label, source.count, **failed)
        which = RunbookCheck("Which of the routes fail?", by_route, Unit.REQUESTS)
        return which, *source.checks_of_failure(routes)
