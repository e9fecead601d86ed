"""Plan → Alertmanager's routes, receivers and inhibition; pure.

There is one receiver per owner and severity.
"""

from collections.abc import Iterator, Sequence
from posixpath import join

from observability.generate import notification
from observability.generate.yaml_text import generated_yaml
from observability.lib import escaping
from observability.lib.json_object import Json
from observability.lib.promql import matcher, one_of
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.quantities import format_duration
from observability.spec.schema.policy import InhibitionEntry, IntegrationEntry

CONFIG = "alertmanager/alertmanager.yaml"
SECRETS = "/run/secrets"  # where compose mounts secret files
OF_ONE_SERVICE = (names.SERVICE, names.ENVIRONMENT)
Settings = Json


def render(
    plan: Plan, secrets: frozenset[str] = frozenset(), folder: str = SECRETS
) -> dict[str, str]:
    """Return the configuration; `secrets` names the secret files that exist in `folder`.

    An integration whose secret is missing takes no part.
    """
    routes = []
    receivers = []
    for severity in plan.policy.severities:
        for owner in plan.policy.owners:
            routes.append(build_route(plan, owner, severity))
            receivers.append(build_receiver(plan, owner, severity, secrets, folder))
    config = {
        "route": {
            "receiver": name_receiver(plan.owner, plan.paging_severity),
            # never by tier: one incident is one page
            "group_by": [*OF_ONE_SERVICE, names.ALERT_NAME, names.SLO, names.SEVERITY],
            "routes": routes,
        },
        "inhibit_rules": [
            *map(build_inhibit_rule, plan.policy.inhibit),
            *build_dependency_rules(plan),
        ],
        "receivers": receivers,
    }
    return {CONFIG: generated_yaml(config)}


def name_receiver(owner: str, severity: str) -> str:
    """Return the name of the receiver of an owner's alerts of a severity."""
    return f"{owner}-{severity}"


def build_matchers(labels: dict[str, str]) -> list[str]:
    """Return matchers of alerts that have these labels; `~` begins a regular expression."""
    return [matcher(label, value) for label, value in labels.items()]


def build_route(plan: Plan, owner: str, severity: str) -> Settings:
    """Return the route of an owner's alerts of a severity, with the severity's timing."""
    timing = plan.policy.severities[severity]
    return {
        "matchers": build_matchers({names.SEVERITY: severity, names.OWNER: owner}),
        "receiver": name_receiver(owner, severity),
        "group_wait": format_duration(timing.group_wait.seconds),
        "group_interval": format_duration(timing.group_interval.seconds),
        "repeat_interval": format_duration(timing.repeat_interval.seconds),
    }


def build_inhibit_rule(entry: InhibitionEntry) -> Settings:
    """Return a rule of the policy."""
    return inhibit(entry.source, entry.target, entry.equal)


def build_dependency_rules(plan: Plan) -> Iterator[Settings]:
    """Yield the rules by which a dependency's alerts silence those of what needs it.

    Its page silences pages and tickets, its ticket silences tickets.
    """
    for dependency in plan.dependencies:
        page = {names.SEVERITY: plan.paging_severity, names.SUBJECT: dependency}
        own_burn = {names.ALERT_NAME: names.BURN_ALERT, names.SUBJECT: dependency}
        about_it = [a.name for a in plan.symptoms if a.entry.dependency == dependency]
        if about_it:
            yield inhibit(page | {names.ALERT_NAME: one_of(about_it)}, own_burn)
        if dependents := plan.dependents(dependency):
            burn = own_burn | {names.SUBJECT: one_of(dependents)}
            yield inhibit(page, burn)
            yield inhibit(own_burn, burn, equal=[names.SEVERITY])
        declared = (*plan.symptoms, *plan.log_alerts)
        if needing := [a.name for a in declared if dependency in a.entry.needs]:
            yield inhibit(page, {names.ALERT_NAME: one_of(needing)})


def inhibit(source: dict[str, str], target: dict[str, str], equal: Sequence[str] = ()) -> Settings:
    """Return the rule by which alerts with the source's labels silence those with the target's.

    Both are about one service; the labels in `equal` are the same, too.
    """
    return {
        "source_matchers": build_matchers(source),
        "target_matchers": build_matchers(target),
        "equal": [*OF_ONE_SERVICE, *equal],
    }


def build_receiver(
    plan: Plan, owner: str, severity: str, secrets: frozenset[str], folder: str
) -> Settings:
    """Return the receiver with the severity's integrations that the owner takes part in."""
    only = plan.policy.owners[owner].only
    result: Settings = {"name": name_receiver(owner, severity)}
    for name in plan.policy.severities[severity].integrations:
        entry = plan.policy.integrations.get(name)  # the native stack has fewer of them
        if entry is None or (only is not None and name not in only):
            continue
        for kind, settings in build_integration(plan, entry, severity, secrets, folder).items():
            result.setdefault(kind, []).append(settings)
    return result


def build_integration(
    plan: Plan, entry: IntegrationEntry, severity: str, secrets: frozenset[str], folder: str
) -> dict[str, Settings]:
    """Return Alertmanager's key and settings of an integration; none while its secret is missing.

    A dead man's switch (`webhook_url_file`) hears of firing alerts alone.
    """
    if entry.webhook:
        settings: Settings = {"url": entry.webhook, "send_resolved": True}
        if entry.webhook_key_file:
            key_file = join(folder, entry.webhook_key_file)
            settings["http_config"] = {"authorization": {"credentials_file": key_file}}
        return {"webhook_configs": settings}
    if entry.email:
        return {"email_configs": build_email(plan, entry)}
    if entry.webhook_url_file in secrets:
        url_file = f"{folder}/{entry.webhook_url_file}"
        return {"webhook_configs": {"url_file": url_file, "send_resolved": False}}
    if entry.slack_url_file in secrets:
        return {"slack_configs": build_slack(plan, entry, folder)}
    if entry.pagerduty_key_file in secrets:
        return {"pagerduty_configs": build_pagerduty(plan, entry, severity, folder)}
    return {}


def build_email(plan: Plan, entry: IntegrationEntry) -> Settings:
    """Return the settings of mail, in plain text alone."""
    return {
        "to": entry.email,
        "from": entry.sender,
        "smarthost": entry.smarthost,
        "require_tls": entry.tls,
        "send_resolved": True,
        "headers": {"Subject": notification.title()},
        "html": "",
        "text": notification.body(plan),
    }


def build_slack(plan: Plan, entry: IntegrationEntry, folder: str) -> Settings:
    """Return the settings of Slack; `mrkdwn_in` leaves out the text, whose `*` would vanish."""
    return {
        "api_url_file": f"{folder}/{entry.slack_url_file}",
        "channel": escaping.go_template(entry.channel or ""),
        "send_resolved": True,
        "title": notification.title(),
        "title_link": notification.ALERT_URL,
        "fallback": notification.title(),
        "text": notification.body(plan, escaping.SLACK),
        "mrkdwn_in": ["pretext"],
    }


def build_pagerduty(plan: Plan, entry: IntegrationEntry, severity: str, folder: str) -> Settings:
    """Return the settings of PagerDuty, where a page is critical."""
    links = [
        {"text": title, "href": notification.link(annotation)}
        for annotation, title in notification.links(plan).items()
    ]
    return {
        "routing_key_file": f"{folder}/{entry.pagerduty_key_file}",
        "send_resolved": True,
        "description": notification.title_and_summary(),
        "severity": "critical" if severity == plan.paging_severity else "warning",
        "client": plan.service,
        "client_url": notification.ALERT_URL,
        "details": {"text": notification.body(plan)},
        "links": links,
    }
