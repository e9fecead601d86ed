"""The HTTP API of the console."""

from typing import Any

from observability.lib.http import Unreachable, fetch_json


def fetch_delivered_alerts(url: str) -> list[dict[str, Any]]:
    """Return the alerts that Alertmanager delivered, newest first; raise Unreachable."""
    document = fetch_json("the inbox", url, "/api/inbox")
    if not isinstance(document, dict) or "alerts" not in document:
        raise Unreachable(
            f"the inbox at {url} answers something else than alerts: {document!r:.100}"
        )
    return list(document["alerts"])
