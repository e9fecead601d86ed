"""The inbox: Alertmanager's webhook (version 4), and what it has delivered.

GET  /api/inbox    {"alerts": […]}: an entry per alert, newest first, with delivery and resolution
POST /api/inbox    one notification; Alertmanager sends the key that `make up` has made
"""

import hmac
from http import HTTPStatus

from flask import Blueprint, abort, current_app, request
from flask.typing import ResponseReturnValue
from gunicorn.http.errors import ParseException
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from observability.console.context import console
from observability.devstack.layout import INBOX_KEY

MAX_BYTES = 1 << 20  # of one notification
inbox = Blueprint("inbox", __name__)


@inbox.get("/api/inbox")
def show() -> ResponseReturnValue:
    """Return every delivered alert."""
    return {"alerts": console().store.alerts()}


@inbox.post("/api/inbox")
def deliver() -> ResponseReturnValue:
    """Store a notification; 400 for anything else."""
    refuse_other_senders()
    request.max_content_length = MAX_BYTES
    try:
        body = request.get_data()
    except ParseException:
        abort(400, "the chunked encoding of the body is malformed")
    if len(body) >= MAX_BYTES:  # a chunked body is cut off there
        abort(413)
    try:
        console().store.deliver(body)
    except ValueError:
        return {"error": "this is not a notification of Alertmanager"}, 400
    except OSError as error:  # Alertmanager repeats what gets a 5xx
        message = f"the notification cannot be stored: {error.strerror}; fix: free some space"
        current_app.logger.error(message)
        return {"error": message}, HTTPStatus.INSUFFICIENT_STORAGE
    return {"status": "kept"}


def refuse_other_senders() -> None:
    """Abort with 401, 403 or 415 unless Alertmanager sends the request: no web page can."""
    key = console().layout.key(INBOX_KEY)
    sent = request.headers.get("Authorization", "")
    if not key or not hmac.compare_digest(sent.encode(), f"Bearer {key}".encode()):
        challenge = WWWAuthenticate("bearer", {"realm": "inbox"})
        raise Unauthorized("send the key that make up has made", www_authenticate=challenge)
    if "Origin" in request.headers:
        abort(403, "web pages cannot deliver notifications")
    if request.mimetype != "application/json":
        abort(415, "send application/json")
