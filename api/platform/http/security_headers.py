"""Security headers, CORS, trusted hosts and trusted proxies."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, Response, abort, current_app, request
from werkzeug.middleware.proxy_fix import ProxyFix

from api.platform.config import PlatformSettings
from api.platform.http.addresses import parse_address
from api.platform.http.response_headers import EXPOSED
from api.platform.state import app_state
from observability.spec import host_names
from observability.spec.host_names import HostNames

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Pages of other sites cannot embed a response; CORS is independent of this.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",  # a view may set its own
}
HSTS = "max-age=31536000"


def add_headers(response: Response) -> Response:
    """Add the security headers that the view did not set.

    The names are collected once, because each lookup in werkzeug's headers reads all of them.
    """
    present = {name.lower() for name, _ in response.headers}
    for name, value in HEADERS.items():
        if name.lower() not in present:
            response.headers.add(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", HSTS)
    return response


def has_known_hosts(settings: PlatformSettings) -> bool:
    """Return whether only known Host names are served: a development key is known to every page."""
    return bool(settings.trusted_hosts or settings.development_key)


def refuse_unknown_host() -> None:
    """Abort with 400 when the Host header is a name under which the API is not reached."""
    known = HostNames(app_state().settings.trusted_hosts)
    target = request.environ.get("RAW_URI", "/")
    if not known.accepts(request.headers.get("Host"), target):
        abort(400, host_names.REFUSAL)


def init_app(app: Flask, settings: PlatformSettings) -> None:
    """Take the client's address from the declared proxies."""
    if settings.proxy_hops:
        hops = settings.proxy_hops
        proxied = ProxyFix(with_plain_address(app.wsgi_app), x_for=hops, x_proto=hops)
        app.wsgi_app = proxied  # type: ignore[method-assign]


def with_plain_address(app: "WSGIApplication") -> "WSGIApplication":
    """Return the app behind ProxyFix with the client's address alone in REMOTE_ADDR.

    Azure and IIS add a port. What is no address is replaced by the proxy's own.
    """

    def serve(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        address = parse_address(environ["REMOTE_ADDR"])
        if address:
            environ["REMOTE_ADDR"] = str(address)
        else:
            environ["REMOTE_ADDR"] = environ["werkzeug.proxy_fix.orig"]["REMOTE_ADDR"]
        return app(environ, start_response)

    return serve


def answer_preflight() -> Response | None:
    """Answer a CORS preflight of a declared origin; None leaves the request to Flask."""
    if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
        return None
    if not request.url_rule or not is_allowed_origin():
        return None
    response = current_app.make_default_options_response()
    response.status_code = 204
    headers = response.headers
    requested_headers = request.headers.get("Access-Control-Request-Headers", "")
    headers["Access-Control-Allow-Methods"] = headers["Allow"]
    headers["Access-Control-Allow-Headers"] = requested_headers
    headers["Access-Control-Max-Age"] = "7200"  # seconds; the maximum of Chrome
    return response


def allow_origin(response: Response) -> Response:
    """Let pages of the declared origins read the response, without credentials of the browser."""
    response.vary.add("Origin")
    if is_allowed_origin():
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
    return response


def is_allowed_origin() -> bool:
    """Return True when the request comes from a page of a declared origin."""
    return request.headers.get("Origin") in app_state().settings.cors_origins
