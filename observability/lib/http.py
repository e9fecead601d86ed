"""HTTP requests to servers of the stack, as all clients make them."""

import ssl
import time
from collections.abc import Iterator
from functools import cache

import httpx

TIMEOUT = 30.0  # seconds


class Unreachable(Exception):
    """A server that does not answer, or refuses the query."""


@cache
def tls_context() -> ssl.SSLContext:
    """Return the context with the trusted authorities; loading it costs more than a request."""
    return httpx.create_ssl_context()


def poll(timeout: float, interval: float) -> Iterator[None]:
    """Yield at once, then every `interval` seconds until `timeout` seconds are over.

    The body of the loop leaves it when it has its answer.
    """
    deadline = time.monotonic() + timeout
    yield
    while time.monotonic() < deadline:
        time.sleep(interval)
        yield


def no_answer(server: str, url: str, error: Exception) -> Unreachable:
    """Return the error of a server of the stack that does not answer."""
    return Unreachable(
        f"{server} at {url} does not answer ({error}); fix: start the stack with: make up"
    )


def responds(url: str, timeout: float) -> bool:
    """Tell whether a GET, redirects followed, ends with 2xx; `timeout` is in seconds.

    Nothing secret is sent, and a certificate has the name for clients of other machines.
    """
    try:
        response = httpx.get(url, timeout=timeout, follow_redirects=True, verify=False)  # noqa: S501
    except httpx.HTTPError:
        return False
    return response.is_success
