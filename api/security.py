"""What every answer carries."""

from flask import Flask, Response

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def protect(answer: Response) -> Response:
    for key, value in HEADERS.items():
        answer.headers.setdefault(key, value)
    return answer


def init_app(app: Flask) -> None:
    app.after_request(protect)
