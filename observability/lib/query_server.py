"""The part of the HTTP API that Prometheus and Loki share."""

from collections.abc import Callable
from typing import Any, TypeVar

from observability.lib.http import TIMEOUT, Unreachable
from observability.lib.remote import CORRECT_URL, Headers, Remote

REFUSED_QUERY = {400, 422}
REFUSED = "if it names a limit, raise that; else name a server that has all of PromQL"
LONGEST_QUERY = 80  # characters
T = TypeVar("T")


class QueryServer:
    """A client whose methods raise Unreachable when the server does not answer, or refuses.

    `headers` are for a server that the user names; one of the stack has None.
    """

    name: str
    api: str  # path below which all resources are

    def __init__(self, url: str, timeout: float = TIMEOUT, headers: Headers | None = None):
        self._remote = Remote(self.name, url, timeout, headers)
        self.url = self._remote.url  # without credentials

    def _get(self, resource: str, **params: str) -> Any:
        """Return the `data` of a successful response.

        `resource` is the last part of the path, `params` are those of the URL.
        """
        response = self._remote.get(f"{self.api}/{resource}", params)
        try:
            body = response.json()
        except (ValueError, RecursionError):
            body = None
        known = body if isinstance(body, dict) else {}
        if response.is_success and known.get("status") == "success" and "data" in known:
            return known["data"]
        reason = str(known.get("error") or "")
        if reason and (response.is_success or response.status_code in REFUSED_QUERY):
            query = params.get("query", resource)
            what = f"refused {query[:LONGEST_QUERY]!r}: {reason}"
            raise self._remote.failure(what, REFUSED, REFUSED)
        if not response.is_success:
            raise self._remote.refusal(response, reason)
        raise self._other_answer(response.headers.get("Content-Type", "") if body is None else "")

    def read(self, parse: Callable[[Any], T], resource: str, **params: str) -> T:
        """Return what `parse` makes of the data; raise Unreachable for data of another shape."""
        data = self._get(resource, **params)
        try:
            return parse(data)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise self._other_answer() from error

    def _other_answer(self, content_type: str = "") -> Unreachable:
        """Return the error of an answer that some other server has given."""
        kind = content_type.partition(";")[0] or "JSON of another shape"
        return self._remote.failure(f"answers with {kind}, not as {self.name} does", CORRECT_URL)
