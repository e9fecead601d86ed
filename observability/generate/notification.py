"""The texts of notifications in Slack, mail and PagerDuty, as Alertmanager's templates.

All alerts of a notification have one rule, or one SLO, so their steps and links are common.
Annotations that other programs' alerts lack are left empty.
"""

from observability.lib.templates import fill
from observability.spec.plan import Plan

TITLE = (
    '[{{ .Status | toUpper }}{{ if eq .Status "firing" }}:{{ .Alerts.Firing | len }}{{ end }}] '
    "{{ .CommonLabels.<<SEVERITY>> }}: "
    "{{ .GroupLabels.<<ALERT_NAME>> }} {{ .GroupLabels.<<SLO>> }}"
)
FIRST_SUMMARY = "{{ (index .Alerts 0).Annotations.summary }}"
BODY = """\
{{ range .Alerts }}{{ if eq .Status "resolved" }}Resolved: {{ end }}\
{{ .Annotations.summary<<escape>> }}
{{ .Annotations.description<<escape>> }}

{{ end }}Next steps: {{ .CommonAnnotations.<<NEXT_STEPS>><<escape>> }}

Alert: <<alert_url>>
"""
LINE = "<<title>>: {{ .CommonAnnotations.<<annotation>><<escape>> }}\n"
LINK = "{{ or .CommonAnnotations.<<annotation>> .ExternalURL }}"
ALERT_URL = "{{ .ExternalURL }}/#/alerts?receiver={{ .Receiver | urlquery }}"


def title() -> str:
    """Return one line: status, number of firing alerts, severity, name, and SLO."""
    return fill(TITLE)


def title_and_summary() -> str:
    """Return the title and the summary of the first alert, for receivers with one line."""
    return f"{title()}: {FIRST_SUMMARY}"


def link(annotation: str) -> str:
    """Return the address in an annotation, for receivers that refuse an empty one."""
    return fill(LINK, annotation=annotation)


def body(plan: Plan, escape: str = "") -> str:
    """Return plain text: summary and description of each alert, next steps, and links.

    `escape` is a pipeline that makes a value literal text of the receiver.
    """
    lines = [fill(BODY, escape=escape, alert_url=ALERT_URL)]
    for annotation, link_title in links(plan).items():
        lines.append(fill(LINE, title=link_title, annotation=annotation, escape=escape))
    return "".join(lines)


def links(plan: Plan) -> dict[str, str]:
    """Return the titles of the links that the stack's alerts have, by annotation."""
    titles = {"runbook_url": "Runbook"}
    if plan.policy.links.grafana:
        titles |= {"dashboard_url": "Dashboard", "logs_url": "Logs"}
    return titles
