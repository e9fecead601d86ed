"""HTTP requests to servers of the stack, as all clients make them."""

import ssl
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

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
        f"{server} at {url} does not answer ({error}); start the stack with: make up"
    )


def fetch_json(server: str, url: str, path: str, timeout: float = TIMEOUT) -> Any:
    """Return the JSON document at `url` + `path`; raise Unreachable, naming `server`."""
    try:
        response = httpx.get(url + path, timeout=timeout, verify=tls_context())
        return response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise no_answer(server, url, error) from error


def responds(url: str, timeout: float) -> bool:
    """Tell whether a GET, redirects followed, ends with 2xx; `timeout` is in seconds."""
    try:
        response = httpx.get(url, timeout=timeout, follow_redirects=True, verify=tls_context())
    except httpx.HTTPError:
        return False
    return response.is_success
