"""The one shape of every error that leaves the API: application/problem+json (RFC 9457) with the request's id."""

from contextlib import suppress
from http import HTTPStatus
from math import ceil
from typing import Any

import orjson
from flask import Flask, Response, current_app, g, request
from gunicorn.http.errors import ParseException
from marshmallow import EXCLUDE, Schema, fields
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import (
    BadRequest,
    Conflict,
    GatewayTimeout,
    HTTPException,
    InternalServerError,
    RequestEntityTooLarge,
    ServiceUnavailable,
    UnprocessableEntity,
)

from api.platform.http import security_headers
from api.platform.outbound.circuit_breaker import CallRefused
from api.platform.telemetry import error_reports, logs, metrics, request_context

CANCELED = "57014"  # PostgreSQL's query_canceled: the statement time-out
UNFINISHED = {
    "42P01",
    "42703",
    "25006",
}  # a table or column that a migration will make; a replica that is not promoted yet
AWAY = "The database does not answer in time; nothing was stored. Try again."
TOO_LONG = (
    "The database needs too long for this; nothing was stored. Ask for less at once, or try again."
)
CLASH = "This contradicts what is stored: something is there already, or something that it needs is gone. Read it again first."
UNFIT = "The database cannot store one of the values: a number that is too large, or a text that it does not take."
BROKEN = "Something broke on our side. Tell us the request_id."
NOWHERE = "Nothing is served at this URL; /docs lists what is."
PROBLEM_JSON = "application/problem+json"


class ProblemSchema(Schema):
    """RFC 9457, and what a person needs to ask about it."""

    class Meta:
        unknown = EXCLUDE  # readers must bear members that they do not know

    type = fields.String(
        required=True,
        metadata={
            "description": "A URI for the kind of problem; about:blank says that the status says it all"
        },
    )
    title = fields.String(required=True, metadata={"description": "The status in words"})
    status = fields.Integer(required=True)
    detail = fields.String(
        required=True, metadata={"description": "What was wrong with this request"}
    )
    request_id = fields.String(
        required=True, metadata={"description": "Find the request's log line by this"}
    )
    errors = fields.Dict(
        metadata={
            "description": "What was wrong with which field: location, then field, then messages"
        }
    )


def members(status: HTTPStatus, detail: str, request_id: str) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "request_id": request_id,
    }


def problem(error: HTTPException) -> Response:
    """An HTTPException → the answer, with the exception's own headers (Allow, Retry-After) kept."""
    status = HTTPStatus(error.code or 500)
    data: dict[str, Any] = getattr(error, "data", None) or {}
    nowhere = (
        status == HTTPStatus.NOT_FOUND and request.url_rule is None
    )  # other 404s say what they did not find
    detail = data.get("message") or (NOWHERE if nowhere else error.description) or status.phrase
    body = members(
        status, detail, current.request_id if (current := request_context.current()) else ""
    )
    if messages := data.get("messages"):
        body |= {"detail": "Some fields are not as the schema wants them.", "errors": messages}
    text = logs.redact(orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS).decode())
    answer = Response(text, status, mimetype=PROBLEM_JSON)
    own = {**dict(error.get_headers()), **(data.get("headers") or {})}
    answer.headers.update(
        {
            key: value
            for key, value in own.items()
            if key.lower() not in {"content-type", "content-length"}
        }
    )
    return answer


def unhandled(error: Exception) -> Response:
    """Anything that nobody foresaw: counted, logged with its traceback, reported, and told without inner details."""
    g.exception_type = type(error).__name__
    metrics.count_exception(error)
    current_app.logger.error("unhandled exception", exc_info=error)
    error_reports.report(error)
    return problem(InternalServerError(BROKEN))


def last_resort(error: Exception) -> Response:
    """What escaped from all handlers, or was raised by one: the same answer, although no hook will touch it any more."""
    try:
        answer = unhandled(error)
    except Exception:
        current_app.logger.exception("the answer to an exception could not be made")
        answer = Response(
            orjson.dumps(members(HTTPStatus.INTERNAL_SERVER_ERROR, BROKEN, "")),
            500,
            mimetype=PROBLEM_JSON,
        )
    return complete(answer)


def complete(answer: Response) -> Response:
    """Add headers and log line to an answer that a hook broke off; do nothing twice."""
    if "status" not in g:
        with suppress(Exception):  # it may be what raised in the first place, and that is logged
            logs.finish(security_headers.protect(answer))
    return answer


def database_away(error: DBAPIError | PoolTimeout) -> Response:
    """Answer 503 while the database is locked, full, away, too slow or out of connections."""
    current_app.logger.error("database unavailable: %s", error)
    detail = TOO_LONG if sqlstate(error) == CANCELED else AWAY
    return problem(ServiceUnavailable(detail, retry_after=5))


def sqlstate(error: Exception) -> str | None:
    """Return PostgreSQL's code for the error, five characters; None from other databases."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def invalid_statement(error: DBAPIError) -> Response:
    """Answer 503 while migrations are missing; else the statement is wrong, and that is a 500."""
    if sqlstate(error) in UNFINISHED:
        return database_away(error)
    return unhandled(error)


def too_large(_: Exception) -> Response:
    """Answer 413 with the limit in bytes."""
    largest = current_app.config["MAX_CONTENT_LENGTH"]
    detail = f"The body is larger than {largest} bytes; send less at once."
    return problem(RequestEntityTooLarge(detail))


def broken_body(_: Exception) -> Response:
    """Answer 400 to malformed chunks, which the server notices when the body is read."""
    return problem(BadRequest("The body's chunks cannot be told apart."))


def unfit(error: DBAPIError) -> Response:
    """Answer 409 or 422 when the database refuses values that no view refused."""
    current_app.logger.warning("refused by the database: %s", error)
    if isinstance(error, IntegrityError):
        return problem(Conflict(CLASH))
    return problem(UnprocessableEntity(UNFIT))


def refused(error: CallRefused) -> Response:
    """Answer 503 or 504, with Retry-After, when a call to another host is not made or too slow."""
    detail = f"{error}. Try again later."
    timed_out = error.status == HTTPStatus.GATEWAY_TIMEOUT
    answer = problem(GatewayTimeout(detail) if timed_out else ServiceUnavailable(detail))
    answer.headers["Retry-After"] = str(ceil(error.retry_after))
    return answer


def init_app(app: Flask) -> None:
    """Register a handler for each kind of exception."""
    for kind, handler in (
        (HTTPException, problem),
        (ParseException, broken_body),
        (RequestEntityTooLarge, too_large),
        (CallRefused, refused),
        (OperationalError, database_away),
        (InterfaceError, database_away),
        (PoolTimeout, database_away),
        (ProgrammingError, invalid_statement),
        (InternalError, invalid_statement),
        (IntegrityError, unfit),
        (DataError, unfit),
        (Exception, unhandled),
    ):
        app.register_error_handler(kind, handler)
