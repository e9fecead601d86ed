"""The sources of events: which series count them, and the words and checks about them."""

from abc import ABC, abstractmethod
from typing import ClassVar

from observability.lib.panels import Unit
from observability.lib.promql import edge, event_rates, one_match, p99, selector
from observability.lib.runbook_check import RunbookCheck
from observability.spec import names
from observability.spec.plan import DEPENDENCY_SOURCE, GATEWAY_SOURCE, HTTP_SOURCE
from observability.spec.quantities import Duration

Labels = dict[str, str]  # a value that starts with `~` is a regular expression
GOOD_RESPONSES: Labels = {names.STATUS: "~2xx|3xx"}


class EventSource(ABC):
    """One kind of subject whose calls are counted, with a histogram of their durations or without.

    `failed` and `succeeded` are the labels of bad and of good calls; what has neither, such as a
    4xx response, is an event that is not bad, and its duration does not count.
    """

    name: ClassVar[str]
    count: ClassVar[str]  # the series that counts calls
    histogram: ClassVar[str | None] = None  # of their durations, where these are measured
    label: ClassVar[str]  # of the subject
    failed: ClassVar[Labels]
    succeeded: ClassVar[Labels]
    success: ClassVar[str] = "of requests do not fail"
    impact_of_failure: ClassVar[str] = "Requests to {subject} fail with a server error (5xx)."
    impact_of_delay: ClassVar[str] = "Responses of {subject} take longer than {threshold}."
    has_drills: ClassVar[bool] = False  # policy.yaml's drills break promises about this source

    def failed_calls(self, **subjects: str) -> str:
        """Return the selector of bad calls."""
        return selector(self.count, **subjects, **self.failed)

    def successful_calls(self, **subjects: str) -> str:
        """Return the selector of good calls."""
        return selector(self.count, **subjects, **self.succeeded)

    def calls_within(self, threshold: Duration, **subjects: str) -> str:
        """Return the selector of good calls that took no longer than the threshold."""
        return selector(self.buckets, **subjects, le=edge(threshold.seconds), **self.succeeded)

    @property
    def buckets(self) -> str:
        """Return the series of the durations; raise ValueError where none are measured."""
        if self.histogram is None:
            raise ValueError(f"{self.name} has no histogram of durations")
        return self.histogram + "_bucket"

    def one_success(self) -> Labels:
        """Return the labels of one successful call."""
        return one_match(self.succeeded)

    def one_failure(self) -> Labels:
        """Return the labels of one failed call."""
        return one_match(self.failed)

    @abstractmethod
    def checks_of_failure(self, subject: str) -> tuple[RunbookCheck, ...]:
        """Return what to look at while calls fail."""

    def checks_of_delay(self, subject: str) -> tuple[RunbookCheck, ...]:
        """Return what to look at while calls are slow."""
        return self.checks_of_failure(subject)


class Requests(EventSource):
    """Requests to a route of the API."""

    name = HTTP_SOURCE
    count = names.HTTP_DURATION + "_count"
    histogram = names.HTTP_DURATION
    label = names.ROUTE
    failed: ClassVar[Labels] = {names.STATUS: "5xx"}
    succeeded = GOOD_RESPONSES
    has_drills = True

    def checks_of_failure(self, subject: str) -> tuple[RunbookCheck, ...]:
        """Return the status codes of the route, and failures of any dependency."""
        query = event_rates(names.CODE, names.HTTP_REQUESTS + "_total", route=subject)
        return RunbookCheck(
            "Which status codes are sent?", query, Unit.REQUESTS
        ), self._dependencies()

    def checks_of_delay(self, subject: str) -> tuple[RunbookCheck, ...]:
        """Return the durations of the route, and failures of any dependency."""
        query = p99(names.HTTP_DURATION, route=subject)
        durations = RunbookCheck("How long do successful requests take (p99)?", query, Unit.SECONDS)
        return durations, self._dependencies()

    def _dependencies(self) -> RunbookCheck:
        calls = names.DEPENDENCY_DURATION + "_count"
        query = event_rates(names.DEPENDENCY, calls, outcome="error")
        return RunbookCheck("Does one of its dependencies fail?", query, Unit.PER_SECOND)


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


SOURCES: dict[str, EventSource] = {
    source.name: source for source in (Requests(), DependencyCalls(), GatewayResponses())
}
