"""The interface of a kind of SLI: expressions, promtool series, words and checks."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from observability.lib.promql import by_slo, one_of
from observability.lib.runbook_check import RunbookCheck
from observability.lib.templates import fill
from observability.sli.sources import calls_of, source_of
from observability.sli.steady_traffic import SteadyTraffic
from observability.spec.plan import Plan, Slo
from observability.spec.schema.policy import SliKind

BY_INSTANCE = "sum by (<<INSTANCE>>) (<<counter>>)"
OR_ZERO = "<<counted>>\nor 0 * <<total>>"
WITH_IDLE = "<<calls>>\nor <<idle>>"


@dataclass(frozen=True)
class EventCounters:
    """Two expressions by `instance`: the events so far, and the bad ones among them.

    Those of several SLOs are by `slo`, too; of a declared SLO, the rule sets that label.
    """

    total: str
    bad: str


class Kind(ABC):
    """One kind of SLI; `name` is the value of the label `sli`."""

    name: ClassVar[SliKind]
    counts_seconds: ClassVar[bool] = False  # else events
    promise_text: ClassVar[str]  # the end of the sentence `99.9 % …`, formatted with the SLO
    bad_text: ClassVar[str]  # the end of the sentence `About 3 % of …`, formatted with the subject

    def promise(self, slo: Slo) -> str:
        """Return the end of the sentence `99.9 % …`."""
        return self.promise_text.format(slo=slo)

    def bad_events(self, subject: str) -> str:
        """Return the end of the sentence `About 3 % of …`; the subject may be a Go template."""
        return self.bad_text.format(subject=subject)

    @abstractmethod
    def impact(self, slo: Slo) -> str:
        """Return what users notice while the SLO is burning."""

    @abstractmethod
    def checks(self, slo: Slo) -> tuple[RunbookCheck, ...]:
        """Return what to look at first while the SLO is burning."""

    @abstractmethod
    def measured_by(self, slo: Slo) -> str:
        """Return PromQL of the series without which the SLO is not measured."""

    @abstractmethod
    def steady_series(self, plan: Plan, traffic: SteadyTraffic) -> dict[str, str]:
        """Return promtool's input series in which each SLO has its share of bad events."""

    def slos(self, plan: Plan) -> tuple[Slo, ...]:
        """Return the SLOs of this kind."""
        return tuple(slo for slo in plan.slos if slo.sli == self.name)

    def drill(self, plan: Plan, slo: Slo) -> str | None:
        """Return the drill that breaks such a promise, if there is one."""
        source = source_of(slo)
        is_ours = plan.signals.of_platform
        if slo.is_declared or not is_ours or (source and not source.has_drills):
            return None
        return plan.policy.drill.by_sli.get(self.name)


class SecondsKind(Kind):
    """A kind that counts seconds: each is good or bad, or in part."""

    counts_seconds = True
    missing_is_bad: ClassVar[bool] = False  # else not measured

    @abstractmethod
    def freshness(self, plan: Plan) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield expressions, 1 while all is good and else 0, and the labels of what they record.

        An expression has a sample by `slo`, or the labels name the SLO.
        """


class EventKind(Kind):
    """A kind that counts events; each of its SLOs says from which source."""

    @abstractmethod
    def counters(self, slos: Sequence[Slo]) -> EventCounters:
        """Return the counters of SLOs that have one kind, source and limit."""

    def measured_by(self, slo: Slo) -> str:
        """Return the series that counts the calls of the SLO's source."""
        return calls_of(slo).count


def subjects_of(slos: Sequence[Slo]) -> str:
    """Return the value of a selector of the calls of SLOs of one source."""
    return one_of(subject for slo in slos for subject in slo.subjects)


def sum_calls(slos: Sequence[Slo], calls: str) -> str:
    """Return the calls of SLOs of one source by SLO and instance, of a declared one by instance."""
    slo = slos[0]
    if slo.is_declared:
        return sum_by_instance(calls)
    return by_slo(calls, calls_of(slo).label, slo.name.removeprefix(slo.subject))


def with_idle(slos: Sequence[Slo], calls: str) -> str:
    """Return calls by SLO, zero where the source has no series before the first of them."""
    idle = calls_of(slos[0]).idle_calls(subjects_of(slos))
    return fill(WITH_IDLE, calls=calls, idle=sum_calls(slos, idle)) if idle else calls


def sum_by_instance(counter: str) -> str:
    """Return a counter summed per instance."""
    return fill(BY_INSTANCE, counter=counter)


def or_zero(counted: str, total: str) -> str:
    """Return some of the events, 0 where a series of all events has none of them.

    An error that never happened often has no series.
    """
    return fill(OR_ZERO, counted=counted, total=total)
