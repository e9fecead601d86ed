"""The HTTP API of Prometheus, and metrics pages."""

from collections import defaultdict
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from observability.lib import scope
from observability.lib.http import TIMEOUT, Unreachable, tls_context
from observability.lib.json_object import Json
from observability.lib.query_server import QueryServer
from observability.lib.remote import Headers
from observability.spec.plan import Plan

Labels = dict[str, str]
LabelledValue = tuple[Labels, float]
Sample = tuple[float, float]  # Unix time, value
Series = tuple[Labels, list[Sample]]


class Prometheus(QueryServer):
    """The HTTP API of one Prometheus; Loki serves its rules and alerts in the same way."""

    name = "Prometheus"
    api = "/api/v1"

    def query(self, expr: str, at: float | None = None) -> list[LabelledValue]:
        """Return an instant vector as (labels, value) pairs, at a Unix time or now."""
        moment = {"time": str(at)} if at else {}
        return self.read(parse_vector, "query", query=expr, **moment)

    def now(self) -> float:
        """Return the server's Unix time, at which queries that belong together are evaluated."""
        vector = self.query("vector(time())")
        if not vector:
            raise self._other_answer()
        return vector[0][1]

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        """Return a range vector as (labels, samples) pairs.

        `start` and `end` are Unix times, `step` is in seconds. Times without a sample are left out.
        """
        moments = {"start": str(start), "end": str(end), "step": str(step)}
        return self.read(parse_matrix, "query_range", query=expr, **moments)

    def query_by_label(self, expr: str, label: str, at: float | None = None) -> dict[str, float]:
        """Return an instant vector as value by one of its labels.

        Samples without the label are under "".
        """
        vector = self.query(expr, at)
        return {labels.get(label, ""): value for labels, value in vector}

    def rule_groups(self) -> list[Json]:
        """Return every group with its interval in seconds, and its rules with their last error."""
        return self.read(lambda data: list(data["groups"]), "rules")

    def alerts(self) -> list[Json]:
        """Return the pending and firing alerts."""
        return self.read(lambda data: list(data["alerts"]), "alerts")

    def targets(self) -> list[Json]:
        """Return the active targets with their health."""
        return self.read(lambda data: list(data["activeTargets"]), "targets", state="active")

    def scrape_pools(self) -> list[str]:
        """Return the names of all scrape jobs, those without a target included."""
        return self.read(lambda data: list(data["scrapePools"]), "scrape_pools")


class ServicePrometheus(Prometheus):
    """A Prometheus as one service sees it: queries and alerts have only what is its own."""

    def __init__(
        self, url: str, plan: Plan, timeout: float = TIMEOUT, headers: Headers | None = None
    ):
        super().__init__(url, timeout, headers)
        self._plan = plan

    def _get(self, resource: str, **params: str) -> Any:
        if "query" in params:
            params["query"] = scope.limit(self._plan, params["query"])
        return super()._get(resource, **params)

    def alerts(self) -> list[Json]:
        """Return the service's pending and firing alerts."""
        return [alert for alert in super().alerts() if scope.is_own(self._plan, alert["labels"])]


def parse_vector(data: Any) -> list[LabelledValue]:
    """Return the samples of an instant vector; raise the errors of data of another shape."""
    return [(dict(result["metric"]), float(result["value"][1])) for result in data["result"]]


def parse_matrix(data: Any) -> list[Series]:
    """Return the series of a range vector; raise the errors of data of another shape."""
    return [
        (dict(result["metric"]), [(float(at), float(value)) for at, value in result["values"]])
        for result in data["result"]
    ]


def scrape_metric(url: str, metric: str, label: str) -> dict[str, float]:
    """Return the samples of one metric on `url`/metrics, summed by one label; raise Unreachable."""
    try:
        response = httpx.get(f"{url}/metrics", timeout=TIMEOUT, verify=tls_context())
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise Unreachable(f"{url}/metrics does not answer ({error})") from error
    sums = defaultdict[str, float](float)
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            if sample.name == metric:
                sums[sample.labels[label]] += sample.value
    return dict(sums)
