"""/api/v1/orders: schemas, routes and rules of the orders, and the job that ships them."""

import uuid
from collections.abc import Iterator
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from werkzeug.exceptions import Conflict

from api.platform.clock import now
from api.platform.db import database, paged
from api.platform.http.pages import PageQuery, PageSchema
from api.platform.http.parsing import (
    PRINTABLE,
    AnswerSchema,
    ApiBlueprint,
    Instant,
    StrictFloat,
    Whole,
)
from api.platform.jobs.leases import Lease
from api.platform.jobs.tasks import Task, Unfinished
from api.platform.outbound.circuit_breaker import CallError
from api.platform.tables import Delivery
from api.platform.telemetry import metrics, request_context
from api.platform.types import JsonObject
from tests.api.platform.other_app.models import Order

SHIP = "orders.ship"
NOTIFY = "orders.notify-buyer"
SHIPPED = "orders_shipped"
LOST = "lost"  # an order that cannot be shipped
LARGE = 1_000.0  # an order of this amount is shipped in two runs
EXAMPLE = {"id": "a-1", "amount": 9.5}
ANSWER: JsonObject = EXAMPLE | {"created_at": "2026-03-01T12:00:00+00:00", "shipped_at": None}
blueprint = ApiBlueprint("orders", __name__, url_prefix="/api/v1/orders", description="Orders")


class NewOrder(Schema):
    id = fields.String(required=True, validate=Whole(PRINTABLE))
    amount = StrictFloat(required=True)


class OrderSchema(AnswerSchema):
    id = fields.String(required=True)
    amount = fields.Float(required=True)
    created_at = Instant(required=True)
    shipped_at = Instant(required=True, allow_none=True)


class OrderPage(PageSchema):
    items = fields.List(fields.Nested(OrderSchema), required=True)


@blueprint.get("", endpoint="list")
@blueprint.scope("read")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(
    200, OrderPage, example={"items": [ANSWER], "page": 1, "page_size": 100, "total": 1}
)
def list_orders(query: JsonObject) -> JsonObject:
    """List orders by id"""
    with database().read() as session:
        return paged(session, select(Order).order_by(Order.id), **query)


@blueprint.post("", endpoint="create")
@blueprint.scope("write")
@blueprint.arguments(NewOrder, example=EXAMPLE)
@blueprint.idempotent()
@blueprint.response(201, OrderSchema, example=ANSWER)
def create(body: JsonObject) -> Any:
    """Create an order"""
    order = Order(**body)
    try:
        with database().write() as session:
            session.add(order)
    except IntegrityError as error:
        raise Conflict(f"Order {order.id!r} already exists.") from error
    return order, {"Location": f"/api/v1/orders/{order.id}"}


class ShippingError(CallError):
    """A refused shipment."""

    permanent = True


def open_orders(session: Session) -> list[str]:
    """Return the ids of the orders that have not been shipped."""
    return list(session.scalars(select(Order.id).where(Order.shipped_at.is_(None))))


def ship(order_id: str, lease: Lease) -> Iterator[int]:
    """Ship an order, and write a delivery about it in the same transaction."""
    if order_id == LOST:
        raise ShippingError("the parcel is lost")
    with database().write() as session:
        assert lease.renew(session)
        order = session.get_one(Order, order_id)
        is_large = order.amount >= LARGE
        if is_large:
            order.amount /= 2
        else:
            order.shipped_at = now()
            session.add(
                Delivery(
                    key=uuid.uuid4().hex,
                    subject=order_id,
                    payload={"order": order_id},
                    headers=request_context.outbound_headers(),
                )
            )
    if is_large:
        raise Unfinished
    metrics.REGISTRY.by_name[SHIPPED].labels(SHIP).inc()
    yield 1


def measure(session: Session) -> None:
    """Set when every order was last known to be shipped."""
    if not open_orders(session):
        metrics.JOB_LAST_SUCCESS.labels(SHIP).set(now().timestamp())


SHIPPING = Task(
    name=SHIP, queue_name="ship", every=60.0, subjects=open_orders, run=ship, measure=measure
)
