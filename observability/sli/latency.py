"""Latency: the share of successful calls within a threshold, an edge of the histogram."""

from collections.abc import Iterator, Sequence

from observability.lib.panel_builders import lines
from observability.lib.panel_queries import duration_queries, threshold_query
from observability.lib.panels import BAD, GOOD, WARN, Panel, Query, Step, Unit
from observability.lib.promql import one_of
from observability.lib.runbook_check import RunbookCheck
from observability.lib.templates import fill
from observability.sli.kind import EventCounters, EventKind, subjects_of, sum_calls, with_idle
from observability.sli.sources import calls_of
from observability.sli.steady_traffic import EVENTS, SteadyTraffic, counter
from observability.spec.plan import (
    AVAILABILITY,
    DEPENDENCY_SOURCE,
    HTTP_SOURCE,
    LATENCY,
    Plan,
    Slo,
)
from observability.spec.quantities import format_decimal

ROUTE_THRESHOLD = '<<seconds>> + 0 * max(<<OBJECTIVE>>{<<SLO>>=~"<<slos>>"})'


class Latency(EventKind):
    """Every successful call is an event; it is bad when it takes longer than the threshold."""

    name = LATENCY
    bad_text = "successful requests to {subject} were too slow"

    def counters(self, slos: Sequence[Slo]) -> EventCounters:
        """Return calls that succeed; quick ones are counted, slow ones are the rest."""
        source, subjects = calls_of(slos[0]), subjects_of(slos)
        total = sum_calls(slos, source.timed_calls(subjects))
        quick = sum_calls(slos, source.calls_within(slos[0].limit, subjects))
        return EventCounters(
            total=with_idle(slos, total), bad=with_idle(slos, f"{total}\n- {quick}")
        )

    def steady_series(self, plan: Plan, traffic: SteadyTraffic) -> dict[str, str]:
        """Return the calls of every subject that succeed, and the bucket of the quick ones."""
        series: dict[str, str] = {}
        for slo in self.slos(plan):
            source = calls_of(slo)
            timed = EVENTS
            if not source.times_failures:
                timed -= failed_calls(plan, slo, traffic)
            quick = timed - traffic.bad_of(timed, slo.name)
            counters = source.steady_durations(plan, slo, quick, timed)
            series |= {text: counter(step) for text, step in counters.items()}
        return series

    def promise(self, slo: Slo) -> str:
        """Return which calls are quick, and how quick."""
        timed = "requests" if calls_of(slo).times_failures else "successful requests"
        return f"of {timed} take at most {slo.limit.text}"

    def impact(self, slo: Slo) -> str:
        """Return the source's words; a route's own are about failures."""
        if slo.is_declared and slo.impact:
            return slo.impact
        sentence = calls_of(slo).impact_of_delay
        return sentence.format(subject=slo.subject, threshold=slo.limit.text)

    def checks(self, slo: Slo) -> tuple[RunbookCheck, ...]:
        """Return what the source shows about durations."""
        return calls_of(slo).checks_of_delay(one_of(slo.routes) if slo.routes else slo.subject)


def failed_calls(plan: Plan, slo: Slo, traffic: SteadyTraffic) -> int:
    """Return the calls of the SLO's subject that fail, per sample."""
    availability = (
        other for other in plan.slos_of(slo.source, AVAILABILITY) if other.subject == slo.subject
    )
    return sum(traffic.bad_of(EVENTS, other.name) for other in availability)


# --- panels ---


def colour_steps(plan: Plan) -> tuple[Step, ...]:
    """Return the colours of a duration: worse above every threshold of the catalogue."""
    edges = sorted({float(slo.threshold.seconds) for slo in plan.slos if slo.threshold})
    below_the_last = ((edge, WARN) for edge in edges[:-1])
    the_last = ((edge, BAD) for edge in edges[-1:])
    return (0.0, GOOD), *below_the_last, *the_last


def durations_panel(plan: Plan, description: str, routes: str) -> Panel:
    """Return quantiles of successful requests with the thresholds of the routes' SLOs.

    `routes` is a regular expression.
    """
    quantiles = duration_queries(plan.signals, routes=f"~{routes}")
    thresholds = route_thresholds(plan, routes)
    return lines("Duration", description, Unit.SECONDS, *quantiles, *thresholds)


def route_thresholds(plan: Plan, routes: str) -> Iterator[Query]:
    """Yield a line per threshold, drawn when a matching route has that threshold."""
    for threshold in plan.slos_by_limit(HTTP_SOURCE, LATENCY):
        seconds = format_decimal(threshold.seconds)
        slos = f"{routes}-{LATENCY}-{threshold.text}"
        yield threshold_query(threshold, fill(ROUTE_THRESHOLD, seconds=seconds, slos=slos))


def dependency_thresholds(plan: Plan, dependency: str) -> Iterator[Query]:
    """Yield a line per threshold of the dependency's SLOs."""
    for threshold, slos in plan.slos_by_limit(DEPENDENCY_SOURCE, LATENCY).items():
        if any(slo.subject == dependency for slo in slos):
            yield threshold_query(threshold)
