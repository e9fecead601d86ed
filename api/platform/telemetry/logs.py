"""JSON log lines: one per request and one per event, all with the ids of their request or job, and none with a secret."""

import logging
import re
import time
from contextlib import suppress
from typing import Any

from flask import Response, g, request
from pythonjsonlogger.orjson import OrjsonFormatter

from api.platform.telemetry import metrics, request_context

SERVICE = "evara-api"
ACCESS = "evara.access"
CHATTY = "opentelemetry"  # says for every batch, and for every span that finds the queue full, that the collector is away
CHATTY_SECONDS = 60.0
# Values end before quotes and backslashes, so that a line of JSON stays one.
KEY = r"(?:(?:api|channel|access|private|secret)[-_]?key|authorization|password|passwd|secret|token|dsn)"
SUSPECT = re.compile(
    r"[\s:=]|evara_"
)  # no secret is found without one of these; most paths have none
SECRETS = re.compile(
    rf"""(?ix)
    (?P<url> ://[^\s/:@"'\\]*: ) (?:[^\s"\\]|\\[^nrt]){{1,100}}@                  # scheme://user:password@
    | (?P<scheme> \b(?:Bearer|Basic)\s+ ) [\w.~+/=-]{{6,}}
    | (?-i: \bevara_ (?=[a-z_-]*[0-9A-Z]) [A-Za-z0-9_-]{{8,}} )                   # a key of ours; names of metrics are small letters
    | (?P<quoted> {KEY} \\*["'] \s*:\s* \\*["'] ) [^"'\\]+
    | (?P<bare> {KEY} \s*[=:]\s* (?:\\*["'])? (?:(?:Bearer|Basic)\s+)? ) [^\s"'\\&,;(){{}}\[\]]+
    """
)


def redact(text: str) -> str:
    """The text without bearer tokens, keys, passwords and the credentials of URLs; JSON stays JSON."""
    return SECRETS.sub(hidden, text) if SUSPECT.search(text) else text


def hidden(found: re.Match[str]) -> str:
    before = found["url"] or found["scheme"] or found["quoted"] or found["bare"] or ""
    return f"{before}[redacted]{'@' if found['url'] else ''}"


class Context(logging.Filter):
    """Adds the ids of the current request or job to every line that is logged while it is worked on."""

    def filter(self, record: logging.LogRecord) -> bool:
        current = request_context.current()
        record.request_id = current.request_id if current else None
        record.trace_id = current.trace_id if current else None
        return True


class Sparsely(logging.Filter):
    """Lets one line per minute through of a library that repeats itself."""

    next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(CHATTY):
            return True
        due, now = self.next, time.monotonic()
        if now >= due:
            self.next = now + CHATTY_SECONDS
        return now >= due


class Formatter(OrjsonFormatter):
    """Redacts the whole line, whatever it is made of; the access line redacts its own parts, because it is on the hot path."""

    def format(self, record: logging.LogRecord) -> str:
        line: str = super().format(record)
        return line if record.name == ACCESS else redact(line)


class Handler(logging.StreamHandler[Any]):
    """Writes lines to standard error; one that cannot be made is one line, too, and not its arguments on many."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        words = ("a line could not be written: %s:%s", (record.pathname, record.lineno))
        with suppress(ValueError, OSError):  # standard error itself is gone
            self.stream.write(
                self.format(
                    logging.LogRecord(
                        record.name, logging.ERROR, record.pathname, record.lineno, *words, None
                    )
                )
                + "\n"
            )


def configure(level: str, env: str, version: str) -> None:
    """Every logger of the process writes JSON lines to standard error."""
    handler = Handler()
    handler.setFormatter(
        Formatter(
            "%(levelname)s %(name)s %(message)s %(request_id)s %(trace_id)s",
            rename_fields={"levelname": "level", "name": "logger"},
            static_fields={"service": SERVICE, "version": version, "env": env},
            timestamp=True,
        )
    )
    handler.addFilter(Sparsely())
    handler.addFilter(Context())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(
        logging.WARNING
    )  # its line per call repeats what the metrics say, with the keys of the URL
    logging.getLogger("alembic").setLevel(logging.WARNING)


def begin() -> None:
    """Give the request its ids, and note when it began."""
    request_context.begin(request.headers)
    g.started = time.perf_counter()


def finish(answer: Response) -> Response:
    """Put the ids on the answer and write the request's line."""
    g.status = answer.status_code
    if current := request_context.current():
        answer.headers[request_context.REQUEST_ID] = current.request_id
        answer.headers[request_context.TRACERESPONSE] = current.traceparent()
    line: dict[str, Any] = {
        "route": metrics.current_route(),
        "method": request.method,
        "path": redact(request.path),
        "status": answer.status_code,
        "duration_ms": round((time.perf_counter() - g.started) * 1000, 2)
        if "started" in g
        else 0.0,
        **request_context.usage_fields(),
        "key_id": g.get("key_id"),
    }
    access = logging.getLogger(ACCESS)
    if access.isEnabledFor(
        logging.INFO
    ):  # made by hand: info() would search the stack for its caller, at every request
        access.handle(
            access.makeRecord(ACCESS, logging.INFO, __file__, 0, "request", (), None, extra=line)
        )
    return answer


def forget(_: BaseException | None) -> None:
    """Forget the ids of the request."""
    request_context.end()
