"""The header Idempotency-Key: a repeated request gets the first response, without a second effect.

It follows draft-ietf-httpapi-idempotency-key-header. The response is stored in the transaction of
what the view changes, so a request that fails does not use up its key.
"""

import hashlib
from collections.abc import Callable
from datetime import timedelta

from flask import Response, abort, g, request
from flask_smorest import abort as abort_with_headers
from marshmallow import Schema, fields, validate
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from api.platform.clock import now
from api.platform.db import database, insert_into
from api.platform.http.response_headers import REPLAYED, RETRY_AFTER
from api.platform.tables import IdempotentResponse
from api.platform.telemetry import metrics

HEADER = "Idempotency-Key"
KEPT = timedelta(hours=24)
PURGED = 100  # expired responses that a request with a key deletes at most
CHARACTERS = "[A-Za-z0-9._~:/+=-]{1,255}"
PATTERN = f'^({CHARACTERS}|"{CHARACTERS}")$'
INVALID = (
    "Must be 1 to 255 letters, digits or characters of ._~:/+=-, with or without quotes."
    " fix: send a new UUID with each new request, and the same one with its repeats"
)
RUNNING = "The first request with this Idempotency-Key is still running. Try again."
OTHER_REQUEST = (
    "This Idempotency-Key was sent with another request. fix: send the same URL and body, byte by"
    " byte, or a new key"
)


class IdempotencySchema(Schema):
    key = fields.String(
        data_key=HEADER,
        validate=validate.Regexp(PATTERN, error=INVALID),
        metadata={
            "description": (
                "Unique for each new request, such as a UUID. For 24 hours a repeat with the same"
                " key and body gets the first response, or 409 while that request is running;"
                " another body gets 422. Requests that failed can be repeated with the same key"
            )
        },
    )


def answer_once(key: str, view: Callable[[], Response], repeat: str) -> Response:
    """Return the response of the view, or the stored one to the first request with this key.

    `repeat` is the text of the 409 that repeats get instead, formatted with the fields of the
    first response; "" repeats the response.
    """
    response_id = digest(str(g.key_id), metrics.current_route(), key.strip('"'))
    request_digest = digest(request.full_path, hashlib.sha256(request.get_data()).hexdigest())
    with database().one_transaction() as session:
        lock(session, response_id)
        stored = session.get(IdempotentResponse, response_id)
        if stored and stored.expires_at > now():
            return repeated(stored, request_digest)
        response = view()
        if response.status_code < 400:
            store(session, response_id, request_digest, response, repeat)
    return response


def digest(*parts: str) -> str:
    """Return the SHA-256 of the parts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def lock(session: Session, response_id: str) -> None:
    """Lock the key until the end of the transaction; abort with 409 if another request has it.

    On SQLite another request has waited for the transaction of the first one.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    number = func.hashtextextended(response_id, 0)
    if not session.scalar(select(func.pg_try_advisory_xact_lock(number))):
        abort_with_headers(409, message=RUNNING, headers={RETRY_AFTER: "1"})


def repeated(stored: IdempotentResponse, request_digest: str) -> Response:
    """Return the stored response; abort if it is of another request, or must not be repeated."""
    if stored.request_digest != request_digest:
        abort(422, OTHER_REQUEST)
    if stored.status == 409:
        abort(409, stored.body)
    response = Response(stored.body, stored.status, stored.headers)
    response.headers[REPLAYED] = "true"
    return response


def store(
    session: Session, response_id: str, request_digest: str, response: Response, repeat: str
) -> None:
    """Store the response until it expires, and delete some that have expired."""
    values = {
        "request_digest": request_digest,
        "status": response.status_code,
        "headers": dict(response.headers),
        "body": response.get_data(as_text=True),
        "expires_at": now() + KEPT,
    }
    if repeat:
        values |= {"status": 409, "headers": {}, "body": repeat.format(**response.get_json())}
    insert = insert_into(session, IdempotentResponse.__table__).values(id=response_id, **values)
    session.execute(insert.on_conflict_do_update(index_elements=["id"], set_=values))
    # Last, so that a request that holds rows to delete waits for none: no deadlock.
    expired = (
        select(IdempotentResponse.id)
        .where(IdempotentResponse.expires_at <= now())
        .order_by(IdempotentResponse.expires_at)
        .limit(PURGED)
        .with_for_update(skip_locked=True)  # another request may be deleting them
        .cte()  # a subquery could be executed, and limited, for each row of the table
    )
    purge = delete(IdempotentResponse).where(IdempotentResponse.id.in_(select(expired.c.id)))
    session.execute(purge.execution_options(synchronize_session=False))
