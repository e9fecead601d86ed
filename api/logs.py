"""JSON log lines: one per request and one per event, all with the request's id."""

import logging
import re
import time
import uuid
from typing import Any

from flask import Flask, Response, g, has_request_context, request
from pythonjsonlogger.orjson import OrjsonFormatter

from api import telemetry

WELL_FORMED = re.compile(r"[A-Za-z0-9_.:-]{8,64}")  # anything else in X-Request-ID is replaced, so that logs stay ours
HEADER = "X-Request-ID"
SERVICE = "evara-api"


class Context(logging.Filter):
    """Adds the current request's id to every line that is logged while it is handled."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = g.get("request_id") if has_request_context() else None
        return True


def configure(level: str, env: str) -> None:
    """Every logger of the process writes JSON lines to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        OrjsonFormatter(
            "%(levelname)s %(name)s %(message)s %(request_id)s",
            rename_fields={"levelname": "level", "name": "logger"},
            static_fields={"service": SERVICE, "env": env},
            timestamp=True,
        )
    )
    handler.addFilter(Context())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its line per call repeats what the metrics say, with the keys of the URL
    logging.getLogger("alembic").setLevel(logging.WARNING)


def init_app(app: Flask) -> None:
    access = logging.getLogger("evara.access")

    @app.before_request
    def begin() -> None:
        given = request.headers.get(HEADER, "")
        g.request_id = given if WELL_FORMED.fullmatch(given) else uuid.uuid4().hex
        g.started = time.perf_counter()

    @app.after_request
    def end(answer: Response) -> Response:
        answer.headers[HEADER] = g.request_id
        line: dict[str, Any] = {
            "route": telemetry.current_route(app),
            "method": request.method,
            "path": request.path,
            "status": answer.status_code,
            "duration_ms": round((time.perf_counter() - g.started) * 1000, 2),
        }
        access.info("request", extra=line)
        return answer
