"""Who asks, and whether they may: bearer keys, the scope that each view declares, and nothing without one but health and docs."""

import hmac

from flask import Flask, Response, g, request
from flask_smorest import abort
from sqlalchemy.exc import SQLAlchemyError

from api.config import Settings
from api.models import SCOPES
from api.services.keys import Keyring

OPEN = ("health.", "docs.")  # endpoints that need no key
REALM = 'Bearer realm="evara"'
SECURITY_SCHEME = {"type": "http", "scheme": "bearer", "description": "A key of `flask --app api.app keys create`"}
MISSING = "Send your API key as `Authorization: Bearer <key>`."
REFUSED = "This API key is not known here, was revoked, or has expired."  # one text: nobody learns which keys exist


def identify_callers(app: Flask, settings: Settings) -> None:
    """Sets g.key_id, g.key_scope and g.key_unlimited before anything else decides about the request; refuses nobody yet."""
    keyring = app.extensions["evara_keyring"] = Keyring(app.extensions["evara_database"])
    development = (
        settings.development_key.get_secret_value().encode() if settings.development_key and settings.env == "development" else b""
    )

    @app.before_request
    def identify() -> None:
        g.key_id, g.key_scope, g.key_unlimited, g.key_stored = None, None, False, False
        token = given_token()
        if not token or request.endpoint is None or request.endpoint.startswith(OPEN):
            return
        if development and hmac.compare_digest(token.encode(), development):
            g.key_id, g.key_scope = "development", "admin"
        elif key := keyring.find(token):
            g.key_id, g.key_scope, g.key_unlimited, g.key_stored = key.id, key.scope, key.unlimited, True

    @app.after_request
    def note_use(answer: Response) -> Response:
        if g.get("key_stored"):
            key_id = g.key_id
            answer.call_on_close(lambda: write_use(app, keyring, key_id))  # the caller has the answer by then
        return answer


def given_token() -> str:
    """The bearer token of the request; "" when there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def write_use(app: Flask, keyring: Keyring, key_id: str) -> None:
    try:
        keyring.use(key_id)
    except SQLAlchemyError as error:
        app.logger.warning("use of a key was not noted: %s", error, extra={"key_id": key_id})


def authorise_callers(app: Flask) -> None:
    """Refuses who may not; call it when all routes are there, and after the rate limiter, which counts those who guess keys.

    RuntimeError when a route declares no scope.
    """
    needed = {rule.endpoint: scope_of(app, rule.endpoint) for rule in app.url_map.iter_rules() if not rule.endpoint.startswith(OPEN)}
    if undeclared := sorted(endpoint for endpoint, scope in needed.items() if scope is None):
        raise RuntimeError(f'{", ".join(undeclared)} would answer anybody: declare `@blueprint.scope("read")`, write or admin, at the view')

    @app.before_request
    def authorise() -> None:
        scope = needed.get(request.endpoint or "")
        if scope is None:
            return  # health, docs, or nothing at all, which errors.py tells
        if g.key_scope is None:
            given = given_token()
            challenge = REALM + (', error="invalid_token"' if given else "")
            abort(401, message=REFUSED if given else MISSING, headers={"WWW-Authenticate": challenge})
        if SCOPES.index(g.key_scope) < SCOPES.index(scope):
            challenge = f'{REALM}, error="insufficient_scope", scope="{scope}"'
            message = f"This needs a key of scope {scope}; yours has scope {g.key_scope}."
            abort(403, message=message, headers={"WWW-Authenticate": challenge})


def scope_of(app: Flask, endpoint: str) -> str | None:
    """What the view's `@blueprint.scope` declared."""
    return getattr(app.view_functions[endpoint], "scope", None)
