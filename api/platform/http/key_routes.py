"""/api/v1/keys: API keys and their scopes."""

import re
from datetime import datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from api.platform import keys
from api.platform.clock import now
from api.platform.http.pages import PageQuery, PageSchema
from api.platform.http.parsing import (
    PRINTABLE,
    AnswerSchema,
    ApiBlueprint,
    Instant,
    StrictBoolean,
    Whole,
)
from api.platform.tables import SCOPES
from api.platform.types import JsonObject
from observability.spec.redaction import API_KEY

blueprint = ApiBlueprint("keys", __name__, url_prefix="/api/v1/keys", description="API keys")
EXAMPLE = {"name": "dashboard", "scope": "read"}
ANSWER: JsonObject = EXAMPLE | {
    "id": "0f8fad5bd9cb",
    "unlimited": False,
    "created_at": "2026-03-01T12:00:00+00:00",
}
REPEAT = (
    "This Idempotency-Key has created the API key {id}, which only the first response contained."
    " fix: revoke it (DELETE /api/v1/keys/{id}), then create another one with a new Idempotency-Key"
)
ANSWER |= dict.fromkeys(("expires_at", "revoked_at", "last_used_at"))


def without_key(name: str) -> None:
    if re.search(API_KEY, name):
        raise ValidationError("Must not contain an API key: names are listed and logged.")


NAME = (validate.Length(1, 100), Whole(PRINTABLE), without_key)


def in_future(moment: datetime) -> None:
    if moment <= now():
        raise ValidationError("Must be in the future.")


class NewKeySchema(Schema):
    name = fields.String(
        required=True,
        validate=NAME,
        metadata={"description": "Who uses the key"},
    )
    scope = fields.String(
        required=True,
        validate=validate.OneOf(SCOPES),
        metadata={"description": "`write` includes `read`; `admin` includes both"},
    )
    unlimited = StrictBoolean(
        load_default=False,
        metadata={"description": "Not rate-limited: for load runs and probers"},
    )
    expires_at = Instant(
        allow_none=True,
        validate=in_future,
        metadata={"description": "When the key expires, in the future; null: never"},
    )


class KeySchema(AnswerSchema):
    id = fields.String(
        required=True, metadata={"description": "Identifies the key in lists, logs and URLs"}
    )
    name = fields.String(required=True)
    scope = fields.String(required=True, validate=validate.OneOf(SCOPES))
    unlimited = fields.Boolean(required=True)
    created_at = Instant(required=True)
    expires_at = Instant(required=True, allow_none=True)
    revoked_at = Instant(required=True, allow_none=True)
    last_used_at = Instant(
        required=True, allow_none=True, metadata={"description": "Updated at most once a minute"}
    )


class MadeKeySchema(KeySchema):
    key = fields.String(
        required=True,
        attribute="token",
        metadata={"description": "The key itself; shown only in this response"},
    )


class KeyPage(PageSchema):
    items = fields.List(fields.Nested(KeySchema), required=True)


@blueprint.get("", endpoint="list")
@blueprint.scope("admin")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(
    200, KeyPage, example={"items": [ANSWER], "page": 1, "page_size": 100, "total": 1}
)
def list_keys(query: JsonObject) -> JsonObject:
    """List the API keys, newest first"""
    return keys.page(**query)


@blueprint.post("", endpoint="create")
@blueprint.scope("admin")
@blueprint.arguments(NewKeySchema, example=EXAMPLE)
@blueprint.idempotent(repeat=REPEAT)
@blueprint.response(201, MadeKeySchema, example=ANSWER | {"key": "evara_" + 43 * "x"})
def create(body: JsonObject) -> Any:
    """Create an API key; only this response contains it"""
    return keys.create(**body)


@blueprint.delete("/<string:key_id>", endpoint="revoke")
@blueprint.scope("admin")
@blueprint.response(204)
def revoke(key_id: str) -> None:
    """Revoke an API key; it stops working in all workers within 10 seconds"""
    keys.revoke(key_id)
