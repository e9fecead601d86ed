"""Alerts as the pages show them: current ones, and whether delivered ones have ended."""

import math
from collections.abc import Iterable
from typing import Any

from observability.console.notification_store import unix_seconds
from observability.console.queries import ActiveAlerts, Queries
from observability.lib.http import Unreachable
from observability.spec import names

Alert = dict[str, Any]
Labels = frozenset[tuple[str, str]]


def current_alerts(queries: Queries) -> list[Alert]:
    """Return the alerts, firing before pending, then by severity; raise Unreachable.

    The tiers of one burn are one alert. Heartbeats, which always fire, are left out. An alert that
    was sent to Alertmanager directly fires, too, unless it is silenced or inhibited.
    """
    ranks = {severity: rank for rank, severity in enumerate(queries.plan.policy.severities)}
    merged: dict[tuple[Any, ...], Alert] = {}
    reported = queries.rule_alerts() + sent_alerts(queries)
    for alert in without_heartbeats(queries, reported):
        labels = dict(alert["labels"])
        tier = labels.pop(names.TIER, None)
        severity = labels.get(names.SEVERITY, "")
        rank = ranks.get(severity, len(ranks))
        identity = tuple(sorted(labels.items()))
        key = (alert["state"], rank, identity)
        entry = merged.setdefault(key, alert | {"since": math.inf, "tiers": set()})
        started = unix_seconds(alert["activeAt"]) or math.inf
        entry["since"] = min(entry["since"], started)
        if tier is not None:
            entry["tiers"].add(tier)
    return [merged[key] for key in sorted(merged)]


def sent_alerts(queries: Queries) -> list[Alert]:
    """Return the alerts for which Alertmanager notifies, in the form of Prometheus's alerts."""
    active = queries.active_alerts()
    if active is None:
        return []
    return [
        alert | {"state": "firing", "activeAt": alert["startsAt"]}
        for alert in active.alerts
        if alert["status"]["state"] != "suppressed"
    ]


def mark_ended(queries: Queries, delivered: list[Alert]) -> list[Alert]:
    """Return delivered alerts with `ended`: no resolution came, but nothing reports them any more.

    While Alertmanager does not answer, none has ended.
    """
    active = queries.active_alerts()
    if active is None:
        return [alert | {"ended": False} for alert in delivered]
    starts = reported_starts(queries, active)

    def has_ended(alert: Alert) -> bool:
        if alert["resolved"] is not None:
            return False
        if alert["delivered"] >= active.at:  # Alertmanager was asked before
            return False
        delivered_start = alert["started"]
        reported_start = starts.get(label_set(alert), math.inf)
        if delivered_start is None or reported_start is None:
            return False
        # Alertmanager rounds starts to milliseconds in one of both places.
        return bool(abs(reported_start - delivered_start) >= 1)

    return [alert | {"ended": has_ended(alert)} for alert in delivered]


def reported_starts(queries: Queries, active: ActiveAlerts) -> dict[Labels, float | None]:
    """Return the start of each alert that is still reported, None when a rule alone reports it.

    The rules are asked because an Alertmanager that has just started hears of the alerts that fire
    only within a minute.
    """
    starts: dict[Labels, float | None] = {}
    try:
        queries.require_prometheus()
        rule_alerts = queries.rule_alerts()
    except Unreachable:
        rule_alerts = []
    for alert in rule_alerts:
        if alert["state"] == "firing":
            starts[label_set(alert)] = None
    for alert in active.alerts:
        starts[label_set(alert)] = unix_seconds(alert["startsAt"])
    return starts


def label_set(alert: Alert) -> Labels:
    """Return what makes two alerts the same one."""
    labels = alert["labels"]
    return frozenset(labels.items())


def without_heartbeats(queries: Queries, alerts: Iterable[Alert]) -> list[Alert]:
    """Return the alerts without those that always fire to prove delivery."""
    heartbeat = queries.plan.heartbeat_severity
    return [alert for alert in alerts if alert["labels"].get(names.SEVERITY) != heartbeat]


def with_label(alerts: Iterable[Alert], label: str, value: str) -> list[Alert]:
    """Return the alerts one of whose labels has this value."""
    return [alert for alert in alerts if alert["labels"].get(label) == value]
