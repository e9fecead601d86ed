"""JSON log lines, one per request and one per event, with the ids of the request and no secret."""

import logging
import sys
import time
from contextlib import suppress
from typing import Any

from flask import Response, g, request
from pythonjsonlogger.orjson import OrjsonFormatter

from api.platform.config import PlatformSettings
from api.platform.telemetry import metrics, request_context
from observability.spec import names, redaction
from observability.spec.redaction import redact

ACCESS = "evara.access"
ACCESS_LOG = logging.getLogger(ACCESS)  # one line per request
# Messages that alerts, documentation or tests search for; tests compare the catalogue with them.
UNHANDLED_EXCEPTION = "unhandled exception"
JOB_DONE = names.LOG_JOB_DONE
JOB_FAILED = names.LOG_JOB_FAILED
DELIVERED = names.LOG_DELIVERED
DELIVERY_FAILED = names.LOG_DELIVERY_FAILED
BREAKER_CHANGED = "breaker changed"
# Logs each batch, and each span that finds the queue full, while the collector is unreachable.
REPETITIVE = "opentelemetry"
REPETITIVE_INTERVAL = 60.0  # seconds between its lines


class ContextFilter(logging.Filter):
    """The ids of the current request or job, added to every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add request_id and trace_id, None outside requests and jobs."""
        context = request_context.current()
        record.request_id = None
        record.trace_id = None
        if context:
            record.request_id = context.request_id
            record.trace_id = context.trace_id
        return True


class RepetitionFilter(logging.Filter):
    """A limit of one line per interval for a library that logs repetitively."""

    next_line = 0.0  # on the monotonic clock

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for a record of the library before its next line is due."""
        if not record.name.startswith(REPETITIVE):
            return True
        now = time.monotonic()
        if now < self.next_line:
            return False
        self.next_line = now + REPETITIVE_INTERVAL
        return True


class Formatter(OrjsonFormatter):
    """JSON lines without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the redacted line.

        The access log is on the hot path: finish() redacts the only parts that may hold a secret.
        """
        line: str = super().format(record)
        if record.name == ACCESS:
            return line
        return redact(line)


class Handler(logging.StreamHandler[Any]):
    """Lines on standard error."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Write one line that names the call whose line could not be written.

        logging itself would print the call's arguments, which may hold secrets.
        """
        substitute = logging.LogRecord(
            record.name,
            logging.ERROR,
            record.pathname,
            record.lineno,
            "a log line could not be written: %s:%s",
            (record.pathname, record.lineno),
            None,
        )
        with suppress(ValueError, OSError):  # standard error itself is closed
            self.stream.write(f"{self.format(substitute)}\n")


def configure(service: str, settings: PlatformSettings) -> None:
    """Make every logger of the process write JSON lines to standard error."""
    formatter = Formatter(
        "%(levelname)s %(name)s %(message)s %(request_id)s %(trace_id)s",
        rename_fields={"levelname": "level", "name": "logger"},
        static_fields={"service": service, "version": settings.version, "env": settings.env},
        timestamp=True,
    )
    redaction.protect_errors()
    handler = Handler(redaction.original(sys.stderr))  # its formatter redacts
    handler.setFormatter(formatter)
    handler.addFilter(RepetitionFilter())
    handler.addFilter(ContextFilter())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # httpx logs each call with its URL, which may hold a key; the metrics count the calls.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def begin() -> None:
    """Start the request context and the request's timer."""
    request_context.begin(request.headers)
    g.started = time.perf_counter()


def finish(response: Response) -> Response:
    """Add the ids to the response and write the request's log line."""
    g.status = response.status_code
    context = request_context.current()
    if context:
        response.headers[request_context.REQUEST_ID] = context.request_id
        response.headers[request_context.TRACERESPONSE] = context.traceparent()
    if ACCESS_LOG.isEnabledFor(logging.INFO):
        # Logger.info() would search the stack for its caller at every request.
        record = ACCESS_LOG.makeRecord(
            ACCESS, logging.INFO, __file__, 0, "request", (), None, extra=access_fields(response)
        )
        ACCESS_LOG.handle(record)
    return response


def access_fields(response: Response) -> dict[str, Any]:
    """Return the fields of the request's line; docs/logs.md describes them."""
    duration = 0.0
    if "started" in g:
        duration = time.perf_counter() - g.started
    return {
        "route": metrics.current_route(),
        "method": redact(request.method),
        "path": redact(request.path),
        "status": response.status_code,
        "duration_ms": round(duration * 1000, 2),
        **request_context.usage_fields(),
        "key_id": g.get("key_id"),
    }


def end(_: BaseException | None) -> None:
    """End the request context."""
    request_context.end()
