"""/api/v1/nodes/{node_id}/readings and /latest: what the nodes measured."""

from datetime import UTC, datetime, timedelta

from marshmallow import Schema, ValidationError, fields, validate

from api.models import LARGEST, METRIC
from api.platform.clock import now
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

blueprint = ApiBlueprint(
    "readings",
    __name__,
    url_prefix="/api/v1/nodes/<string:node_id>",
    description="What the nodes measured",
)
BATCH = 1_000
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MAX_AHEAD = timedelta(days=1)  # clocks of devices are never wrong by more
EXAMPLE = {"readings": [{"metric": "level_m", "time": "2026-03-01T12:00:00Z", "value": 1.84}]}


def plausible(moment: datetime) -> None:
    """Raise ValidationError for a time before 2000 or more than a day ahead."""
    if not EARLIEST <= moment <= now() + MAX_AHEAD:
        raise ValidationError("Must lie between 2000-01-01 and a day from now.")


class ReadingSchema(Schema):
    metric = fields.String(required=True, validate=Whole(METRIC), metadata={"example": "level_m"})
    time = Instant(
        required=True,
        validate=plausible,
        metadata={"description": "With zone, 2000 to a day ahead; key with the metric"},
    )
    value = StrictFloat(required=True, validate=validate.Range(-LARGEST, LARGEST))


class StoredReading(ReadingSchema):
    class Meta(AnswerSchema.Meta):
        pass


class BatchSchema(Schema):
    readings = fields.List(
        fields.Nested(ReadingSchema), required=True, validate=validate.Length(1, BATCH)
    )


class ReceiptSchema(AnswerSchema):
    stored = fields.Integer(required=True, metadata={"description": "New readings, now on disk"})
    duplicates = fields.Integer(
        required=True,
        metadata={"description": "Readings that were there already with the same value"},
    )
    conflicts = fields.Integer(
        required=True,
        metadata={"description": "Readings that were there with another value, which stays"},
    )


class RangeQuery(PageQuery):
    metric = fields.String(
        validate=Whole(METRIC), metadata={"description": "Only readings of this metric"}
    )
    from_ = Instant(
        data_key="from",
        validate=plausible,
        metadata={"description": "First time, inclusive; a day before `to` by default"},
    )
    to = Instant(
        validate=plausible, metadata={"description": "Last time, exclusive; now by default"}
    )


class ReadingPage(PageSchema):
    items = fields.List(fields.Nested(StoredReading), required=True)


class LatestSchema(AnswerSchema):
    items = fields.List(fields.Nested(StoredReading), required=True)


class LiveSchema(LatestSchema):
    stale = fields.Boolean(
        required=True,
        metadata={"description": "ThingSpeak did not answer now; this is what it answered last"},
    )
    age_seconds = fields.Float(
        required=True, metadata={"description": "How long ago ThingSpeak answered this"}
    )


@blueprint.route("/readings", methods=["POST"], endpoint="ingest")
@blueprint.scope("write")
@blueprint.arguments(BatchSchema, example=EXAMPLE)
@blueprint.response(201, ReceiptSchema, example={"stored": 1, "duplicates": 0, "conflicts": 0})
@blueprint.errors(400, 404, 413, 415, 422)
def ingest(body: JsonObject, node_id: str) -> dict[str, int]:
    """Store up to 1 000 readings; sending them again changes nothing"""
    return readings.store(node_id, body["readings"])


@blueprint.route("/readings", methods=["GET"], endpoint="range")
@blueprint.scope("read")
@blueprint.arguments(RangeQuery, location="query")
@blueprint.response(
    200,
    ReadingPage,
    example={"items": EXAMPLE["readings"], "page": 1, "page_size": 100, "total": 1},
)
@blueprint.errors(404, 422)
def range_(query: JsonObject, node_id: str) -> JsonObject:
    """Readings of a span of time, oldest first"""
    return readings.page(node_id, **query)


@blueprint.route("/latest", methods=["GET"], endpoint="latest")
@blueprint.scope("read")
@blueprint.response(200, LatestSchema, example={"items": EXAMPLE["readings"]})
@blueprint.errors(404)
def latest(node_id: str) -> JsonObject:
    """The newest reading of every metric"""
    return {"items": readings.latest(node_id)}


@blueprint.route("/live", methods=["GET"], endpoint="live")
@blueprint.scope("read")
@blueprint.response(
    200, LiveSchema, example={"items": EXAMPLE["readings"], "stale": False, "age_seconds": 0.4}
)
@blueprint.errors(404, 503, 504)
def live_(node_id: str) -> live.LiveResponse:
    """The newest entry of the node's ThingSpeak channel, asked for right now"""
    return live.newest(node_id)
