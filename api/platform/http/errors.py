"""The error responses of the API: application/problem+json (RFC 9457) with the request id."""

from contextlib import suppress
from http import HTTPStatus
from math import ceil

import orjson
from flask import Flask, Response, current_app, g, request
from gunicorn.http.errors import ParseException
from marshmallow import fields
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

from api.platform.commits import OutcomeUnknown
from api.platform.http import security_headers
from api.platform.http.parsing import AnswerSchema
from api.platform.http.response_headers import RETRY_AFTER
from api.platform.outbound.circuit_breaker import CallRefused
from api.platform.telemetry import error_reports, logs, metrics, request_context
from api.platform.types import JsonObject
from observability.spec.redaction import redact

QUERY_CANCELED = "57014"  # PostgreSQL's code for the statement time-out
# PostgreSQL's codes for a missing table, a missing column and a read-only replica: a migration
# or a promotion is still to come.
UNFINISHED = {"42P01", "42703", "25006"}
AWAY = "The database is unavailable; nothing was stored. Try again."
TOO_LONG = (
    "The database query took too long; nothing was stored. Request less at once, or try again."
)
UNKNOWN = (
    "The database failed during or after the commit: the change may be stored, or not. fix: repeat"
    " the request with the Idempotency-Key that it had; if it had none, read what is stored first."
)
CONFLICT = (
    "The request conflicts with stored data: a resource already exists, or one that it refers to"
    " has been deleted. Read the current state, then retry."
)
UNFIT = (
    "The database cannot store one of the values: a number is too large, or a text has characters"
    " that it does not accept."
)
BROKEN = "Internal error. Report the request_id to the operator."
NOWHERE = "No resource has this URL; see /docs."
PROBLEM_JSON = "application/problem+json"


class ProblemSchema(AnswerSchema):
    """The members of RFC 9457, the request id and the errors by field."""

    type = fields.String(
        required=True,
        metadata={
            "description": (
                "URI of the problem type; about:blank: the status describes the problem"
            )
        },
    )
    title = fields.String(required=True, metadata={"description": "Reason phrase of the status"})
    status = fields.Integer(required=True)
    detail = fields.String(
        required=True, metadata={"description": "What is wrong with this request"}
    )
    request_id = fields.String(
        required=True, metadata={"description": "Identifies the request in the logs"}
    )
    errors = fields.Dict(metadata={"description": "Messages by location and field"})


def members(status: HTTPStatus, detail: str, request_id: str) -> JsonObject:
    """Return the body of a problem."""
    return {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "request_id": request_id,
    }


def problem(error: HTTPException) -> Response:
    """Return the response to an HTTPException, with its own headers (Allow, Retry-After)."""
    status = HTTPStatus(error.code or 500)
    data: JsonObject = getattr(error, "data", None) or {}  # set by flask-smorest's abort
    request_id = ""
    context = request_context.current()
    if context:
        request_id = context.request_id
    body = members(status, detail_of(error, status, data), request_id)
    messages = data.get("messages")
    if messages:
        body["detail"] = "Some fields are invalid; see errors."
        body["errors"] = messages
    text = orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS).decode()
    response = Response(redact(text), status, mimetype=PROBLEM_JSON)
    headers = {**dict(error.get_headers()), **(data.get("headers") or {})}
    for name, value in headers.items():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def detail_of(error: HTTPException, status: HTTPStatus, data: JsonObject) -> str:
    """Return what was wrong: the message of the abort, else the exception's description."""
    if data.get("message"):
        return str(data["message"])
    if status == HTTPStatus.NOT_FOUND and not request.url_rule:
        return NOWHERE
    return error.description or status.phrase


def unhandled(error: Exception) -> Response:
    """Count, log and report an exception that has no handler; answer 500 without its details."""
    g.exception_type = type(error).__name__
    metrics.count_exception(error)
    current_app.logger.error(logs.UNHANDLED_EXCEPTION, exc_info=error)
    error_reports.report(error)
    return problem(InternalServerError(BROKEN))


def last_resort(error: Exception) -> Response:
    """Answer an exception that a handler or hook raised, with the headers that hooks would add."""
    try:
        response = unhandled(error)
    except Exception:
        current_app.logger.exception("the response to an exception could not be created")
        body = members(HTTPStatus.INTERNAL_SERVER_ERROR, BROKEN, "")
        response = Response(orjson.dumps(body), 500, mimetype=PROBLEM_JSON)
    return complete(response)


def complete(response: Response) -> Response:
    """Add headers and log line if a failing hook prevented them; do nothing twice."""
    if "status" not in g:
        # These may be what raised in the first place, which is logged already.
        with suppress(Exception):
            logs.finish(security_headers.add_headers(response))
    return response


def database_away(error: DBAPIError | PoolTimeout) -> Response:
    """Answer 503 while the database is locked, full, unreachable, slow or out of connections.

    The answer says that nothing was stored only if no COMMIT was sent.
    """
    current_app.logger.error("database unavailable: %s", error)
    detail = AWAY
    if sqlstate(error) == QUERY_CANCELED:
        detail = TOO_LONG
    if isinstance(error, OutcomeUnknown) or "has_committed" in g:
        detail = UNKNOWN
    return problem(ServiceUnavailable(detail, retry_after=5))


def sqlstate(error: Exception) -> str | None:
    """Return PostgreSQL's code for the error, five characters; None from other databases."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def invalid_statement(error: DBAPIError) -> Response:
    """Answer 503 while migrations are missing; otherwise the statement is a bug, which is 500."""
    if sqlstate(error) in UNFINISHED:
        return database_away(error)
    return unhandled(error)


def too_large(_: Exception) -> Response:
    """Answer 413 with the limit in bytes."""
    largest = current_app.config["MAX_CONTENT_LENGTH"]
    detail = f"The body is larger than {largest} bytes."
    return problem(RequestEntityTooLarge(detail))


def broken_body(_: Exception) -> Response:
    """Answer 400 to malformed chunks, which gunicorn detects when the body is read."""
    return problem(BadRequest("The chunked encoding of the body is malformed."))


def unfit(error: DBAPIError) -> Response:
    """Answer 409 or 422 when the database rejects values that the schemas accept."""
    current_app.logger.warning("the database rejected a statement: %s", error)
    if isinstance(error, IntegrityError):
        return problem(Conflict(CONFLICT))
    return problem(UnprocessableEntity(UNFIT))


def refused(error: CallRefused) -> Response:
    """Answer 503 or 504, with Retry-After, when a call to another host is refused or too slow."""
    detail = f"{error}. Try again later."
    exception: HTTPException = ServiceUnavailable(detail)
    if error.status == HTTPStatus.GATEWAY_TIMEOUT:
        exception = GatewayTimeout(detail)
    response = problem(exception)
    response.headers[RETRY_AFTER] = str(ceil(error.retry_after))
    return response


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
