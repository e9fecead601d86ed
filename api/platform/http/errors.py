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
    """An answer that a hook broke off gets its headers and its line like any other; nothing is done twice."""
    if "status" not in g:
        with suppress(Exception):  # it may be what raised in the first place, and that is logged
            logs.finish(security_headers.protect(answer))
    return answer


def database_away(error: DBAPIError | PoolTimeout) -> Response:
    """The database is locked, full, away, too slow or out of connections: the caller may try again soon."""
    current_app.logger.error("database unavailable: %s", error)
    return problem(
        ServiceUnavailable(TOO_LONG if state(error) == CANCELED else AWAY, retry_after=5)
    )


def state(error: Exception) -> str | None:
    """PostgreSQL's five characters for what was wrong."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def invalid_statement(error: DBAPIError) -> Response:
    """A statement that fits no table: ours is wrong, unless the database is not ready for it."""
    return database_away(error) if state(error) in UNFINISHED else unhandled(error)


def too_large(_: Exception) -> Response:
    return problem(
        RequestEntityTooLarge(
            f"The body is larger than {current_app.config['MAX_CONTENT_LENGTH']} bytes; send less at once."
        )
    )


def broken_body(_: Exception) -> Response:
    """Chunks that are none; the server notices when the body is read."""
    return problem(BadRequest("The body's chunks cannot be told apart."))


def unfit(error: DBAPIError) -> Response:
    """The database does not take what the caller sent, and no view foresaw it."""
    current_app.logger.warning("refused by the database: %s", error)
    return problem(
        Conflict(CLASH) if isinstance(error, IntegrityError) else UnprocessableEntity(UNFIT)
    )


def refused(error: CallRefused) -> Response:
    """Somebody whom we must ask is left alone, or does not answer in the caller's time."""
    problem_of = (
        GatewayTimeout if error.status == HTTPStatus.GATEWAY_TIMEOUT else ServiceUnavailable
    )
    answer = problem(problem_of(f"{error}. Try again later."))
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
