"""The interface of a kind of SLI: expressions, promtool series, words and checks."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from observability.lib.runbook_check import RunbookCheck
from observability.sli.sources import SOURCES, EventSource, Labels
from observability.sli.steady_traffic import SteadyTraffic
from observability.spec.plan import Plan, Slo
from observability.spec.schema.policy import SliKind


@dataclass(frozen=True)
class EventCounters:
    """Two expressions by `slo` and `instance`: the events so far, and the bad ones among them."""

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
    def steady_series(self, plan: Plan, traffic: SteadyTraffic) -> dict[str, str]:
        """Return promtool's input series in which each SLO has its share of bad events."""

    def slos(self, plan: Plan) -> tuple[Slo, ...]:
        """Return the SLOs of this kind."""
        return tuple(slo for slo in plan.slos if slo.sli == self.name)

    def drill(self, plan: Plan, slo: Slo) -> str | None:
        """Return the drill that breaks such a promise, if there is one."""
        source = SOURCES.get(slo.source)
        if source and not source.has_drills:
            return None
        return plan.policy.drill.by_sli.get(self.name)


class EventKind(Kind):
    """A kind that counts events; each of its SLOs says from which source."""

    @abstractmethod
    def counters(self, source: EventSource, slo: Slo, subjects: Labels) -> EventCounters:
        """Return the counters of all SLOs that have an SLO's kind, source and limit.

        `subjects` selects the series of these.
        """
