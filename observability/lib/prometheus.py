"""The HTTP API of Prometheus, and metrics pages."""

from collections import defaultdict
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from observability.lib import scope
from observability.lib.http import TIMEOUT, QueryServer, Unreachable, tls_context
from observability.lib.json_object import Json
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
        data = self._get("query", query=expr, **moment)
        return [(result["metric"], float(result["value"][1])) for result in data["result"]]

    def now(self) -> float:
        """Return the server's Unix time, at which queries that belong together are evaluated."""
        [(_, moment)] = self.query("vector(time())")
        return moment

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        """Return a range vector as (labels, samples) pairs.

        `start` and `end` are Unix times, `step` is in seconds. Times without a sample are left out.
        """
        data = self._get("query_range", query=expr, start=str(start), end=str(end), step=str(step))
        series = []
        for result in data["result"]:
            samples = [(float(at), float(value)) for at, value in result["values"]]
            series.append((result["metric"], samples))
        return series

    def query_by_label(self, expr: str, label: str, at: float | None = None) -> dict[str, float]:
        """Return an instant vector as value by one of its labels.

        Samples without the label are under "".
        """
        vector = self.query(expr, at)
        return {labels.get(label, ""): value for labels, value in vector}

    def rule_groups(self) -> list[Json]:
        """Return every group with its interval in seconds, and its rules with their last error."""
        return list(self._get("rules")["groups"])

    def alerts(self) -> list[Json]:
        """Return the pending and firing alerts."""
        return list(self._get("alerts")["alerts"])

    def targets(self) -> list[Json]:
        """Return the active targets with their health."""
        return list(self._get("targets", state="active")["activeTargets"])

    def scrape_pools(self) -> list[str]:
        """Return the names of all scrape jobs, those without a target included."""
        return list(self._get("scrape_pools")["scrapePools"])


class ServicePrometheus(Prometheus):
    """A Prometheus as one service sees it: queries and alerts have only what is its own."""

    def __init__(self, url: str, plan: Plan, timeout: float = TIMEOUT):
        super().__init__(url, timeout)
        self._plan = plan

    def _get(self, resource: str, **params: str) -> Any:
        if "query" in params:
            params["query"] = scope.limit(self._plan, params["query"])
        return super()._get(resource, **params)

    def alerts(self) -> list[Json]:
        """Return the service's pending and firing alerts."""
        return [alert for alert in super().alerts() if scope.is_own(self._plan, alert["labels"])]


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
