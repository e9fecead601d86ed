"""Ratio: the share of the events of any counter that are not bad."""

from collections.abc import Iterator, Sequence

from observability.lib.panels import Unit
from observability.lib.promql import selector
from observability.lib.runbook_check import RunbookCheck
from observability.lib.templates import fill
from observability.sli.kind import EventCounters, EventKind, or_zero, sum_by_instance
from observability.sli.steady_traffic import EVENTS, ONE_INSTANCE, SteadyTraffic, counter
from observability.spec.plan import COUNTER_RATIO, SHORT_WINDOW, Plan, Slo
from observability.spec.selectors import Series, example, read_selector, selects

PER_SECOND = "sum(rate(<<selected>>[<<window>>]))"


class Ratio(EventKind):
    """The catalogue names two counters: of all events, and of the bad or the good ones."""

    name = COUNTER_RATIO
    promise_text = "of the events are good"
    bad_text = "the events of {subject} were bad"

    def counters(self, slos: Sequence[Slo]) -> EventCounters:
        """Return the two counters of one SLO, or bad events as the rest beside the good ones."""
        [slo] = slos
        total = sum_by_instance(slo.measure.total)
        part = or_zero(sum_by_instance(slo.measure.expr), total)
        bad = part if slo.measure.form == "bad" else f"{total}\n- ({part})"
        return EventCounters(total=total, bad=bad)

    def measured_by(self, slo: Slo) -> str:
        """Return the counter of all events."""
        return slo.measure.total

    def steady_series(self, plan: Plan, traffic: SteadyTraffic) -> dict[str, str]:
        """Return one series of the bad or good events, and one of the others."""
        series: dict[str, str] = {}
        for slo in self.slos(plan):
            part = example(slo.measure.expr)
            others = example(slo.measure.total, other_than=slo.measure.expr)
            bad = traffic.bad_of(EVENTS, slo.name)
            counted = bad if slo.measure.form == "bad" else EVENTS - bad
            rest = EVENTS - counted if part.metric == others.metric else EVENTS
            series |= {text_of(part): counter(counted), text_of(others): counter(rest)}
        for slo in self.slos(plan):
            series = dict(quick_events(slo, series)) | series
        return series

    def impact(self, slo: Slo) -> str:
        """Return the catalogue's words, else what can be said of any counter."""
        return slo.impact or f"Too many events of {slo.subject} are bad."

    def checks(self, slo: Slo) -> tuple[RunbookCheck, ...]:
        """Return the rates of both counters."""
        total = fill(PER_SECOND, selected=slo.measure.total, window=SHORT_WINDOW)
        part = fill(PER_SECOND, selected=slo.measure.expr, window=SHORT_WINDOW)
        return (
            RunbookCheck("How many events are there?", total, Unit.PER_SECOND),
            RunbookCheck(f"How many {slo.measure.form} ones?", part, Unit.PER_SECOND),
        )


def quick_events(slo: Slo, series: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield good events of another metric, as of a bucket, for all series that `total` selects.

    Those of another SLO may be among them.
    """
    part = example(slo.measure.expr)
    others = example(slo.measure.total, other_than=slo.measure.expr)
    if slo.measure.form == "bad" or part.metric == others.metric:
        return
    total = read_selector(slo.measure.total)
    own = {label: text for label, text in part.labels.items() if label not in others.labels}
    for text, values in series.items():
        one = example(text)
        if one.metric == others.metric and selects(total, one.labels):
            yield text_of(Series(part.metric, one.labels | own)), values


def text_of(series: Series) -> str:
    """Return a series in promtool's notation, of one instance unless it names its own."""
    return selector(series.metric, **ONE_INSTANCE | series.labels)
