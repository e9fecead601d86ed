"""Alerts as the pages show them: current ones, and whether delivered ones have ended."""

import math
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from observability.console.notification_store import unix_seconds
from observability.console.queries import ActiveAlerts, Queries
from observability.lib import scope
from observability.lib.http import Unreachable
from observability.lib.json_object import Json
from observability.spec import names

LabelSet = frozenset[tuple[str, str]]


def current_alerts(queries: Queries) -> list[Json]:
    """Return the alerts, firing before pending, then by severity; raise Unreachable.

    The tiers of one burn are one alert. Heartbeats, which always fire, are left out. An alert that
    was sent to Alertmanager directly fires, too, unless it is silenced or inhibited.
    """
    ranks = {severity: rank for rank, severity in enumerate(queries.plan.policy.severities)}
    merged: dict[tuple[Any, ...], Json] = {}
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
        entry["tiers"] |= {tier} - {None}
    return [merged[key] for key in sorted(merged)]


def sent_alerts(queries: Queries) -> list[Json]:
    """Return the alerts for which Alertmanager notifies, in the form of Prometheus's alerts."""
    active = queries.active_alerts()
    if active is None:
        return []
    return [
        alert | {"state": "firing", "activeAt": alert["startsAt"]}
        for alert in active.alerts
        if alert["status"]["state"] != "suppressed" and is_shown(queries, alert)
    ]


def is_shown(queries: Queries, alert: Json) -> bool:
    """Return whether an alert is the service's, or names no service, as people's tests may do."""
    plan = queries.plan
    return scope.is_own(plan, {names.SERVICE: plan.service, **alert["labels"]})


def mark_ended(queries: Queries, inbox: list[Json]) -> list[Json]:
    """Return delivered alerts, newest first, with `ended`: no resolution came, nothing reports it.

    Alerts of other services are left out. While Alertmanager does not answer, none has ended.
    """
    delivered = [alert for alert in inbox if is_shown(queries, alert)]
    active = queries.active_alerts()
    if active is None:
        return [alert | {"ended": False} for alert in delivered]
    reported = reported_labels(queries, active)
    newer: set[LabelSet] = set()
    marked = []
    for alert in delivered:
        labels = label_set(alert)
        was_asked_later = alert["delivered"] < active.at
        is_reported = labels in reported and labels not in newer
        ended = alert["resolved"] is None and was_asked_later and not is_reported
        marked.append(alert | {"ended": ended})
        newer.add(labels)
    return marked


def reported_labels(queries: Queries, active: ActiveAlerts) -> set[LabelSet]:
    """Return the labels of the alerts that Alertmanager or a rule still reports.

    The rules are asked because an Alertmanager that has just started hears of the alerts that fire
    only within a minute.
    """
    reported = list(active.alerts)
    with suppress(Unreachable):
        queries.require_prometheus()
        reported += [alert for alert in queries.rule_alerts() if alert["state"] == "firing"]
    return {label_set(alert) for alert in reported}


def label_set(alert: Json) -> LabelSet:
    """Return what makes two alerts the same one."""
    labels = alert["labels"]
    return frozenset(labels.items())


def without_heartbeats(queries: Queries, alerts: Iterable[Json]) -> list[Json]:
    """Return the alerts without those that always fire to prove delivery."""
    heartbeat = queries.plan.heartbeat_severity
    return [alert for alert in alerts if alert["labels"].get(names.SEVERITY) != heartbeat]


def with_label(alerts: Iterable[Json], label: str, value: str) -> list[Json]:
    """Return the alerts one of whose labels has this value."""
    return [alert for alert in alerts if alert["labels"].get(label) == value]
