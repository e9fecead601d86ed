"""The HTTP API of the console."""

from typing import Any

import httpx

from observability.lib.http import TIMEOUT, Unreachable, trusted


def inbox(url: str) -> list[dict[str, Any]]:
    """What Alertmanager delivered to the local receiver, newest first."""
    try:
        return list(
            httpx.get(f"{url}/api/inbox", timeout=TIMEOUT, verify=trusted()).json()["alerts"]
        )
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise Unreachable(
            f"the inbox at {url} does not answer ({error}); start the stack with: make up"
        ) from error
