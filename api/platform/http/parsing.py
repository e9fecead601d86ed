"""How v1 reads requests: strict JSON, strict types, pages; and the blueprint class that all its nouns share."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson
from flask import Request, abort
from flask_smorest import Blueprint
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate
from webargs.flaskparser import FlaskParser

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MOST_AHEAD = timedelta(days=1)  # device clocks run fast; more than a day is a fault worth refusing
LARGEST = 1e12
DEEPEST = 16  # levels of lists and objects in a body; ours need three
SLUG = r"[a-z0-9][a-z0-9-]{0,62}"
METRIC = r"[a-z][a-z0-9_]{0,62}"
PRINTABLE = r"[^\x00-\x1f\x7f]+"  # PostgreSQL stores no NUL, and nobody wants line breaks in a name


class Whole(validate.Regexp):
    """A pattern for all of a text. It is published with ^ and $ as every dialect knows them; Python's $ alone would let a final
    line break through."""

    def __init__(self, pattern: str):
        super().__init__(f"^{pattern}$", error="Must match {regex}")

    def __call__(self, value: Any) -> Any:
        if not self.regex.fullmatch(value):
            raise ValidationError(self._format_error(value))
        return value


class StrictParser(FlaskParser):
    """Refuses what a lenient parser lets through: other content types, charsets and encodings, NaN and deep nesting."""

    def load_json(self, req: Request, _: Schema) -> Any:
        if req.mimetype != "application/json" or req.mimetype_params.get(
            "charset", "utf-8"
        ).lower() not in {"utf-8", "utf8"}:
            abort(415, "Send the body as application/json in UTF-8.")
        if req.headers.get("Content-Encoding", "identity").lower() != "identity":
            abort(415, "Send the body without Content-Encoding.")
        raw = req.get_data(cache=True)
        if req.content_length is None and len(raw) >= (req.max_content_length or math.inf):
            abort(
                413
            )  # chunked: werkzeug reads no further than the limit, and does not say that there was more
        try:
            data = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            abort(400, f"The body is not JSON: {error}.")
        if deeper(data, DEEPEST):
            abort(400, f"The body is nested more than {DEEPEST} levels deep.")
        return data


def deeper(data: Any, levels: int) -> bool:
    """Whether lists and objects are nested more than `levels` deep; not recursive, because the caller chooses the depth."""
    level = [data] if isinstance(data, dict | list) else []
    for _ in range(levels):
        inside = [
            item
            for holder in level
            for item in (holder.values() if isinstance(holder, dict) else holder)
        ]
        level = [item for item in inside if isinstance(item, dict | list)]
    return bool(level)


class AnswerSchema(Schema):
    """What we send: readers must bear new fields. What we are sent refuses them, which is marshmallow's default."""

    class Meta:
        unknown = EXCLUDE


class StrictFloat(fields.Float):
    """A finite JSON number; strings and booleans are no numbers."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, bool | str):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class StrictBoolean(fields.Boolean):
    """true or false; neither 0 and 1 nor words."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class WholeNumber(fields.Integer):
    """An integer of JSON Schema: 7 and 7.0 are the same number; strings and booleans are none."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        number = int(value) if isinstance(value, float) and value.is_integer() else value
        return super()._deserialize(number, attr, data, **kwargs)


class Instant(fields.AwareDateTime):
    """An ISO 8601 time with its zone, given back in UTC."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        if not str(value).isprintable():  # Python stops reading a time at NUL
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        try:
            moment: datetime = super()._deserialize(value, attr, data, **kwargs)
            return moment.astimezone(UTC)
        except OverflowError as error:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from error


def plausible(moment: datetime) -> None:
    """Refuses times before 2000 and more than a day ahead."""
    if not EARLIEST <= moment <= datetime.now(UTC) + MOST_AHEAD:
        raise ValidationError("Must lie between 2000-01-01 and a day from now.")


class Count(fields.Integer):
    """A whole number in a query, as everybody writes it: Python would also take `1_0`, spaces and other scripts' digits."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not re.fullmatch(r"[0-9]{1,9}", str(value)):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class PageQuery(Schema):
    """`page` counts from 1; the answer repeats both and says how many items there are."""

    page = Count(
        load_default=1,
        validate=validate.Range(1, 1_000_000),
        metadata={"description": "Counts from 1"},
    )
    page_size = Count(
        load_default=100,
        validate=validate.Range(1, 1_000),
        metadata={"description": "Items per page"},
    )


class PageSchema(AnswerSchema):
    page = fields.Integer(required=True, dump_only=True)
    page_size = fields.Integer(required=True, dump_only=True)
    total = fields.Integer(required=True, dump_only=True)


class V1(Blueprint):
    """A smorest blueprint that parses strictly; subclassed so that the parser is stated once."""

    ARGUMENTS_PARSER = StrictParser()

    def scope(self, scope: Literal["read", "write", "admin"]) -> Any:
        """Says which scope a key needs for a view, and documents it; api/platform/http/auth.py refuses to start without."""

        def decorate(view: Any) -> Any:
            view = self.errors(401, 403)(self.doc(security=[{"bearer": [scope]}])(view))
            view.scope = scope
            return view

        return decorate

    def arguments(self, schema: type[Schema], **words: Any) -> Any:
        """As smorest's, but the schema is made once, not at every request."""
        return super().arguments(schema(), **words)

    def errors(self, *statuses: int) -> Any:
        """Documents problem+json answers for a view."""

        def decorate(view: Any) -> Any:
            for status in statuses:
                view = self.alt_response(
                    status, schema="Problem", content_type="application/problem+json"
                )(view)
            return view

        return decorate
