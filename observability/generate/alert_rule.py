"""Alerting rules in the form that Prometheus and Loki share, with annotations and links."""

from decimal import Decimal

from observability.lib import scope
from observability.lib.escaping import go_template
from observability.lib.json_object import Json
from observability.lib.templates import fill
from observability.spec import names
from observability.spec.alert import Alert
from observability.spec.board_slugs import LOG, OVERVIEW
from observability.spec.plan import Plan
from observability.spec.quantities import format_duration
from observability.spec.schema.catalogue import WatchEntry
from observability.spec.schema.entry import AlertEntry

DESCRIPTION = "<<meaning>> Users notice: <<impact>>"
DEPENDENTS = (
    "Needed by <<dependents>>: while this alert fires, theirs of the same severity are not sent. "
    "A page ends some minutes after the recovery, when theirs have ended, too."
)


def build_alert_rule(
    name: str,
    expr: str,
    wait: Decimal,
    labels: dict[str, str],
    annotations: dict[str, str],
    hold: Decimal = Decimal(0),
) -> Json:
    """Return the rule of one alert that fires after `wait` seconds, and `hold` longer."""
    rule: Json = {"alert": name, "expr": expr}
    if wait:
        rule["for"] = format_duration(wait)
    if hold:
        rule["keep_firing_for"] = format_duration(hold)
    return rule | {"labels": labels, "annotations": annotations}


def build_declared_alert(plan: Plan, alert: Alert[AlertEntry], expr: str, board: str) -> Json:
    """Return the rule of an alert that has its own page in the runbook.

    `board` is the slug of the dashboard that shows the symptom.
    """
    entry = alert.entry
    labels = {**scope.own_labels(plan), names.SEVERITY: entry.severity}
    if alert.name != names.UNMEASURED_ALERT:  # which keeps the owner of its SLO
        labels[names.OWNER] = alert.owner
    description = fill(DESCRIPTION, meaning=entry.meaning, impact=entry.impact)
    texts = {
        "summary": entry.summary,
        "description": go_template(description),
        names.NEXT_STEPS: go_template(number_steps(entry.next_steps)),
    }
    links = build_links(plan, f"/alerts/{alert.name}", names.board_uid(plan.scope, board))
    return build_alert_rule(alert.name, expr, entry.for_.seconds, labels, texts | links)


def build_symptom_alert(plan: Plan, alert: Alert[WatchEntry]) -> Json:
    """Return the rule of a watched symptom.

    One about a dependency has the subject of the dependency's SLOs, lists what needs it, and fires
    until the alerts of these have ended.
    """
    rule = build_declared_alert(plan, alert, alert.entry.expr, OVERVIEW)
    hold = alert.entry.keep_firing_for.seconds
    if dependency := alert.entry.dependency:
        hold = max(hold, hold_of_dependency(plan))
        rule["labels"] |= {names.SUBJECT: dependency}
        if dependents := list_dependents(plan, dependency):
            rule["annotations"]["description"] += f" {dependents}"
    if hold:
        rule["keep_firing_for"] = format_duration(hold)
    return rule


def hold_of_dependency(plan: Plan) -> Decimal:
    """Return for how many seconds a page about a dependency fires after the recovery.

    The pages of what needs it fire about as long, and must not be sent at its end. Alertmanager
    compares the two when it next notifies: one `group_interval` more.
    """
    paging = plan.policy.severities[plan.paging_severity]
    pages = (tier for tier in plan.tiers if tier.severity == plan.paging_severity)
    longest_recovery = max((tier.recovery for tier in pages), default=Decimal(0))
    return longest_recovery + paging.group_interval.seconds


def list_dependents(plan: Plan, dependency: str) -> str:
    """Return the sentence that lists what needs the dependency; empty when nothing does."""
    dependents = plan.dependents(dependency)
    if not dependents:
        return ""
    return fill(DEPENDENTS, dependents=", ".join(dependents))


def build_links(plan: Plan, runbook_path: str, board_path: str) -> dict[str, str]:
    """Return the address of the runbook page; where Grafana runs, also of board and log lines."""
    addresses = plan.policy.links
    urls = {"runbook_url": addresses.console + runbook_path}
    if addresses.grafana:
        log_board = names.board_uid(plan.scope, LOG)
        urls["dashboard_url"] = f"{addresses.grafana}/d/{board_path}"
        urls["logs_url"] = f"{addresses.grafana}/d/{log_board}"
    return urls


def number_steps(next_steps: tuple[str, ...]) -> str:
    """Return the next steps as one numbered line, as in `1. Look. 2. Act.`"""
    steps = [f"{number}. {step}" for number, step in enumerate(next_steps, 1)]
    return " ".join(steps)
