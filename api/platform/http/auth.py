"""Who asks, and whether they may: bearer keys, the scope that each view declares, and nothing without one but health and docs."""

import hmac
from contextlib import suppress
from functools import partial

from flask import Flask, Response, g, request
from flask_smorest import abort
from sqlalchemy.exc import SQLAlchemyError

from api.config import Settings
from api.models import SCOPES, ApiKey
from api.platform.http import health
from api.platform.keys import Keyring

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


def identify_callers(app: Flask, settings: Settings) -> None:
    """Sets g.key_id, g.key_scope and g.key_unlimited before anything else decides about the request; refuses nobody yet."""
    keyring = app.extensions["evara_keyring"] = Keyring(app.extensions["evara_database"])
    secret = settings.development_key if settings.env == "development" else None
    development = ApiKey(id="development", scope="admin", unlimited=False)

    def key_of(token: str) -> ApiKey | None:
        if secret and hmac.compare_digest(token.encode(), secret.get_secret_value().encode()):
            return development
        if not str(request.endpoint).startswith(OPEN):
            return keyring.find(token)
        with suppress(
            SQLAlchemyError
        ):  # health tells, also of a database that is away, and does not wait for one that hangs
            return (
                keyring.find(token) if health.registered(app)["database"].result()["ok"] else None
            )
        return None

    @app.before_request
    def identify() -> None:
        g.key_id, g.key_scope, g.key_unlimited = None, None, False
        if (
            (token := given_token())
            and request.endpoint
            and not request.endpoint.startswith(UNASKED)
            and (key := key_of(token))
        ):
            g.key_id, g.key_scope, g.key_unlimited = key.id, key.scope, key.unlimited

    @app.after_request
    def note_use(answer: Response) -> Response:
        if (key_id := g.get("key_id")) not in (None, development.id):
            answer.call_on_close(
                partial(keyring.record_use, key_id)
            )  # the caller has the answer by then
        return answer


def given_token() -> str:
    """The bearer token of the request; "" when there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def authorise_callers(app: Flask) -> None:
    """Refuses who may not; call it when all routes are there, and after the rate limiter, which counts those who guess keys.

    RuntimeError when a route declares no scope.
    """
    endpoints = {
        rule.endpoint for rule in app.url_map.iter_rules() if not rule.endpoint.startswith(OPEN)
    }
    needed = {
        endpoint: getattr(app.view_functions[endpoint], "scope", None) for endpoint in endpoints
    }
    if undeclared := ", ".join(
        sorted(endpoint for endpoint in endpoints if needed[endpoint] not in SCOPES)
    ):
        raise RuntimeError(
            f'{undeclared} would answer anybody: declare `@blueprint.scope("read")`, write or admin, at the view'
        )

    @app.before_request
    def authorise() -> None:
        scope = needed.get(request.endpoint or "")
        if scope is None:
            return  # health, docs, or nothing at all, which errors.py tells
        if g.key_scope is None:
            refuse(
                401,
                UNUSABLE if given_token() else MISSING,
                error="invalid_token" if given_token() else "",
            )
        elif SCOPES.index(g.key_scope) < SCOPES.index(scope):
            refuse(
                403,
                f"This needs a key of scope {scope}; yours has scope {g.key_scope}.",
                error="insufficient_scope",
                scope=scope,
            )


def refuse(status: int, message: str, **challenge: str) -> None:
    """Aborts with the challenge of RFC 6750."""
    words = [
        f'{name}="{value}"' for name, value in {"realm": "evara", **challenge}.items() if value
    ]
    abort(status, message=message, headers={"WWW-Authenticate": f"Bearer {', '.join(words)}"})
