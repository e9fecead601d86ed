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


def responds(url: str, timeout: float) -> bool:
    """Tell whether a GET, redirects followed, ends with 2xx; `timeout` is in seconds.

    Nothing secret is sent, and a certificate has the name for clients of other machines.
    """
    try:
        response = httpx.get(url, timeout=timeout, follow_redirects=True, verify=False)  # noqa: S501
    except httpx.HTTPError:
        return False
    return response.is_success


class QueryServer:
    """The part of the HTTP API that Prometheus and Loki share.

    Every method raises Unreachable when the server does not answer or refuses the query.
    """

    name: str
    api: str  # path below which all resources are

    def __init__(self, url: str, timeout: float = TIMEOUT):
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=timeout, verify=tls_context())

    def _get(self, resource: str, **params: str) -> Any:
        """Return the `data` of a successful response.

        `resource` is the last part of the path, `params` are those of the URL.
        """
        try:
            response = self._http.get(f"{self.api}/{resource}", params=params)
            body = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise no_answer(self.name, self.url, error) from error
        if body.get("status") != "success":
            query = params.get("query", resource)
            reason = body.get("error")
            raise Unreachable(f"{self.name} at {self.url} refused {query!r}: {reason}")
        return body["data"]
