"""The HTTP API of Alertmanager."""

from typing import Any

import httpx

from observability.lib.http import TIMEOUT, Unreachable, trusted


def active(url: str, timeout: float = TIMEOUT) -> list[dict[str, Any]]:
    """What Alertmanager holds that has not ended; silenced and inhibited alerts, too, of which `status.state` is "suppressed"."""
    try:
        found = httpx.get(f"{url}/api/v2/alerts", timeout=timeout, verify=trusted()).json()
    except (httpx.HTTPError, ValueError) as error:
        raise Unreachable(
            f"Alertmanager at {url} does not answer ({error}); start the stack with: make up"
        ) from error
    if not isinstance(found, list):
        raise Unreachable(
            f"Alertmanager at {url} answers something else than alerts: {found!r:.100}"
        )
    return found
