"""The inbox: Alertmanager's webhook (version 4), and what it has delivered.

GET  /api/inbox    {"alerts": […]}: an entry per alert, newest first, with delivery and resolution
POST /api/inbox    one notification
"""

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from observability.console.context import console

MAX_BYTES = 4 << 20  # of one notification
inbox = Blueprint("inbox", __name__)


@inbox.get("/api/inbox")
def show() -> ResponseReturnValue:
    """Return every delivered alert."""
    return {"alerts": console().store.alerts()}


@inbox.post("/api/inbox")
def deliver() -> ResponseReturnValue:
    """Store a notification; 400 for anything else."""
    try:
        console().store.deliver(request.stream.read(MAX_BYTES))
    except ValueError:
        return {"error": "this is not a notification of Alertmanager"}, 400
    return {"status": "kept"}
