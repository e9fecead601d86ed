"""The outbox: deliveries to the operator's webhook, which a worker sends.

Deliveries are at least once: a delivery is a row, written in the transaction of its cause, and is
deleted when the receiver answers 2xx. A repeat has the same Idempotency-Key. Deliveries about one
subject keep their order: a failed one holds back the later ones until it succeeds or becomes a
dead letter.
"""

import hashlib
import hmac
import logging
from datetime import datetime, timedelta

import httpx
import orjson
from pydantic import SecretStr
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from api.platform.clock import now
from api.platform.db import database
from api.platform.jobs import dead_letters
from api.platform.jobs.leases import Lease
from api.platform.jobs.retries import retry_delay
from api.platform.state import app_state
from api.platform.tables import SUBJECT_COLUMN, Delivery
from api.platform.telemetry import logs, metrics, request_context, tracing
from api.platform.types import Headers

TIMEOUT = 5.0  # seconds for each step of a call
log = logging.getLogger(__name__)


def next_due(session: Session) -> Delivery | None:
    """Return the delivery to send: of the first one of each subject, the one longest due."""
    if not app_state().settings.webhook_url:
        return None
    first_ids = select(func.min(Delivery.id)).group_by(Delivery.subject)
    query = (
        select(Delivery)
        .where(Delivery.id.in_(first_ids), Delivery.due_at <= now())
        .order_by(Delivery.due_at, Delivery.id)
        .limit(1)
    )
    return session.scalars(query).first()


def backlog(session: Session) -> tuple[int, datetime | None]:
    """Return the number of deliveries and the creation time of the oldest.

    The time is None without deliveries and without a webhook, because then none can be sent.
    """
    query = select(func.count(), func.min(Delivery.created_at)).select_from(Delivery)
    count, oldest = session.execute(query).one()
    if not app_state().settings.webhook_url:
        return count, None
    return count, oldest


def deliver_next(client: httpx.Client, lease: Lease) -> bool | None:
    """Send the delivery that is due; return whether the receiver accepted it.

    Return None when none is due or the lease is lost.
    """
    with database().read() as session:
        delivery = next_due(session)
    if delivery is None:
        return None
    with request_context.activate(delivery.headers), tracing.job(app_state().delivery_job):
        error = send(client, delivery)
        with database().write() as session:
            record_attempt(session, delivery, error)
            has_lease = lease.renew(session)
        report_attempt(delivery, error)
    if not has_lease:
        return None
    return error is None


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


def signature_headers(secret: SecretStr | None, body: bytes) -> Headers:
    """Return the header with the HMAC-SHA256 of the body; {} without a secret."""
    if not secret:
        return {}
    digest = hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
    return {"X-Evara-Signature": f"sha256={digest}"}


def record_attempt(session: Session, delivery: Delivery, error: str | None) -> None:
    """Delete the delivery when it succeeded or ran out of attempts, else schedule the next attempt.

    One that ran out of attempts becomes a dead letter.
    """
    attempts = delivery.attempts + 1
    if error and attempts < app_state().settings.webhook_attempts:
        due_at = now() + timedelta(seconds=retry_delay(attempts))
        retry = update(Delivery).where(Delivery.id == delivery.id)
        session.execute(retry.values(attempts=attempts, due_at=due_at))
        return
    removal = delete(Delivery).where(Delivery.id == delivery.id).returning(Delivery.id)
    removed = session.execute(removal).first()  # none: another worker delivered it
    if error and removed:
        payload = {
            SUBJECT_COLUMN: delivery.subject,
            "payload": delivery.payload,
            "headers": delivery.headers,
        }
        dead_letters.record(
            session, app_state().delivery_job, delivery.key, error, attempts, payload
        )


def report_attempt(delivery: Delivery, error: str | None) -> None:
    """Count and log an attempt; `error` is None when it succeeded."""
    job = app_state().delivery_job
    fields = {
        "job": job,
        "subject": delivery.subject,
        "key": delivery.key,
        "attempt": delivery.attempts + 1,
        "error": error,
    }
    metrics.JOB_RUNS.labels(job, metrics.outcome(ok=error is None)).inc()
    if error:
        log.warning(logs.DELIVERY_FAILED, extra=fields)
    else:
        log.info(logs.DELIVERED, extra=fields)
