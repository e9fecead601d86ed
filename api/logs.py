"""JSON log lines: one per request and one per event, all with the request's id."""

import logging
import time
from typing import Any

from flask import Flask, Response, g, request
from pythonjsonlogger.orjson import OrjsonFormatter

from api import identity, telemetry

SERVICE = "evara-api"


class Context(logging.Filter):
    """Adds the ids of the current request or job to every line that is logged while it is worked on."""

    def filter(self, record: logging.LogRecord) -> bool:
        current = identity.current()
        record.request_id = current.request_id if current else None
        record.trace_id = current.trace_id if current else None
        return True


def configure(level: str, env: str) -> None:
    """Every logger of the process writes JSON lines to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        OrjsonFormatter(
            "%(levelname)s %(name)s %(message)s %(request_id)s %(trace_id)s",
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
        identity.begin(request.headers)
        g.started = time.perf_counter()

    @app.after_request
    def end(answer: Response) -> Response:
        if current := identity.current():
            answer.headers[identity.REQUEST_ID] = current.request_id
        line: dict[str, Any] = {
            "route": telemetry.current_route(app),
            "method": request.method,
            "path": request.path,
            "status": answer.status_code,
            "duration_ms": round((time.perf_counter() - g.started) * 1000, 2),
        }
        access.info("request", extra=line)
        return answer

    @app.teardown_request
    def forget(_: BaseException | None) -> None:
        identity.end()
