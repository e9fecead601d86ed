"""The query API that Prometheus and Loki share."""

import time
from typing import Any

import httpx

from observability.lib.http import TIMEOUT, Unreachable, no_answer, tls_context

LabelledValue = tuple[dict[str, str], float]
Sample = tuple[float, float]  # Unix time, value
Series = tuple[dict[str, str], list[Sample]]


class QueryServer:
    """The part of the HTTP API that both have.

    Every method raises Unreachable when the server does not answer or refuses the query.
    """

    name = "Prometheus"
    api = "/api/v1"  # path below which all resources are

    def __init__(self, url: str, timeout: float = TIMEOUT):
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=timeout, verify=tls_context())

    def _get(self, resource: str, **params: str) -> Any:
        """Return the `data` of a successful response.

        `resource` is the last part of the path, `params` are those of the URL.
        """
        try:
            response = self._http.get(f"{self.api}/{resource}", params=params)
            body = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise no_answer(self.name, self.url, error) from error
        if body.get("status") != "success":
            query = params.get("query", resource)
            reason = body.get("error")
            raise Unreachable(f"{self.name} at {self.url} refused {query!r}: {reason}")
        return body["data"]

    def query(self, expr: str, at: float | None = None) -> list[LabelledValue]:
        """Return an instant vector as (labels, value) pairs, at a Unix time or now."""
        moment = at or time.time()
        data = self._get("query", query=expr, time=str(moment))
        return [parse_sample(result) for result in data["result"]]

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        """Return a range vector as (labels, samples) pairs.

        `start` and `end` are Unix times, `step` is in seconds. Times without a sample are left out.
        """
        data = self._get(
            "query_range",
            query=expr,
            start=str(start),
            end=str(end),
            step=str(step),
        )
        return [parse_series(result) for result in data["result"]]

    def query_by_label(self, expr: str, label: str, at: float | None = None) -> dict[str, float]:
        """Return an instant vector as value by one of its labels.

        Samples without the label are under "".
        """
        vector = self.query(expr, at)
        return {labels.get(label, ""): value for labels, value in vector}


def parse_sample(result: dict[str, Any]) -> LabelledValue:
    """Return the labels and the value of one result of an instant query."""
    _, value = result["value"]
    return result["metric"], float(value)


def parse_series(result: dict[str, Any]) -> Series:
    """Return the labels and the samples of one result of a range query."""
    samples = [(float(at), float(value)) for at, value in result["values"]]
    return result["metric"], samples
