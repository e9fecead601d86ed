"""/api/v1/keys: who may ask, and for what."""

from datetime import datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from api.models import SCOPES, now
from api.services import keys
from api.v1.parsing import PRINTABLE, V1, Instant, PageQuery, PageSchema, Whole

blueprint = V1("keys", __name__, url_prefix="/api/v1/keys", description="API keys")
EXAMPLE = {"name": "dashboard", "scope": "read"}


def in_future(moment: datetime) -> None:
    if moment <= now():
        raise ValidationError("Must lie in the future.")


class KeySchema(Schema):
    id = fields.String(dump_only=True)
    name = fields.String(required=True, validate=(validate.Length(1, 100), Whole(PRINTABLE)))
    scope = fields.String(required=True, validate=validate.OneOf(SCOPES), metadata={"description": "write may read, admin may all"})
    unlimited = fields.Boolean(load_default=False, metadata={"description": "Not rate-limited: for load runs and probers"})
    created_at = Instant(dump_only=True)
    expires_at = Instant(allow_none=True, validate=in_future)
    revoked_at = Instant(dump_only=True, allow_none=True)
    last_used_at = Instant(dump_only=True, allow_none=True, metadata={"description": "To the minute"})


class NewKeySchema(KeySchema):
    key = fields.String(dump_only=True, attribute="token", metadata={"description": "The key itself; shown now and never again"})


class KeyPage(PageSchema):
    items = fields.List(fields.Nested(KeySchema))


@blueprint.route("/", methods=["GET"], endpoint="list")
@blueprint.scope("admin")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, KeyPage)
@blueprint.errors(422)
def list_keys(query: dict[str, Any]) -> dict[str, Any]:
    """Keys, the newest first"""
    return keys.page(**query)


@blueprint.route("/", methods=["POST"], endpoint="create")
@blueprint.scope("admin")
@blueprint.arguments(KeySchema, example=EXAMPLE)
@blueprint.response(201, NewKeySchema)
@blueprint.errors(400, 413, 415, 422)
def create(body: dict[str, Any]) -> Any:
    """Make a key; the answer alone has it"""
    return keys.create(**body), {"Cache-Control": "no-store"}


@blueprint.route("/<string:key_id>", methods=["DELETE"], endpoint="revoke")
@blueprint.scope("admin")
@blueprint.response(204)
@blueprint.errors(404)
def revoke(key_id: str) -> None:
    """Revoke a key; other workers learn of it within 10 seconds"""
    keys.revoke(key_id)
