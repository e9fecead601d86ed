"""The alerts of Alertmanager, and those that it delivered to the console."""

import httpx

from observability.lib.http import TIMEOUT, Unreachable, no_answer, tls_context
from observability.lib.json_object import Json


def fetch_active_alerts(url: str, timeout: float = TIMEOUT) -> list[Json]:
    """Return the alerts that have not ended; raise Unreachable.

    Silenced and inhibited alerts are among them: their `status.state` is "suppressed".
    """
    return fetch_alerts("Alertmanager", url, "/api/v2/alerts", timeout)


def fetch_delivered_alerts(url: str) -> list[Json]:
    """Return the alerts that Alertmanager delivered, newest first; raise Unreachable."""
    return fetch_alerts("the inbox", url, "/api/inbox", TIMEOUT)


def fetch_alerts(server: str, url: str, path: str, timeout: float) -> list[Json]:
    """Return the list of alerts at `url` + `path`, or below its key `alerts`; raise Unreachable."""
    try:
        response = httpx.get(url + path, timeout=timeout, verify=tls_context())
        document = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise no_answer(server, url, error) from error
    if isinstance(document, dict):
        document = document.get("alerts")
    if not isinstance(document, list):
        raise Unreachable(
            f"{server} at {url} answers something else than alerts: {document!r:.100}"
        )
    return document
