"""HTTP as all clients of servers use it: one error, trusted authorities, polling; and what Prometheus and Loki share."""

import ssl
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx

TIMEOUT = 30.0


class Unreachable(Exception):
    """A server that should be asked does not answer, or refuses the question."""


@cache
def trusted() -> ssl.SSLContext:
    """The authorities that are trusted, read once: each reading costs far more than a question, and many are asked again and again."""
    return httpx.create_ssl_context()


def polling(seconds: float, pause: float) -> Iterator[None]:
    """At once, and again after every pause until the time is up; the body of the loop leaves it when it has its answer."""
    deadline = time.monotonic() + seconds
    yield
    while time.monotonic() < deadline:
        time.sleep(pause)
        yield


class Server:
    """What can be asked in the same form of Prometheus and Loki."""

    name, api = "Prometheus", "/api/v1"

    def __init__(self, url: str, timeout: float = TIMEOUT):
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=timeout, verify=trusted())

    def _get(self, path: str, **params: str) -> Any:
        try:
            answer = self._http.get(path, params=params)
            body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unreachable(
                f"{self.name} at {self.url} does not answer ({error}); start the stack with: make up"
            ) from error
        if body.get("status") != "success":
            raise Unreachable(
                f"{self.name} at {self.url} refused {params.get('query', path)!r}: {body.get('error')}"
            )
        return body["data"]

    def query(self, expr: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """An instant vector as (labels, value) pairs."""
        data = self._get(f"{self.api}/query", query=expr, time=str(at or time.time()))
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]

    def query_range(
        self, expr: str, start: float, end: float, step: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """A range of vectors as (labels, [(Unix time, value), …]) pairs; moments without a sample are left out."""
        data = self._get(
            f"{self.api}/query_range", query=expr, start=str(start), end=str(end), step=str(step)
        )
        return [
            (series["metric"], [(float(at), float(value)) for at, value in series["values"]])
            for series in data["result"]
        ]

    def by_label(self, expr: str, label: str, at: float | None = None) -> dict[str, float]:
        return {labels.get(label, ""): value for labels, value in self.query(expr, at)}
