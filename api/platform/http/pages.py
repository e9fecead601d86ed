"""Schemas of lists that are served in pages."""

import re
from typing import Any

from marshmallow import Schema, fields, validate

from api.platform.http.parsing import AnswerSchema


class Count(fields.Integer):
    """A whole number in a query; Python also reads `1_0`, spaces and digits of other scripts."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not re.fullmatch(r"[0-9]{1,9}", str(value)):
            raise self.make_error("invalid")
        return super()._deserialize(value, *args, **kwargs)


class PageQuery(Schema):
    """The page of a list to return; the first page is 1."""

    page = Count(
        load_default=1,
        validate=validate.Range(1, 1_000_000),
        metadata={"description": "Page number, from 1"},
    )
    page_size = Count(
        load_default=100,
        validate=validate.Range(1, 1_000),
        metadata={"description": "Items per page"},
    )


class PageSchema(AnswerSchema):
    """A page of a list: the requested page, and the number of items in the whole list."""

    page = fields.Integer(required=True, dump_only=True)
    page_size = fields.Integer(required=True, dump_only=True)
    total = fields.Integer(required=True, dump_only=True)
