"""Availability: the share of calls that do not fail."""

from collections.abc import Sequence

from observability.lib.panels import Unit
from observability.lib.promql import one_of
from observability.lib.requests import calls
from observability.lib.runbook_check import RunbookCheck
from observability.sli.kind import (
    EventCounters,
    EventKind,
    or_zero,
    subjects_of,
    sum_calls,
    with_idle,
)
from observability.sli.sources import calls_of
from observability.sli.steady_traffic import EVENTS, SteadyTraffic, counter
from observability.spec.plan import AVAILABILITY, SHORT_WINDOW, Plan, Slo


class Availability(EventKind):
    """Every call is an event; it is bad when it fails."""

    name = AVAILABILITY
    bad_text = "calls to {subject} failed"

    def counters(self, slos: Sequence[Slo]) -> EventCounters:
        """Return all calls and those that fail."""
        source, subjects = calls_of(slos[0]), subjects_of(slos)
        total = with_idle(slos, sum_calls(slos, source.all_calls(subjects)))
        failed = sum_calls(slos, source.failed_calls(subjects))
        return EventCounters(total=total, bad=or_zero(failed, total))

    def steady_series(self, plan: Plan, traffic: SteadyTraffic) -> dict[str, str]:
        """Return failed and successful calls of every subject."""
        series: dict[str, str] = {}
        for slo in self.slos(plan):
            bad = traffic.bad_of(EVENTS, slo.name)
            counters = calls_of(slo).steady_calls(plan, slo, bad, EVENTS - bad)
            series |= {text: counter(step) for text, step in counters.items()}
        return series

    def promise(self, slo: Slo) -> str:
        """Return what the source calls a success, and what does not count."""
        success = calls_of(slo).success
        if slo.excluded_codes:
            success += f" ({', '.join(slo.excluded_codes)} excluded)"
        return success

    def impact(self, slo: Slo) -> str:
        """Return the catalogue's words, else the source's."""
        return slo.impact or calls_of(slo).impact_of_failure.format(subject=slo.subject)

    def checks(self, slo: Slo) -> tuple[RunbookCheck, ...]:
        """Return what the source shows about failures."""
        source = calls_of(slo)
        if not slo.is_declared:
            return source.checks_of_failure(slo.subject)
        routes = one_of(slo.routes)
        signal = slo.signals.failed
        failed = calls(signal, routes, signal.failed, over=SHORT_WINDOW)
        by_route = f"sum by ({source.label}) ({failed})"
        which = RunbookCheck("Which of the routes fail?", by_route, Unit.REQUESTS)
        return which, *source.checks_of_failure(routes)
