"""Error pages, and JSON errors below /api."""

from flask import current_app, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException


def show_error(error: HTTPException) -> ResponseReturnValue:
    """Return JSON below /api, elsewhere a page."""
    code = error.code or 500
    if request.path.startswith("/api"):
        message = "only /api/inbox is here" if code == 404 else error.description
        if "inbox" not in current_app.blueprints:
            message = "the inbox is not configured: it is part of the stack, not of --prometheus"
        return {"error": message}, code
    return render_template("error.html", code=code), code
