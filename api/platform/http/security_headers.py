"""What every answer carries, who may call from a browser, and how far proxies are believed."""

from flask import Flask, Response, current_app, request
from werkzeug.middleware.proxy_fix import ProxyFix

from api.config import Settings
from api.platform.state import app_state
from api.platform.telemetry.request_context import REQUEST_ID

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",  # no other site's page may embed an answer; what CORS allows is read anyway
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",  # a view that knows better says so itself
}
HSTS = "max-age=31536000"
EXPOSED = f"{REQUEST_ID}, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Location, ETag, Link"


def protect(answer: Response) -> Response:
    """Adds what the view did not say itself; looked up once, because each look at headers reads all of them."""
    said = {name.lower() for name, _ in answer.headers}
    answer.headers.extend(
        [(name, value) for name, value in HEADERS.items() if name.lower() not in said]
    )
    if request.is_secure:
        answer.headers.setdefault("Strict-Transport-Security", HSTS)
    return answer


def init_app(app: Flask, settings: Settings) -> None:
    """Check the Host header, and believe the declared proxies about the caller's address."""
    app.config["TRUSTED_HOSTS"] = list(settings.trusted_hosts) or None
    if settings.proxy_hops:
        hops = settings.proxy_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]


def answer_preflight() -> Response | None:
    """Answer a CORS preflight of a declared origin; None leaves the request to Flask."""
    asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    if not asks or request.url_rule is None or not origin_allowed():
        return None
    answer = current_app.make_default_options_response()
    answer.status_code = 204
    answer.headers["Access-Control-Allow-Methods"] = answer.headers["Allow"]
    answer.headers["Access-Control-Allow-Headers"] = request.headers.get(
        "Access-Control-Request-Headers", ""
    )
    answer.headers["Access-Control-Max-Age"] = "7200"  # seconds; Chrome keeps it no longer
    return answer


def allow_origin(answer: Response) -> Response:
    """Let pages of the declared origins read the answer, without credentials of the browser."""
    answer.vary.add("Origin")
    if origin_allowed():
        answer.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        answer.headers["Access-Control-Expose-Headers"] = EXPOSED
    return answer


def origin_allowed() -> bool:
    """Return True when the request comes from a page of a declared origin."""
    return request.headers.get("Origin") in app_state().settings.cors_origins
