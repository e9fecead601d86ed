"""What every answer carries, and what is refused before anything else looks at it."""

from collections.abc import Callable, Iterable
from typing import Any

import orjson
from flask import Flask, Response

METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"})
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
Start = Callable[..., Any]


class MethodGuard:
    """Refuses methods that no route has before the app sees them: any word may stand there, and none may become a series."""

    def __init__(self, wrapped: Callable[[dict[str, Any], Start], Iterable[bytes]]):
        self.wrapped = wrapped

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in METHODS:
            return self.wrapped(environ, start_response)
        body = {
            "type": "about:blank",
            "title": "Method Not Allowed",
            "status": 405,
            "detail": "No route has this method.",
            "request_id": "",
        }
        allowed = ("Allow", ", ".join(sorted(METHODS)))
        start_response("405 Method Not Allowed", [("Content-Type", "application/problem+json"), allowed, *HEADERS.items()])
        return [orjson.dumps(body)]


def init_app(app: Flask) -> None:
    app.wsgi_app = MethodGuard(app.wsgi_app)  # type: ignore[method-assign]

    @app.after_request
    def protect(answer: Response) -> Response:
        for key, value in HEADERS.items():
            answer.headers.setdefault(key, value)
        return answer
