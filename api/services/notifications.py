"""Alarms: a node's newest reading leaves its limits or returns, and the operator's webhook is told.

Deliveries are at least once: a delivery is a row written with the readings that caused it, and is
deleted when the receiver answers 2xx. A repeat has the same Idempotency-Key. A node's deliveries
keep their order: a failed one holds back the later ones until it succeeds or is a dead letter.
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

from api.models import Delivery, Latest, Node, now
from api.platform.db import database
from api.platform.jobs import dead_letters
from api.platform.jobs.leases import Lease
from api.platform.state import app_state
from api.platform.telemetry import metrics, request_context, tracing

TIMEOUT = 5.0  # seconds for each step of a call
MAX_RETRY_DELAY = 600.0  # seconds between two attempts
WITHIN = "within"
log = logging.getLogger(__name__)


def retry_delay(attempts: int) -> float:
    """Return the seconds to wait after so many failed attempts: doubling, up to MAX_RETRY_DELAY."""
    return min(app_state().settings.retry_seconds * 2.0 ** (attempts - 1), MAX_RETRY_DELAY)


def alarm_state(value: float, limits: dict[str, float]) -> str:
    """Return "below", "within" or "above"; a value equal to a limit is within."""
    if value < limits.get("below", value):
        return "below"
    if value > limits.get("above", value):
        return "above"
    return WITHIN


def record_alarms(session: Session, node: Node, metrics: set[str]) -> None:
    """Write a delivery for each of the metrics whose latest reading has changed its alarm state.

    Late and repeated readings are never the latest, so they cause nothing.
    """
    watched = metrics & node.alarms.keys()
    if not watched or not app_state().settings.webhook_url:
        return
    query = (
        select(Latest)
        .where(Latest.node_id == node.id, Latest.metric.in_(watched))
        .order_by(Latest.metric)
        .execution_options(populate_existing=True)
    )
    for latest in session.scalars(query):
        before = latest.alarm_state or WITHIN
        state = alarm_state(latest.value, node.alarms[latest.metric])
        if state != before:
            latest.alarm_state = state
            session.add(new_delivery(node, latest, before))


def new_delivery(node: Node, latest: Latest, before: str) -> Delivery:
    """Return the delivery that tells the webhook about a changed alarm state."""
    key = uuid.uuid4().hex
    payload = {
        "id": key,
        "node": node.id,
        "metric": latest.metric,
        "time": latest.time.isoformat(),
        "value": latest.value,
        "state": latest.alarm_state,
        "before": before,
        "limits": node.alarms[latest.metric],
    }
    headers = request_context.outbound_headers()
    return Delivery(key=key, node_id=node.id, payload=payload, headers=headers)


def next_due(session: Session) -> Delivery | None:
    """Return the delivery to send now: of the first delivery of every node, the one longest due."""
    if not app_state().settings.webhook_url:
        return None
    first_ids = select(func.min(Delivery.id)).group_by(Delivery.node_id)
    query = (
        select(Delivery)
        .where(Delivery.id.in_(first_ids), Delivery.due_at <= now())
        .order_by(Delivery.due_at, Delivery.id)
        .limit(1)
    )
    return session.scalars(query).first()


def backlog(session: Session) -> tuple[int, datetime | None]:
    """Return the number of deliveries and the creation time of the oldest.

    The time is None when there is none, and without a webhook: then none is waiting for delivery.
    """
    query = select(func.count(), func.min(Delivery.created_at)).select_from(Delivery)
    number, oldest = session.execute(query).one()
    if not app_state().settings.webhook_url:
        return number, None
    return number, oldest


def deliver_next(client: httpx.Client, lease: Lease) -> bool | None:
    """Send the delivery that is due; return whether the receiver accepted it.

    Return None when none is due or the lease is lost.
    """
    with database().read() as session:
        delivery = next_due(session)
    if delivery is None:
        return None
    with (
        request_context.activate(delivery.headers),
        tracing.job(dead_letters.DELIVERIES),
    ):
        error = send(client, delivery)
        with database().write() as session:
            record_attempt(session, delivery, error)
            has_lease = lease.renew(session)
        report_attempt(delivery, error)
    if not has_lease:
        return None
    return error is None


def report_attempt(delivery: Delivery, error: str | None) -> None:
    """Count and log an attempt; `error` is None when it succeeded."""
    outcome, level, message = "ok", logging.INFO, "delivered"
    if error:
        outcome, level, message = "error", logging.WARNING, "delivery failed"
    metrics.JOB_RUNS.labels(dead_letters.DELIVERIES, outcome).inc()
    fields = {
        "job": dead_letters.DELIVERIES,
        "node": delivery.node_id,
        "key": delivery.key,
        "attempt": delivery.attempts + 1,
        "error": error,
    }
    log.log(level, message, extra=fields)


def send(client: httpx.Client, delivery: Delivery) -> str | None:
    """Post the delivery to the webhook; return None on success, else the error.

    The error does not contain the webhook's URL, which may hold a secret.
    """
    body = orjson.dumps(delivery.payload)
    headers = {"Content-Type": "application/json", "Idempotency-Key": delivery.key}
    headers |= request_context.outbound_headers()
    headers |= signature_headers(app_state().settings.webhook_secret, body)
    try:
        response = client.post(app_state().settings.webhook_url, content=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return type(error).__name__
    if response.is_success:
        return None
    return f"answered {response.status_code}"


def signature_headers(secret: SecretStr | None, body: bytes) -> dict[str, str]:
    """Return the header that proves to a receiver that the body is ours; {} without a secret."""
    if not secret:
        return {}
    digest = hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
    return {"X-Evara-Signature": f"sha256={digest}"}


def record_attempt(session: Session, delivery: Delivery, error: str | None) -> None:
    """Delete the delivery when it succeeded or ran out of attempts, else schedule the next attempt.

    One that ran out of attempts becomes a dead letter.
    """
    attempts = delivery.attempts + 1
    is_delivery = Delivery.id == delivery.id
    if error and attempts < app_state().settings.webhook_attempts:
        due_at = now() + timedelta(seconds=retry_delay(attempts))
        retry = update(Delivery).where(is_delivery).values(attempts=attempts, due_at=due_at)
        session.execute(retry)
        return
    deleted = session.execute(delete(Delivery).where(is_delivery).returning(Delivery.id)).all()
    if error and deleted:
        payload = {
            "node_id": delivery.node_id,
            "payload": delivery.payload,
            "headers": delivery.headers,
        }
        dead_letters.record(
            session, dead_letters.DELIVERIES, delivery.key, error, attempts, payload
        )
