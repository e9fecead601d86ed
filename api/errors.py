"""The one shape of every error that leaves the API: application/problem+json (RFC 9457) with the request's id."""

from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, current_app, request
from gunicorn.http.errors import ParseException
from marshmallow import EXCLUDE, Schema, fields
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import BadRequest, HTTPException, InternalServerError, ServiceUnavailable

from api import identity, telemetry

NOWHERE = "Nothing is served at this URL; /docs lists what is."
PROBLEM_JSON = "application/problem+json"


class ProblemSchema(Schema):
    """RFC 9457, and what a person needs to ask about it."""

    class Meta:
        unknown = EXCLUDE  # readers must bear members that they do not know

    type = fields.String(
        required=True, metadata={"description": "A URI for the kind of problem; about:blank says that the status says it all"}
    )
    title = fields.String(required=True, metadata={"description": "The status in words"})
    status = fields.Integer(required=True)
    detail = fields.String(required=True, metadata={"description": "What was wrong with this request"})
    request_id = fields.String(required=True, metadata={"description": "Find the request's log line by this"})
    errors = fields.Dict(metadata={"description": "What was wrong with which field: location, then field, then messages"})


def problem(error: HTTPException) -> Response:
    """An HTTPException → the answer, with the exception's own headers (Allow, Retry-After) kept."""
    status = HTTPStatus(error.code or 500)
    data: dict[str, Any] = getattr(error, "data", None) or {}
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": data.get("message") or (NOWHERE if is_nowhere(error) else error.description) or status.phrase,
        "request_id": current.request_id if (current := identity.current()) else "",
    }
    if messages := data.get("messages"):
        body |= {"detail": "Some fields are not as the schema wants them.", "errors": messages}
    answer = Response(orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS), status, mimetype=PROBLEM_JSON)
    own = {**dict(error.get_headers()), **(data.get("headers") or {})}
    answer.headers.update({key: value for key, value in own.items() if key.lower() not in {"content-type", "content-length"}})
    return answer


def is_nowhere(error: HTTPException) -> bool:
    """No route has this URL; other 404s say what they did not find."""
    return error.code == HTTPStatus.NOT_FOUND and request.url_rule is None


def unhandled(error: Exception) -> Response:
    """Anything that nobody foresaw: counted, logged with its traceback, and told without inner details."""
    telemetry.count_exception(current_app)
    current_app.logger.exception("unhandled exception", exc_info=error)
    return problem(InternalServerError("Something broke on our side. Tell us the request_id."))


def database_away(error: Exception) -> Response:
    """The database is locked, full, away or out of connections: the caller may try again soon."""
    current_app.logger.error("database unavailable: %s", error)
    return problem(ServiceUnavailable("The database does not answer in time; nothing was stored. Try again.", retry_after=5))


def broken_body(_: Exception) -> Response:
    """Chunks that are none; the server notices when the body is read."""
    return problem(BadRequest("The body's chunks cannot be told apart."))


def init_app(app: Flask) -> None:
    app.register_error_handler(ParseException, broken_body)
    app.register_error_handler(HTTPException, problem)
    app.register_error_handler(OperationalError, database_away)
    app.register_error_handler(PoolTimeout, database_away)
    app.register_error_handler(Exception, unhandled)
