"""Alarms of nodes: a delivery to the webhook when the current reading crosses a limit."""

import uuid

from sqlalchemy.orm import Session

from api.models import Node
from api.platform.state import app_state
from api.platform.tables import Delivery
from api.platform.telemetry import request_context
from api.services import current
from api.services.current import CurrentReading

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
    """Write a delivery for each of the metrics whose current reading has changed its alarm state.

    Late and repeated readings, and those ahead of the server's clock, are never the current ones,
    so they cause nothing.
    """
    watched = metrics & node.alarms.keys()
    if not watched or not app_state().settings.webhook_url:
        return
    for reading in current.readings(session, node.id, watched):
        before = reading.row.alarm_state or WITHIN
        state = alarm_state(reading.value, node.alarms[reading.metric])
        if state != before:
            reading.row.alarm_state = state
            session.add(new_delivery(node, reading, before))


def new_delivery(node: Node, reading: CurrentReading, before: str) -> Delivery:
    """Return the delivery that reports a changed alarm state; `before` is the previous one."""
    key = uuid.uuid4().hex
    payload = {
        "id": key,
        "node": node.id,
        "metric": reading.metric,
        "time": reading.time.isoformat(),
        "value": reading.value,
        "state": reading.row.alarm_state,
        "before": before,
        "limits": node.alarms[reading.metric],
    }
    headers = request_context.outbound_headers()
    return Delivery(key=key, subject=node.id, payload=payload, headers=headers)
