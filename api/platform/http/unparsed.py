"""Requests that gunicorn cannot parse: the app answers, counts and logs them like any other."""

from typing import TYPE_CHECKING

from flask import abort, request
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

STATUS = "evara.unparsed_status"  # in the WSGI environment
METHOD = "-"  # unknown, like the path


def refuse() -> None:
    """Abort with the status that gunicorn chose, when the request could not be parsed."""
    status = request.environ.get(STATUS)
    if status:
        abort(status)


def answer(app: "WSGIApplication", status: int, address: str) -> bytes:
    """Return the app's whole HTTP response to a request that has an address alone."""
    environ = EnvironBuilder(
        method=METHOD, environ_overrides={STATUS: status, "REMOTE_ADDR": address}
    ).get_environ()
    response = Response.from_app(app, environ)
    body = response.get_data()
    response.close()
    response.headers["Connection"] = "close"
    lines = [f"HTTP/1.1 {response.status}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    head = "\r\n".join(lines) + "\r\n\r\n"
    return head.encode("latin-1") + body
