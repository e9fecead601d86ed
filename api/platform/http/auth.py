"""Who asks, and whether they may: bearer keys, the scope that each view declares, and nothing without one but health and docs."""

import hmac
from contextlib import suppress
from functools import partial
from typing import NoReturn

from flask import Flask, Response, g, request
from flask_smorest import abort
from sqlalchemy.exc import SQLAlchemyError

from api.config import Settings
from api.models import SCOPES, ApiKey
from api.platform.state import app_state

OPEN = ("health.", "docs.")  # endpoints that need no key
UNASKED = (
    "health.live",
    "health.ready",
    "docs.",
)  # those that do not even look at one, so that they answer without a database
SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key of `flask --app api.app keys create`",
}
MISSING = "Send your API key in the header Authorization, after the word Bearer and a space."
UNUSABLE = "This API key is not known here, was revoked, or has expired."  # one text: nobody learns which keys exist
DEVELOPMENT = ApiKey(id="development", scope="admin", unlimited=False)


def identify() -> None:
    """Set g.key_id, g.key_scope and g.key_unlimited from the request's key; refuse nobody yet."""
    g.key_id, g.key_scope, g.key_unlimited = None, None, False
    token = given_token()
    if not token or not request.endpoint or request.endpoint.startswith(UNASKED):
        return
    if key := key_of(token):
        g.key_id, g.key_scope, g.key_unlimited = key.id, key.scope, key.unlimited


def key_of(token: str) -> ApiKey | None:
    """Return the key that the token opens for the current request; None when it opens none."""
    state = app_state()
    if is_development_key(token, state.settings):
        return DEVELOPMENT
    if not str(request.endpoint).startswith(OPEN):
        return state.keyring.find(token)
    # Health answers also while the database is away, and does not wait for one that hangs.
    if not state.health_checks["database"].result()["ok"]:
        return None
    with suppress(SQLAlchemyError):
        return state.keyring.find(token)
    return None


def is_development_key(token: str, settings: Settings) -> bool:
    """Compare the token with the development key, which exists in development alone."""
    if settings.env != "development" or not settings.development_key:
        return False
    secret = settings.development_key.get_secret_value()
    return hmac.compare_digest(token.encode(), secret.encode())


def record_use(answer: Response) -> Response:
    """Record that the key was used, once the caller has the answer."""
    key_id = g.get("key_id")
    if key_id not in (None, DEVELOPMENT.id):
        answer.call_on_close(partial(app_state().keyring.record_use, key_id))
    return answer


def given_token() -> str:
    """The bearer token of the request; "" when there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def init_app(app: Flask) -> None:
    """Collect the scope of every route; call it when all routes are there.

    RuntimeError when a route declares no scope.
    """
    endpoints = {
        rule.endpoint for rule in app.url_map.iter_rules() if not rule.endpoint.startswith(OPEN)
    }
    scopes = {
        endpoint: getattr(app.view_functions[endpoint], "scope", "") for endpoint in endpoints
    }
    undeclared = sorted(endpoint for endpoint, scope in scopes.items() if scope not in SCOPES)
    if undeclared:
        raise RuntimeError(
            f"{', '.join(undeclared)} would answer anybody: declare"
            ' `@blueprint.scope("read")`, write or admin, at the view'
        )
    app_state(app).required_scopes = scopes


def authorise() -> None:
    """Enforce the scope that the route declares; health, docs and unknown URLs need none."""
    scope = app_state().required_scopes.get(request.endpoint or "")
    if scope is None:
        return
    if g.key_scope is None:
        if given_token():
            refuse(401, UNUSABLE, error="invalid_token")
        refuse(401, MISSING)
    if SCOPES.index(g.key_scope) < SCOPES.index(scope):
        message = f"This needs a key of scope {scope}; yours has scope {g.key_scope}."
        refuse(403, message, error="insufficient_scope", scope=scope)


def refuse(status: int, message: str, **challenge: str) -> NoReturn:
    """Abort with the challenge of RFC 6750."""
    parameters = {"realm": "evara", **challenge}
    challenge_text = ", ".join(f'{name}="{value}"' for name, value in parameters.items())
    abort(status, message=message, headers={"WWW-Authenticate": f"Bearer {challenge_text}"})
    raise AssertionError("abort() raises")
