"""/api/v1/nodes/{node_id}/readings and /latest: the measurements of a node."""

from marshmallow import Schema, fields, validate

from api.models import METRIC
from api.platform.http.pages import PageQuery, PageSchema
from api.platform.http.parsing import (
    AnswerSchema,
    ApiBlueprint,
    Instant,
    StrictFloat,
    Whole,
)
from api.platform.types import JsonObject
from api.services import live, readings
from api.services.limits import LIMITS, plausible

blueprint = ApiBlueprint(
    "readings",
    __name__,
    url_prefix="/api/v1/nodes/<string:node_id>",
    description="Measurements of the nodes",
)
BATCH = 1_000
EXAMPLE = {"readings": [{"metric": "level_m", "time": "2026-03-01T12:00:00Z", "value": 1.84}]}


class ReadingSchema(Schema):
    metric = fields.String(
        required=True, validate=LIMITS["metric"].validate, metadata={"example": "level_m"}
    )
    time = Instant(
        required=True,
        validate=LIMITS["time"].validate,
        metadata={"description": "With a time zone, from 2000 to one day ahead; unique per metric"},
    )
    value = StrictFloat(required=True, validate=LIMITS["value"].validate)


class StoredReading(ReadingSchema):
    class Meta(AnswerSchema.Meta):
        pass


class BatchSchema(Schema):
    readings = fields.List(
        fields.Nested(ReadingSchema), required=True, validate=validate.Length(1, BATCH)
    )


class ReceiptSchema(AnswerSchema):
    stored = fields.Integer(required=True, metadata={"description": "Readings that were stored"})
    duplicates = fields.Integer(
        required=True,
        metadata={"description": "Readings that were already stored with the same value"},
    )
    conflicts = fields.Integer(
        required=True,
        metadata={
            "description": "Readings that were already stored with another value, which stays"
        },
    )
    ahead = fields.Integer(
        metadata={
            "description": "Readings that are more than 5 minutes ahead of the server's clock, if "
            "any; they are current only when their time has come"
        },
    )


class RangeQuery(PageQuery):
    metric = fields.String(
        validate=Whole(METRIC), metadata={"description": "Only readings of this metric"}
    )
    from_ = Instant(
        data_key="from",
        validate=plausible,
        metadata={"description": "Start, inclusive; by default one day before `to`"},
    )
    to = Instant(
        validate=plausible, metadata={"description": "End, exclusive; by default the current time"}
    )


class ReadingPage(PageSchema):
    items = fields.List(fields.Nested(StoredReading), required=True)


class LatestSchema(AnswerSchema):
    items = fields.List(fields.Nested(StoredReading), required=True)
    ahead = fields.List(
        fields.Nested(StoredReading),
        metadata={
            "description": "The newest reading of each metric that is more than 5 minutes ahead of "
            "the server's clock, if any; `items` shows it when its time has come"
        },
    )


class LiveReading(StoredReading):
    age_seconds = fields.Float(required=True, metadata={"description": "Time since the reading"})


class RejectSchema(AnswerSchema):
    field = fields.String(required=True, metadata={"description": "Field of the channel"})
    reason = fields.String(
        required=True, metadata={"description": "Why it is no reading (docs/jobs.md)"}
    )
    entry = fields.String(required=True, metadata={"description": "Id and time of its entry"})
    text = fields.String(required=True, metadata={"description": "Start of the value"})


class LiveSchema(AnswerSchema):
    items = fields.List(fields.Nested(LiveReading), required=True)
    rejected = fields.List(
        fields.Nested(RejectSchema),
        metadata={"description": "The newest value of each field that is no reading, if any"},
    )
    stale = fields.Boolean(
        required=True,
        metadata={"description": "ThingSpeak does not respond; this is its last response"},
    )
    age_seconds = fields.Float(
        required=True, metadata={"description": "Age of ThingSpeak's response"}
    )


@blueprint.post("/readings", endpoint="ingest")
@blueprint.scope("write")
@blueprint.arguments(BatchSchema, example=EXAMPLE)
@blueprint.response(201, ReceiptSchema, example={"stored": 1, "duplicates": 0, "conflicts": 0})
def ingest(body: JsonObject, node_id: str) -> dict[str, int]:
    """Store up to 1 000 readings; idempotent"""
    return readings.store(node_id, body["readings"])


@blueprint.get("/readings", endpoint="range")
@blueprint.scope("read")
@blueprint.arguments(RangeQuery, location="query")
@blueprint.response(
    200,
    ReadingPage,
    example={"items": EXAMPLE["readings"], "page": 1, "page_size": 100, "total": 1},
)
def range_(query: JsonObject, node_id: str) -> JsonObject:
    """List the readings of a time range, oldest first"""
    return readings.page(node_id, **query)


@blueprint.get("/latest", endpoint="latest")
@blueprint.scope("read")
@blueprint.response(200, LatestSchema, example={"items": EXAMPLE["readings"]})
def latest(node_id: str) -> JsonObject:
    """Get the newest reading of every metric that is not ahead of the server's clock"""
    return readings.latest(node_id)


@blueprint.get("/live", endpoint="live")
@blueprint.scope("read")
@blueprint.response(
    200,
    LiveSchema,
    example={
        "items": [EXAMPLE["readings"][0] | {"age_seconds": 31.5}],
        "stale": False,
        "age_seconds": 0.4,
    },
)
@blueprint.errors(503, 504)
def live_(node_id: str) -> live.LiveResponse:
    """Get the newest value of each field of the node's ThingSpeak channel, fetched now"""
    return live.newest(node_id)
