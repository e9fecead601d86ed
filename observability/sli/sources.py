"""The sources of events: which series count them, and the words and checks about them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from decimal import Decimal
from typing import ClassVar

from observability.lib.panels import Unit
from observability.lib.promql import edge, event_rates, one_match, p99, selector
from observability.lib.requests import calls, duration, latency_of, request_rates, route_info
from observability.lib.runbook_check import RunbookCheck
from observability.lib.templates import fill
from observability.sli.steady_traffic import ONE_INSTANCE
from observability.spec import names
from observability.spec.plan import (
    DEPENDENCY_SOURCE,
    GATEWAY_SOURCE,
    HTTP_SOURCE,
    SHORT_WINDOW,
    Plan,
    Slo,
)
from observability.spec.quantities import Duration, format_decimal
from observability.spec.signals import Labels, Signal, Signals

Counters = dict[str, int]  # series → increase per sample
P99 = Decimal("0.99")
OK = 200
IDLE = "0 * <<routes>> and on () group(<<metric>>)"


class EventSource(ABC):
    """One kind of subject whose calls are counted, with a histogram of their durations or without.

    `failed` and `succeeded` are the labels of bad and of good calls; what has neither, such as a
    4xx response, is an event that is not bad, and its duration does not count. `subjects` are a
    value for `selector`.
    """

    name: ClassVar[str]
    count: str  # the series that counts calls
    histogram: str | None = None  # of their durations, where these are measured
    label: str  # of the subject
    failed: ClassVar[Labels] = {}
    succeeded: ClassVar[Labels] = {}
    success: ClassVar[str] = "of requests do not fail"
    impact_of_failure: ClassVar[str] = "Requests to {subject} fail with a server error (5xx)."
    impact_of_delay: ClassVar[str] = "Responses of {subject} take longer than {threshold}."
    starts_at_zero: ClassVar[bool] = False  # every series exists from the start
    has_drills: ClassVar[bool] = False  # policy.yaml's drills break promises about this source

    def all_calls(self, subjects: str) -> str:
        """Return all calls."""
        return selector(self.count, **{self.label: subjects})

    def failed_calls(self, subjects: str) -> str:
        """Return bad calls."""
        return selector(self.count, **{self.label: subjects}, **self.failed)

    def timed_calls(self, subjects: str) -> str:
        """Return the calls whose durations count."""
        return selector(self.count, **{self.label: subjects}, **self.succeeded)

    def calls_within(self, threshold: Duration, subjects: str) -> str:
        """Return those among them that took no longer than the threshold."""
        subject = {self.label: subjects, "le": edge(threshold.seconds)}
        return selector(self.buckets, **subject, **self.succeeded)

    @property
    def buckets(self) -> str:
        """Return the series of the durations; raise ValueError where none are measured."""
        if self.histogram is None:
            raise ValueError(f"{self.name} has no histogram of durations")
        return self.histogram + "_bucket"

    def idle_calls(self, subjects: str) -> str:  # noqa: ARG002
        """Return zeros for subjects that were not called yet, where their series begin with that.

        Empty where all series exist from the start.
        """
        return ""

    def steady_calls(self, plan: Plan, slo: Slo, bad: int, good: int) -> Counters:  # noqa: ARG002
        """Return promtool's series with the bad and the good calls of each sample."""
        subject = {self.label: slo.subjects[0]}
        return {
            selector(self.count, **subject, **one_match(self.failed), **ONE_INSTANCE): bad,
            selector(self.count, **subject, **one_match(self.succeeded), **ONE_INSTANCE): good,
        }

    def steady_durations(self, plan: Plan, slo: Slo, quick: int, timed: int) -> Counters:  # noqa: ARG002
        """Return promtool's series with the quick calls of each sample, and all that count."""
        labels = {self.label: slo.subjects[0], **one_match(self.succeeded), **ONE_INSTANCE}
        within = {"le": format_decimal(slo.limit.seconds)}
        return {
            selector(self.buckets, **labels, **within): quick,
            selector(self.count, **labels): timed,
        }

    @property
    def times_failures(self) -> bool:
        """Return whether the durations of failed calls count, because nothing tells them apart."""
        return False

    @abstractmethod
    def checks_of_failure(self, subject: str) -> tuple[RunbookCheck, ...]:
        """Return what to look at while calls fail."""

    def checks_of_delay(self, subject: str) -> tuple[RunbookCheck, ...]:
        """Return what to look at while calls are slow."""
        return self.checks_of_failure(subject)


class Requests(EventSource):
    """Requests to a route, as the metrics of `signals` count them."""

    name = HTTP_SOURCE
    has_drills = True

    def __init__(self, signals: Signals, excluded: tuple[str, ...] = ()) -> None:
        self.signals = signals
        self.excluded = excluded  # status codes
        self.total = signals.by_status if excluded else signals.total
        self.bad = signals.by_status if excluded else signals.failed
        self.count = selector(self.total.metric, **dict(self.total.selector))
        self.label = signals.label

    def all_calls(self, subjects: str) -> str:
        """Return all requests that count."""
        return calls(self.total, subjects, excluded=self.excluded)

    def failed_calls(self, subjects: str) -> str:
        """Return failed requests that count."""
        return calls(self.bad, subjects, self.bad.failed, excluded=self.excluded)

    def timed_calls(self, subjects: str) -> str:
        """Return successful requests; all, where the durations have no status."""
        signal = latency_of(self.signals)
        return calls(signal, subjects, signal.succeeded, part="_count")

    def calls_within(self, threshold: Duration, subjects: str) -> str:
        """Return the quick ones among them."""
        signal = latency_of(self.signals)
        within = {"le": edge(threshold.seconds)}
        return calls(signal, subjects, signal.succeeded | within, part="_bucket")

    def idle_calls(self, subjects: str) -> str:
        """Return zeros for routes without a request, while the metric is there for another."""
        if self.total.route:
            return ""
        return fill(IDLE, routes=route_info(self.total, subjects), metric=self.count)

    def steady_calls(self, plan: Plan, slo: Slo, bad: int, good: int) -> Counters:
        """Return the series of failed and of successful requests, or of failed and of all."""
        code = next(code for code in range(500, 600) if str(code) not in self.excluded)
        failed = self._series(plan, slo, self.bad, "", self.bad.one_status(code))
        rest = self._series(plan, slo, self.total, "", self.total.one_status(OK))
        return {failed: bad, rest: good if self.bad is self.total else bad + good}

    def steady_durations(self, plan: Plan, slo: Slo, quick: int, timed: int) -> Counters:
        """Return the series of quick requests, and of all that count."""
        signal = latency_of(self.signals)
        status = signal.one_status(OK)
        within = {"le": format_decimal(slo.limit.seconds)}
        return {
            self._series(plan, slo, signal, "_bucket", status | within): quick,
            self._series(plan, slo, signal, "_count", status): timed,
        }

    def _series(self, plan: Plan, slo: Slo, signal: Signal, part: str, labels: Labels) -> str:
        """Return one series of a signal about a route of the SLO."""
        subject = slo.subjects[0]
        of_route = {signal.route: subject}  # an exempt route is none of the plan's, but has an id
        if not signal.route:
            of_route = next(route for route in plan.routes if route.id == subject).labels(signal)
        matched = of_route | dict(signal.selector) | labels | ONE_INSTANCE
        return selector(signal.metric + part, **matched)

    @property
    def times_failures(self) -> bool:
        """Return whether the durations have no status."""
        return not latency_of(self.signals).status

    def checks_of_failure(self, subject: str) -> tuple[RunbookCheck, ...]:
        """Return the statuses of the route, and failures of any dependency."""
        status = self.signals.by_status.status
        query = request_rates(self.signals, status, routes=subject, over=SHORT_WINDOW)
        codes = RunbookCheck("Which status codes are sent?", query, Unit.REQUESTS)
        return codes, *self._dependencies()

    def checks_of_delay(self, subject: str) -> tuple[RunbookCheck, ...]:
        """Return the durations of the route, and failures of any dependency."""
        query = duration(self.signals, P99, routes=subject, over=SHORT_WINDOW)
        durations = RunbookCheck("How long do successful requests take (p99)?", query, Unit.SECONDS)
        return durations, *self._dependencies()

    def _dependencies(self) -> Iterator[RunbookCheck]:
        """Yield the check of dependencies, whose calls our own API counts."""
        if self.signals.of_platform:
            count = names.DEPENDENCY_DURATION + "_count"
            query = event_rates(names.DEPENDENCY, count, outcome="error")
            yield RunbookCheck("Does one of its dependencies fail?", query, Unit.PER_SECOND)


class DependencyCalls(EventSource):
    """Calls to a dependency."""

    name = DEPENDENCY_SOURCE
    count = names.DEPENDENCY_DURATION + "_count"
    histogram = names.DEPENDENCY_DURATION
    label = names.DEPENDENCY
    failed: ClassVar[Labels] = {names.OUTCOME: "error"}
    succeeded: ClassVar[Labels] = {names.OUTCOME: "ok"}
    success = "of calls succeed"
    impact_of_failure = "Routes that need {subject} become slow, fail, or return old data."
    impact_of_delay = impact_of_failure

    def checks_of_failure(self, subject: str) -> tuple[RunbookCheck, ...]:
        """Return the outcomes and the durations of the calls."""
        outcomes = event_rates(names.OUTCOME, self.count, dependency=subject)
        durations = p99(names.DEPENDENCY_DURATION, dependency=subject, outcome="ok")
        return (
            RunbookCheck(
                "How often is it called, and with which outcome?", outcomes, Unit.PER_SECOND
            ),
            RunbookCheck("How long do successful calls take (p99)?", durations, Unit.SECONDS),
        )


class GatewayResponses(EventSource):
    """Responses of the gateway, its own errors included; it has no histogram of durations."""

    name = GATEWAY_SOURCE
    count = names.GATEWAY_RESPONSES
    label = names.PROXY
    failed: ClassVar[Labels] = {names.CODE: "5xx"}
    succeeded: ClassVar[Labels] = {names.CODE: "~2xx|3xx"}

    def checks_of_failure(self, subject: str) -> tuple[RunbookCheck, ...]:
        """Return the status classes of the responses, and the replicas behind the gateway."""
        responses = event_rates(names.CODE, self.count, proxy=subject)
        replicas = selector(names.GATEWAY_SERVERS, **{names.PROXY: "~ready|living"})
        servers = f"sum by ({names.PROXY}) ({replicas})"
        return (
            RunbookCheck("Which status classes do clients get?", responses, Unit.REQUESTS),
            RunbookCheck("How many replicas are ready, and how many are alive?", servers),
        )


OTHER_SOURCES: dict[str, EventSource] = {
    source.name: source for source in (DependencyCalls(), GatewayResponses())
}


def source_of(slo: Slo) -> EventSource | None:
    """Return what counts the calls that an SLO is about; None where no calls are counted."""
    if slo.source == HTTP_SOURCE:
        return Requests(slo.signals, slo.excluded_codes)
    return OTHER_SOURCES.get(slo.source)


def calls_of(slo: Slo) -> EventSource:
    """Return what counts the calls that an SLO is about; raise ValueError where none are."""
    source = source_of(slo)
    if source is None:
        raise ValueError(f"{slo.name} is not about calls")
    return source
