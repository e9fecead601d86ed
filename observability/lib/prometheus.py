"""The HTTP API of Prometheus, and metrics pages."""

from collections import defaultdict
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from observability.lib.http import TIMEOUT, Unreachable, tls_context
from observability.lib.query_server import QueryServer


class Prometheus(QueryServer):
    """The HTTP API of one Prometheus."""

    def rule_groups(self) -> list[dict[str, Any]]:
        """Return every group with its interval in seconds, and its rules with their last error."""
        return list(self._get("rules")["groups"])

    def alerts(self) -> list[dict[str, Any]]:
        """Return the pending and firing alerts."""
        return list(self._get("alerts")["alerts"])

    def targets(self) -> list[dict[str, Any]]:
        """Return the active targets with their health."""
        return list(self._get("targets", state="active")["activeTargets"])

    def scrape_pools(self) -> list[str]:
        """Return the names of all scrape jobs, those without a target included."""
        return list(self._get("scrape_pools")["scrapePools"])


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
