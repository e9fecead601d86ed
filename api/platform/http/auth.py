"""Authentication by bearer key, and authorisation by the scope that each view declares."""

import hmac
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from flask import Flask, Response, current_app, g, request
from flask_smorest import abort
from sqlalchemy.exc import SQLAlchemyError

from api.platform.config import PlatformSettings
from api.platform.state import app_state
from api.platform.tables import SCOPES, ApiKey

PUBLIC = ("health.", "docs.")  # endpoints that require no key
# Endpoints that ignore a key, so that they respond without a database.
ANONYMOUS = ("health.live", "health.ready", "docs.")
SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "API key, created by `flask --app api.app keys create`",
}
MISSING = "Send an API key in the Authorization header (RFC 6750)."
# One text for all reasons, so that callers cannot learn which keys exist.
UNUSABLE = "The API key is unknown, revoked or expired."
DEVELOPMENT = ApiKey(id="development", scope="admin", unlimited=False)


def identify() -> None:
    """Set g.key_id, g.key_scope and g.key_unlimited from the request's key, without a refusal."""
    g.key_id = None
    g.key_scope = None
    g.key_unlimited = False
    token = bearer_token()
    if not token or not request.endpoint or request.endpoint.startswith(ANONYMOUS):
        return
    key = find_key(token)
    if key:
        g.key_id = key.id
        g.key_scope = key.scope
        g.key_unlimited = key.unlimited


def find_key(token: str) -> ApiKey | None:
    """Return the API key that the token is; None when there is none."""
    state = app_state()
    if is_development_key(token, state.settings):
        return DEVELOPMENT
    if not str(request.endpoint).startswith(PUBLIC):
        return state.keyring.find(token)
    # /health responds while the database is down, and does not wait for one that hangs.
    if not state.health_checks["database"].result()["ok"]:
        return None
    with suppress(SQLAlchemyError):
        return state.keyring.find(token)
    return None


def is_development_key(token: str, settings: PlatformSettings) -> bool:
    """Return True for the development key, which is valid in development only."""
    if settings.env != "development" or not settings.development_key:
        return False
    secret = settings.development_key.get_secret_value()
    return hmac.compare_digest(token.encode(), secret.encode())


def record_use(response: Response) -> Response:
    """Record that the key was used, after the response has been sent."""
    key_id = g.get("key_id")
    if key_id not in (None, DEVELOPMENT.id):
        response.call_on_close(partial(app_state().keyring.record_use, key_id))
    return response


def bearer_token() -> str:
    """Return the bearer token of the request; "" when there is none."""
    authorization = request.headers.get("Authorization", "")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return ""
    return token.strip()


def init_app(app: Flask) -> None:
    """Raise RuntimeError when a route declares no scope; call it when all routes exist."""
    undeclared = [
        endpoint
        for endpoint, view in app.view_functions.items()
        if not endpoint.startswith(PUBLIC) and required_scope(view) not in SCOPES
    ]
    if undeclared:
        raise RuntimeError(
            f"{', '.join(sorted(undeclared))} would respond to everybody: declare"
            ' `@blueprint.scope("read")`, write or admin, at the view'
        )


def required_scope(view: Any) -> str:
    """Return the scope that the view declares; "" without one."""
    return getattr(view, "scope", "")


def authorise() -> None:
    """Enforce the scope that the route declares; health, docs and unknown URLs need none."""
    scope = required_scope(current_app.view_functions.get(request.endpoint or ""))
    if not scope:
        return
    if not g.key_scope:
        if bearer_token():
            refuse(401, UNUSABLE, error="invalid_token")
        refuse(401, MISSING)
    if SCOPES.index(g.key_scope) < SCOPES.index(scope):
        message = f"This route requires a key of scope {scope}; this key has scope {g.key_scope}."
        refuse(403, message, error="insufficient_scope", scope=scope)


def refuse(status: int, message: str, **challenge: str) -> NoReturn:
    """Abort with the challenge of RFC 6750."""
    parameters = {"realm": "evara", **challenge}
    joined = ", ".join(f'{name}="{value}"' for name, value in parameters.items())
    abort(status, message=message, headers={"WWW-Authenticate": f"Bearer {joined}"})
    raise AssertionError("abort() raises")
