"""/api/v1/nodes: the tanks, wells and meters."""

import math
from functools import partial
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from api.models import LARGEST, METRIC, NODE_KINDS
from api.platform.http.pages import PageQuery, PageSchema
from api.platform.http.parsing import (
    PRINTABLE,
    SLUG,
    AnswerSchema,
    ApiBlueprint,
    Instant,
    StrictFloat,
    Whole,
    WholeNumber,
)
from api.platform.types import JsonObject
from api.services import nodes
from api.services.entries import FIELD_NAMES

blueprint = ApiBlueprint(
    "nodes",
    __name__,
    url_prefix="/api/v1/nodes",
    description="Water tanks, bore wells and flow meters",
)
EXAMPLE = {"id": "tank-01", "name": "Roof tank, east block", "kind": "water_tank"}
ALARMS = 20  # per node
ALARMED = {"level_m": {"below": 0.5, "above": 3.0}}
TIMES = {"created_at": "2026-03-01T11:58:00+00:00", "updated_at": "2026-03-01T12:00:00+00:00"}
ANSWER = EXAMPLE | {"channel_id": 1001, "fields": {"field1": "level_m"}, "alarms": ALARMED} | TIMES
NodeFields = Schema.from_dict(
    {name: fields.String(validate=Whole(METRIC)) for name in FIELD_NAMES},
    name="NodeFields",
)


class LimitsSchema(Schema):
    below = StrictFloat(validate=validate.Range(-LARGEST, LARGEST))
    above = StrictFloat(validate=validate.Range(-LARGEST, LARGEST))

    @validates_schema
    def in_order(self, data: dict[str, float], **_: Any) -> None:
        if not data or data.get("below", -math.inf) >= data.get("above", math.inf):
            raise ValidationError("Must have `below`, `above`, or both with below < above.")


# Fields that several schemas share; some of them require it.
Name = partial(
    fields.String,
    validate=(validate.Length(1, 200), Whole(PRINTABLE)),
    metadata={"description": "Display name"},
)
Kind = partial(
    fields.String,
    validate=validate.OneOf(NODE_KINDS),
    metadata={"description": "Type of equipment"},
)
Channel = partial(
    WholeNumber,
    allow_none=True,
    validate=validate.Range(1, 2**31 - 1),
    metadata={"description": "ThingSpeak channel from which readings are synced"},
)
Fields = partial(
    fields.Nested,
    NodeFields,
    data_key="fields",
    attribute="fields",
    metadata={"description": "ThingSpeak field → metric"},
)


class NodePatch(Schema):
    name = Name()
    kind = Kind()
    channel_id = Channel(strict=True)
    channel_key = fields.String(
        allow_none=True,
        load_only=True,
        validate=Whole(r"[A-Z0-9]{8,64}"),
        metadata={"description": "Read key of a private channel; never returned"},
    )
    alarms = fields.Dict(
        fields.String(validate=Whole(METRIC)),
        fields.Nested(
            LimitsSchema,
            metadata={
                "description": "`below`, `above`, or both with below < above",
                "minProperties": 1,
            },
        ),
        validate=validate.Length(max=ALARMS),
        metadata={
            "description": "Metric → limits; the webhook is called when the newest reading crosses "
            "one of them (docs/jobs.md)",
            "example": ALARMED,
        },
    )
    fields_ = Fields()


class NodeNew(NodePatch):
    id = fields.String(
        required=True,
        validate=Whole(SLUG),
        metadata={"description": "Lower-case letters, digits, hyphens"},
    )
    name = Name(required=True)
    kind = Kind(required=True)


class NodeSchema(NodeNew):
    class Meta(AnswerSchema.Meta):
        exclude = ("channel_key",)

    channel_id = Channel(required=True)
    fields_ = Fields(required=True)
    alarms = fields.Dict(
        fields.String(),
        fields.Nested(LimitsSchema),
        required=True,
        metadata={"description": "Metric → limits", "example": ALARMED},
    )
    created_at = Instant(required=True, dump_only=True)
    updated_at = Instant(required=True, dump_only=True)


class NodeQuery(PageQuery):
    kind = fields.String(
        validate=validate.OneOf(NODE_KINDS), metadata={"description": "Only nodes of this kind"}
    )


class NodePage(PageSchema):
    items = fields.List(fields.Nested(NodeSchema), required=True)


@blueprint.get("", endpoint="list")
@blueprint.scope("read")
@blueprint.arguments(NodeQuery, location="query")
@blueprint.response(
    200, NodePage, example={"items": [ANSWER], "page": 1, "page_size": 100, "total": 1}
)
def list_nodes(query: JsonObject) -> JsonObject:
    """List nodes by id, all or of one kind"""
    return nodes.page(**query)


@blueprint.post("", endpoint="create")
@blueprint.scope("write")
@blueprint.arguments(NodeNew, example=EXAMPLE)
@blueprint.idempotent()
@blueprint.response(201, NodeSchema, example=ANSWER)
def create(body: JsonObject) -> Any:
    """Create a node"""
    return nodes.create(body)


@blueprint.get("/<string:node_id>", endpoint="get")
@blueprint.scope("read")
@blueprint.response(200, NodeSchema, example=ANSWER)
def get(node_id: str) -> Any:
    """Get a node"""
    return nodes.get(node_id)


@blueprint.patch("/<string:node_id>", endpoint="update")
@blueprint.scope("write")
@blueprint.arguments(NodePatch, example={"name": "Roof tank, west block"})
@blueprint.response(200, NodeSchema, example=ANSWER)
def update(body: JsonObject, node_id: str) -> Any:
    """Change fields of a node"""
    return nodes.update(node_id, body)


@blueprint.delete("/<string:node_id>", endpoint="delete")
@blueprint.scope("write")
@blueprint.response(204)
def delete(node_id: str) -> None:
    """Delete a node and all its readings"""
    nodes.delete(node_id)
