"""Alarms of nodes: a delivery to the webhook when the latest reading crosses a limit."""

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.models import Latest, Node
from api.platform.clock import now
from api.platform.state import app_state
from api.platform.tables import Delivery
from api.platform.telemetry import request_context
from api.services import limits

JOB = "alarms.deliver"  # of the catalogue; sends the deliveries
WITHIN = "within"


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
        .where(
            Latest.node_id == node.id,
            Latest.metric.in_(watched),
            *limits.within(Latest, now() + limits.MAX_AHEAD),
        )
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
    """Return the delivery that reports a changed alarm state; `before` is the previous one."""
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
    return Delivery(key=key, subject=node.id, payload=payload, headers=headers)
