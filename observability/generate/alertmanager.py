"""Plan → Alertmanager's routes, receivers and inhibition; pure. One receiver per owner and severity."""

from typing import Any

from observability.generate.yaml_text import generated_yaml
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.quantities import format_duration
from observability.spec.schema.policy import IntegrationEntry

CONFIG = "alertmanager/alertmanager.yaml"
SECRETS = "/run/secrets"  # where compose mounts secret files


def render(
    plan: Plan, secrets: frozenset[str] = frozenset(), folder: str = SECRETS
) -> dict[str, str]:
    """`secrets` names the secret files that exist in `folder`; an integration whose secret is missing takes no part."""
    pairs = [
        (owner, severity) for severity in plan.policy.severities for owner in plan.policy.owners
    ]
    config = {
        "route": {
            "receiver": receiver_name(plan.owner, plan.paging_severity),
            "group_by": [
                "alertname",
                names.SLO,
                names.SEVERITY,
            ],  # never the tier: one incident, one page
            "routes": [route(plan, owner, severity) for owner, severity in pairs],
        },
        "inhibit_rules": [
            {
                "source_matchers": matchers(rule.source),
                "target_matchers": matchers(rule.target),
                **({"equal": list(rule.equal)} if rule.equal else {}),
            }
            for rule in plan.policy.inhibit
        ],
        "receivers": [
            receiver(plan, owner, severity, secrets, folder) for owner, severity in pairs
        ],
    }
    return {CONFIG: generated_yaml(config)}


def receiver_name(owner: str, severity: str) -> str:
    return f"{owner}-{severity}"


def matchers(labels: dict[str, str]) -> list[str]:
    return [f'{key}="{value}"' for key, value in labels.items()]


def route(plan: Plan, owner: str, severity: str) -> dict[str, Any]:
    timing = plan.policy.severities[severity]
    return {
        "matchers": matchers({names.SEVERITY: severity, names.OWNER: owner}),
        "receiver": receiver_name(owner, severity),
        "group_wait": format_duration(timing.group_wait.seconds),
        "group_interval": format_duration(timing.group_interval.seconds),
        "repeat_interval": format_duration(timing.repeat_interval.seconds),
    }


def receiver(
    plan: Plan, owner: str, severity: str, secrets: frozenset[str], folder: str
) -> dict[str, Any]:
    only = plan.policy.owners[owner].only
    result: dict[str, Any] = {"name": receiver_name(owner, severity)}
    for name in plan.policy.severities[severity].integrations:
        if (
            only is None or name in only
        ) and name in plan.policy.integrations:  # the native stack has fewer of them
            for kind, settings in integration(
                plan.policy.integrations[name], secrets, folder
            ).items():
                result.setdefault(kind, []).append(settings)
    return result


def integration(
    entry: IntegrationEntry, secrets: frozenset[str], folder: str
) -> dict[str, dict[str, Any]]:
    """One integration → Alertmanager's key and settings, or nothing while its secret is missing."""
    if entry.webhook:
        return {"webhook_configs": {"url": entry.webhook, "send_resolved": True}}
    if entry.email:
        mail = {
            "to": entry.email,
            "from": entry.sender,
            "smarthost": entry.smarthost,
            "require_tls": entry.tls,
        }
        return {"email_configs": mail | {"send_resolved": True}}
    if entry.webhook_url_file in secrets:
        return {
            "webhook_configs": {
                "url_file": f"{folder}/{entry.webhook_url_file}",
                "send_resolved": False,
            }
        }
    if entry.slack_url_file in secrets:
        return {
            "slack_configs": {
                "api_url_file": f"{folder}/{entry.slack_url_file}",
                "channel": entry.channel,
                "send_resolved": True,
            }
        }
    if entry.pagerduty_key_file in secrets:
        return {
            "pagerduty_configs": {
                "routing_key_file": f"{folder}/{entry.pagerduty_key_file}",
                "send_resolved": True,
            }
        }
    return {}
