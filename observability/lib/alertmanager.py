"""The HTTP API of Alertmanager."""

from typing import Any

from observability.lib.http import TIMEOUT, Unreachable, fetch_json


def fetch_active_alerts(url: str, timeout: float = TIMEOUT) -> list[dict[str, Any]]:
    """Return the alerts that have not ended; raise Unreachable.

    Silenced and inhibited alerts are among them: their `status.state` is "suppressed".
    """
    alerts = fetch_json("Alertmanager", url, "/api/v2/alerts", timeout)
    if not isinstance(alerts, list):
        raise Unreachable(
            f"Alertmanager at {url} answers something else than alerts: {alerts!r:.100}"
        )
    return alerts
