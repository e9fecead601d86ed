"""Asks a running Prometheus, Alertmanager and Loki; every failure to ask is one exception with the mend in it."""

import ssl
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

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
            raise Unreachable(f"{self.name} at {self.url} does not answer ({error}); start the stack with: make up") from error
        if body.get("status") != "success":
            raise Unreachable(f"{self.name} at {self.url} refused {params.get('query', path)!r}: {body.get('error')}")
        return body["data"]

    def query(self, expr: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """An instant vector as (labels, value) pairs."""
        data = self._get(f"{self.api}/query", query=expr, time=str(at or time.time()))
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """A range of vectors as (labels, [(Unix time, value), …]) pairs; moments without a sample are left out."""
        data = self._get(f"{self.api}/query_range", query=expr, start=str(start), end=str(end), step=str(step))
        return [(series["metric"], [(float(at), float(value)) for at, value in series["values"]]) for series in data["result"]]

    def by_label(self, expr: str, label: str, at: float | None = None) -> dict[str, float]:
        return {labels.get(label, ""): value for labels, value in self.query(expr, at)}


class Prometheus(Server):
    """The HTTP API of one Prometheus."""

    def rule_groups(self) -> list[dict[str, Any]]:
        """Every group with its interval in seconds, and in it every rule with its health and last error."""
        return list(self._get(f"{self.api}/rules")["groups"])

    def alerts(self) -> list[dict[str, Any]]:
        """Pending and firing alerts."""
        return list(self._get(f"{self.api}/alerts")["alerts"])

    def targets(self) -> list[dict[str, Any]]:
        return list(self._get(f"{self.api}/targets", state="active")["activeTargets"])

    def scrape_pools(self) -> list[str]:
        """The names of all scrape jobs, also of those that have found no target yet."""
        return list(self._get(f"{self.api}/scrape_pools")["scrapePools"])


class Loki(Server):
    """The HTTP API of one Loki."""

    name, api = "Loki", "/loki/api/v1"

    def lines(self, query: str, since: float, limit: int = 1000) -> list[tuple[dict[str, str], str]]:
        """(labels and structured metadata, line) of everything that matches from `since`, Unix seconds, until now."""
        span = {"start": f"{int(since)}000000000", "end": f"{time.time() + 1:.0f}000000000"}
        data = self._get(f"{self.api}/query_range", query=query, limit=str(limit), direction="forward", **span)
        return [(stream["stream"], line) for stream in data["result"] for _, line in stream["values"]]


def exposed(url: str, metric: str, label: str) -> dict[str, float]:
    """One metric of a /metrics page, added up by one of its labels."""
    try:
        text = httpx.get(f"{url}/metrics", timeout=TIMEOUT, verify=trusted()).text
    except httpx.HTTPError as error:
        raise Unreachable(f"{url}/metrics does not answer ({error})") from error
    sums: dict[str, float] = {}
    for sample in (sample for family in text_string_to_metric_families(text) for sample in family.samples if sample.name == metric):
        sums[sample.labels[label]] = sums.get(sample.labels[label], 0.0) + sample.value
    return sums


def active(url: str, timeout: float = TIMEOUT) -> list[dict[str, Any]]:
    """What Alertmanager holds that has not ended; silenced and inhibited alerts, too, of which `status.state` is "suppressed"."""
    try:
        found = httpx.get(f"{url}/api/v2/alerts", timeout=timeout, verify=trusted()).json()
    except (httpx.HTTPError, ValueError) as error:
        raise Unreachable(f"Alertmanager at {url} does not answer ({error}); start the stack with: make up") from error
    if not isinstance(found, list):
        raise Unreachable(f"Alertmanager at {url} answers something else than alerts: {found!r:.100}")
    return found


def inbox(url: str) -> list[dict[str, Any]]:
    """What Alertmanager delivered to the local receiver, newest first."""
    try:
        return list(httpx.get(f"{url}/api/inbox", timeout=TIMEOUT, verify=trusted()).json()["alerts"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise Unreachable(f"the inbox at {url} does not answer ({error}); start the stack with: make up") from error
