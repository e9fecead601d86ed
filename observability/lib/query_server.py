"""The query API that Prometheus and Loki share."""

import time
from typing import Any

import httpx

from observability.lib.http import TIMEOUT, Unreachable, no_answer, tls_context

LabelledValue = tuple[dict[str, str], float]
Sample = tuple[float, float]  # Unix time, value
Series = tuple[dict[str, str], list[Sample]]


class QueryServer:
    """The part of the HTTP API that both have; every method raises Unreachable."""

    name = "Prometheus"
    api = "/api/v1"

    def __init__(self, url: str, timeout: float = TIMEOUT):
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=timeout, verify=tls_context())

    def _get(self, path: str, **params: str) -> Any:
        """Return the `data` of a response whose status is success."""
        try:
            response = self._http.get(path, params=params)
            body = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise no_answer(self.name, self.url, error) from error
        if body.get("status") != "success":
            query = params.get("query", path)
            reason = body.get("error")
            raise Unreachable(f"{self.name} at {self.url} refused {query!r}: {reason}")
        return body["data"]

    def query(self, expr: str, at: float | None = None) -> list[LabelledValue]:
        """Return an instant vector as (labels, value) pairs, at a Unix time or now."""
        data = self._get(f"{self.api}/query", query=expr, time=str(at or time.time()))
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        """Return a range vector as (labels, samples) pairs.

        `start` and `end` are Unix times, `step` is in seconds. Times without a sample are left out.
        """
        data = self._get(
            f"{self.api}/query_range",
            query=expr,
            start=str(start),
            end=str(end),
            step=str(step),
        )
        series = []
        for result in data["result"]:
            samples = [(float(at), float(value)) for at, value in result["values"]]
            series.append((result["metric"], samples))
        return series

    def query_by_label(self, expr: str, label: str, at: float | None = None) -> dict[str, float]:
        """Return an instant vector as value by one of its labels."""
        return {labels.get(label, ""): value for labels, value in self.query(expr, at)}
