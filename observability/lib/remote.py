"""GET requests to one server; each failure is one line with its URL and a fix, without secrets."""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx

from observability.lib.http import TIMEOUT, Unreachable, tls_context
from observability.spec.redaction import redact

Headers = tuple[tuple[str, str], ...]
START_STACK = "start the stack with: make up"
CREDENTIALS = (
    "send credentials with --header 'Authorization: Bearer …', "
    "a tenant with --header 'X-Scope-OrgID: …'"
)
CORRECT_URL = "correct the URL; behind a proxy it has a path, as in https://HOST/prometheus"
FIXES = {
    400: CORRECT_URL,
    401: CREDENTIALS,
    403: CREDENTIALS,
    429: "wait, or raise the limit of that server",
}
LONGEST_REASON = 240  # characters
SHORTEST_SECRET = 4


@dataclass(frozen=True)
class Address:
    """A server with the headers for it; URL and headers may hold secrets."""

    url: str = field(repr=False)
    headers: Headers | None = field(default=None, repr=False)  # None: a server of the stack


class Remote:
    """A server, and the headers that requests to it have; without headers it is of the stack."""

    def __init__(
        self, name: str, url: str, timeout: float = TIMEOUT, headers: Headers | None = None
    ):
        address = httpx.URL(url)
        self.url = str(address.copy_with(userinfo=b"", query=None, fragment=None)).rstrip("/")
        self._name = name
        self._address = url
        self._timeout = timeout
        self._is_of_stack = headers is None
        self._secrets = sorted(list_secrets(address, headers or ()), key=len, reverse=True)
        self._http = httpx.Client(timeout=timeout, headers=headers, verify=tls_context())

    def get(self, path: str = "", params: dict[str, str] | None = None) -> httpx.Response:
        """Return the response to a GET, whatever its status is; raise Unreachable.

        Redirects are not followed: headers are meant for this server alone.
        """
        address = self._address.rstrip("/") + path if path else self._address
        try:
            response = self._http.get(address, params=params)
        except httpx.HTTPError as error:
            what, fix = describe(error, self._timeout)
            raise self.failure(what, fix) from error
        if response.has_redirect_location:
            target = response.url.join(response.headers["Location"]).copy_with(userinfo=b"")
            where = str(target).partition("?")[0]
            fix = f"{CREDENTIALS}; or name that URL, if it is the server's"
            raise self.failure(f"redirects to {where}", fix)
        return response

    def failure(self, what: str, fix: str, stack_fix: str = START_STACK) -> Unreachable:
        """Return the error of this server; one of the stack has another fix."""
        text = f"{self._name} at {self.url} {self.conceal(what)}"
        return Unreachable(f"{text}; fix: {stack_fix if self._is_of_stack else fix}")

    def refusal(self, response: httpx.Response, reason: str = "") -> Unreachable:
        """Return the error of an answer whose status is none of success."""
        code = response.status_code
        phrase = HTTPStatus(code).phrase if code in set(HTTPStatus) else ""
        if not reason and response.headers.get("Content-Type", "").startswith("text/plain"):
            reason = response.text
        what = " ".join(f"answers {code} {phrase}: {reason}".split()).rstrip(": ")
        fallback = "read the log of that server" if code >= 500 else CORRECT_URL
        return self.failure(what, FIXES.get(code, fallback))

    def conceal(self, text: str) -> str:
        """Return a text on one line, cut, and without what the headers and the URL keep secret."""
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        text = redact(" ".join(text.split()))
        return f"{text[:LONGEST_REASON]}…" if len(text) > LONGEST_REASON else text


def list_secrets(address: httpx.URL, headers: Headers) -> Iterator[str]:
    """Yield the parts of URL and headers that may be secret."""
    values = [address.password, address.query.decode(), *(value for _, value in headers)]
    for value in values:
        yield from (part for part in {value, *value.split()} if len(part) >= SHORTEST_SECRET)


def describe(error: httpx.HTTPError, timeout: float) -> tuple[str, str]:
    """Return what went wrong before an answer came, and its fix."""
    cause = root_cause(error)
    if isinstance(error, httpx.TimeoutException):
        return f"does not answer within {timeout:g} s", "check that it runs and can be reached"
    if isinstance(cause, ssl.SSLCertVerificationError):
        fix = "name the file of its authority in the variable SSL_CERT_FILE"
        return f"has a certificate that is not trusted ({cause.verify_message})", fix
    if isinstance(cause, ssl.SSLError):
        return f"does not speak TLS with us ({cause.reason})", "correct https or http in the URL"
    if isinstance(cause, socket.gaierror):
        return "cannot be found: its name does not resolve", "correct the host in the URL"
    if isinstance(error, httpx.ConnectError):
        return f"does not answer ({error})", "check that it runs, and host and port in the URL"
    if isinstance(error, httpx.ProtocolError | httpx.NetworkError):
        reason = f"breaks the connection before its answer is complete ({error})"
        return reason, "correct https or http in the URL, or read the log of that server"
    return f"does not answer ({error})", "check that it runs, and the proxy in between"


def root_cause(error: BaseException) -> BaseException:
    """Return the first error of a chain."""
    cause = error.__cause__ or error.__context__
    return root_cause(cause) if cause else error
