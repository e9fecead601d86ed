"""Strict parsing of requests: JSON, types and texts; and the blueprint that uses it."""

import json
import math
from collections import Counter
from datetime import UTC, datetime
from functools import partial, wraps
from typing import Any, Literal

import orjson
from flask import Request, abort
from flask_smorest import Blueprint
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate
from webargs.flaskparser import FlaskParser

from api.platform import wire
from api.platform.http import idempotency

MAX_DEPTH = 16  # levels of lists and objects in a body; the schemas need three
MAX_SHOWN = 100  # characters of a key in a message
SLUG = r"[a-z0-9][a-z0-9-]{0,62}"
PRINTABLE = r"[^\x00-\x1f\x7f]+"  # PostgreSQL stores no NUL; names have no line breaks


class Whole(validate.Regexp):
    """A pattern that all of a text must match.

    It is published with ^ and $, which every dialect knows. Python's $ would accept a line break
    at the end, so the check is a full match.
    """

    def __init__(self, pattern: str):
        super().__init__(f"^{pattern}$", error="Must match {regex}")

    def __call__(self, value: Any) -> Any:
        """Return the value; raise ValidationError when it does not match."""
        if not self.regex.fullmatch(value):
            raise ValidationError(self._format_error(value))
        return value


class StrictParser(FlaskParser):
    """A parser that refuses other types and encodings, NaN, repeated keys and deep nesting."""

    def load_json(self, req: Request, _: Schema) -> Any:
        """Return the body; abort with 400, 413 or 415 when it is not plain JSON."""
        charset = req.mimetype_params.get("charset", "utf-8")
        if req.mimetype != "application/json" or charset.lower() not in {"utf-8", "utf8"}:
            abort(415, "Send the body as application/json in UTF-8.")
        encoding = req.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            abort(415, "Send the body without Content-Encoding.")
        raw = req.get_data(cache=True)
        # Werkzeug silently cuts off a chunked body at the limit.
        if req.content_length is None and len(raw) >= (req.max_content_length or math.inf):
            abort(413)
        try:
            data = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            abort(400, f"The body is not valid JSON: {error}.")
        if is_deeper(data, MAX_DEPTH):
            abort(400, f"The body is nested more than {MAX_DEPTH} levels deep.")
        refuse_repeated_keys(raw)
        return data


def refuse_repeated_keys(raw: bytes) -> None:
    """Abort with 400 when an object of the JSON text has a key twice; orjson takes the last value.

    Numbers stay texts, because json limits the digits of an integer.
    """
    json.loads(raw.decode(), object_pairs_hook=refuse_repeated_key, parse_int=str, parse_float=str)


def refuse_repeated_key(pairs: list[tuple[str, Any]]) -> None:
    """Abort with 400 when two pairs of an object have the same key."""
    if len(dict(pairs)) == len(pairs):
        return
    counts = Counter(key for key, _ in pairs)
    [(key, _)] = counts.most_common(1)
    shown = key[:MAX_SHOWN]
    abort(400, f"The body has the key {shown!r} more than once in one object.")


def is_deeper(data: Any, levels: int) -> bool:
    """Return True if lists and objects are nested more than `levels` deep.

    The caller chooses the depth, so this is no recursion, which Python would abort.
    """
    items = [data]
    for _ in range(levels):
        containers = items
        items = []
        for container in containers:
            if isinstance(container, dict):
                items.extend(container.values())
            elif isinstance(container, list):
                items.extend(container)
    return any(isinstance(item, dict | list) for item in items)


class AnswerSchema(Schema):
    """A response: readers ignore unknown fields. A request refuses them, as marshmallow does."""

    class Meta:
        unknown = EXCLUDE


class StrictFloat(fields.Float):
    """A finite JSON number; strings and booleans are invalid."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, bool | str):
            raise self.make_error("invalid")
        return super()._deserialize(value, *args, **kwargs)


class StrictBoolean(fields.Boolean):
    """true or false; numbers and strings are invalid."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, *args, **kwargs)


class WholeNumber(fields.Integer):
    """An integer of JSON Schema: 7.0 is 7; strings and booleans are invalid."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return super()._deserialize(value, *args, **kwargs)


class Instant(fields.AwareDateTime):
    """An ISO 8601 time with its zone, converted to UTC."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> datetime:
        try:
            wire.parse_time(str(value))  # marshmallow would accept more
            moment: datetime = super()._deserialize(str(value).upper(), *args, **kwargs)
            return moment.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from error


class ApiBlueprint(Blueprint):
    """A smorest blueprint that parses strictly."""

    ARGUMENTS_PARSER = StrictParser()

    def scope(self, scope: Literal["read", "write", "admin"]) -> Any:
        """Declare and document the scope that a key needs for a view.

        auth.init_app refuses to start with a view that declares none.
        """

        document = self.doc(security=[{"bearer": [scope]}])
        document_errors = self.errors(401, 403)

        def decorate(view: Any) -> Any:
            view = document_errors(document(view))
            view.scope = scope
            return view

        return decorate

    def arguments(self, schema: type[Schema], **options: Any) -> Any:
        """Parse the arguments with one schema; smorest would make a schema for each request."""
        return super().arguments(schema(), **options)

    def idempotent(self, repeat: str = "") -> Any:
        """Accept an Idempotency-Key on a view; put this between `arguments` and `response`.

        A repeat gets the first response. If that has a secret, which must not be stored, `repeat`
        is the text of the 409 that a repeat gets, formatted with the fields of the response.
        """
        parse_header = self.arguments(idempotency.IdempotencySchema, location="headers")
        document_errors = self.errors(409)

        def decorate(view: Any) -> Any:
            @wraps(view)
            def answer(*arguments: Any, **path: Any) -> Any:
                *arguments_of_view, header = arguments
                call = partial(view, *arguments_of_view, **path)
                if not header:
                    return call()
                return idempotency.answer_once(header["key"], call, repeat)

            return document_errors(parse_header(answer))

        return decorate

    def errors(self, *statuses: int) -> Any:
        """Document problem+json responses of a view."""

        def decorate(view: Any) -> Any:
            for status in statuses:
                document = self.alt_response(
                    status, schema="Problem", content_type="application/problem+json"
                )
                view = document(view)
            return view

        return decorate
