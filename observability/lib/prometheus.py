"""The HTTP API of Prometheus, and metrics pages."""

from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from observability.lib.http import TIMEOUT, Server, Unreachable, trusted


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


def exposed(url: str, metric: str, label: str) -> dict[str, float]:
    """One metric of a /metrics page, added up by one of its labels."""
    try:
        text = httpx.get(f"{url}/metrics", timeout=TIMEOUT, verify=trusted()).text
    except httpx.HTTPError as error:
        raise Unreachable(f"{url}/metrics does not answer ({error})") from error
    sums: dict[str, float] = {}
    for sample in (
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == metric
    ):
        sums[sample.labels[label]] = sums.get(sample.labels[label], 0.0) + sample.value
    return sums
