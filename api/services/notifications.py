"""Alarms: notices when a node's newest reading leaves its limits or returns, and delivers that to the operator's webhook.

At least once: a delivery is a row written with the readings, gone when the receiver answered 2xx; a repeat has the same Idempotency-Key.
A node's deliveries keep their order: one that fails holds back those after it until it is taken or a dead letter.
"""

import hashlib
import hmac
import logging
import uuid
from datetime import datetime, timedelta

import httpx
import orjson
from pydantic import SecretStr
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from api.config import settings
from api.models import Delivery, Latest, Node, now
from api.platform.db import database
from api.platform.jobs import dead_letters
from api.platform.jobs.leases import Lease
from api.platform.telemetry import metrics, request_context, tracing

TIMEOUT = 5.0  # seconds for each step of a call
LONGEST_WAIT = 600.0  # seconds between two attempts
WITHIN = "within"
log = logging.getLogger(__name__)


def wait(attempts: int) -> float:
    """Seconds from the last of so many attempts to the next."""
    return min(settings().retry_seconds * 2.0 ** (attempts - 1), LONGEST_WAIT)


def judge(value: float, limits: dict[str, float]) -> str:
    """Where a value lies: below, within or above the limits, which are within."""
    if value < limits.get("below", value):
        return "below"
    return "above" if value > limits.get("above", value) else WITHIN


def record(session: Session, node: Node, metrics: set[str]) -> None:
    """Writes a delivery for every one of the metrics whose newest reading lies elsewhere than what was told last.

    Late and repeated readings are never the newest, so they cause nothing.
    """
    watched = metrics & node.alarms.keys()
    if not watched or not settings().webhook_url:
        return
    query = (
        select(Latest)
        .where(Latest.node_id == node.id, Latest.metric.in_(watched))
        .order_by(Latest.metric)
    )
    for newest in session.scalars(query.execution_options(populate_existing=True)):
        limits, told = node.alarms[newest.metric], newest.told or WITHIN
        state = judge(newest.value, limits)
        if state == told:
            continue
        newest.told, key = state, uuid.uuid4().hex
        reading = {"metric": newest.metric, "time": newest.time.isoformat(), "value": newest.value}
        payload = {
            "id": key,
            "node": node.id,
            **reading,
            "state": state,
            "before": told,
            "limits": limits,
        }
        session.add(
            Delivery(
                key=key,
                node_id=node.id,
                payload=payload,
                headers=request_context.outbound_headers(),
            )
        )


def due(session: Session) -> Delivery | None:
    """The delivery to be sent now: the longest due among the first of every node."""
    first = select(func.min(Delivery.id)).group_by(Delivery.node_id)
    query = select(Delivery).where(Delivery.id.in_(first), Delivery.due_at <= now())
    return (
        session.scalars(query.order_by(Delivery.due_at, Delivery.id).limit(1)).first()
        if settings().webhook_url
        else None
    )


def backlog(session: Session) -> tuple[int, datetime | None]:
    """How many deliveries wait, and since when the oldest does; nobody waits without a webhook."""
    number, oldest = session.execute(
        select(func.count(), func.min(Delivery.created_at)).select_from(Delivery)
    ).one()
    return number, oldest if settings().webhook_url else None


def deliver_next(client: httpx.Client, lease: Lease) -> bool | None:
    """Sends the delivery that is due: True when it was taken, False when not, None when none is due or the lease is lost."""
    with database().read() as session:
        delivery = due(session)
    if delivery is None:
        return None
    with request_context.activate(delivery.headers), tracing.job(dead_letters.DELIVERIES):
        error = send(client, delivery)
        with database().write() as session:
            done(session, delivery, error)
            mine = lease.renew(session)
        metrics.JOB_RUNS.labels(dead_letters.DELIVERIES, "error" if error else "ok").inc()
        context = {
            "job": dead_letters.DELIVERIES,
            "node": delivery.node_id,
            "key": delivery.key,
            "attempt": delivery.attempts + 1,
        }
        log.log(
            logging.WARNING if error else logging.INFO,
            "delivery failed" if error else "delivered",
            extra=context | {"error": error},
        )
    return error is None if mine else None


def send(client: httpx.Client, delivery: Delivery) -> str | None:
    """None when the receiver took it, else what went wrong, without the address: it may hold a secret."""
    body = orjson.dumps(delivery.payload)
    headers = {"Content-Type": "application/json", "Idempotency-Key": delivery.key}
    headers |= request_context.outbound_headers() | signature(settings().webhook_secret, body)
    try:
        answer = client.post(settings().webhook_url, content=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return type(error).__name__
    return None if answer.is_success else f"answered {answer.status_code}"


def signature(secret: SecretStr | None, body: bytes) -> dict[str, str]:
    """The header by which a receiver knows that the body is ours; none without a secret."""
    if not secret:
        return {}
    return {
        "X-Evara-Signature": "sha256="
        + hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
    }


def done(session: Session, delivery: Delivery, error: str | None) -> None:
    """After an attempt: the row goes when it was taken or is a dead letter, else it is due again later."""
    attempts, row = delivery.attempts + 1, Delivery.id == delivery.id
    if error and attempts < settings().webhook_attempts:
        session.execute(
            update(Delivery)
            .where(row)
            .values(attempts=attempts, due_at=now() + timedelta(seconds=wait(attempts)))
        )
        return
    was_there = session.execute(delete(Delivery).where(row).returning(Delivery.id)).all()
    if error and was_there:
        again = {
            "node_id": delivery.node_id,
            "payload": delivery.payload,
            "headers": delivery.headers,
        }
        dead_letters.record(session, dead_letters.DELIVERIES, delivery.key, error, attempts, again)
