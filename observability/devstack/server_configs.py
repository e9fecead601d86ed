"""The configuration files of the native stack's servers, for the addresses of one stack."""

from dataclasses import replace
from pathlib import Path

import yaml

from observability.devstack.layout import INBOX_KEY, ROOT, StackLayout, filled_secrets
from observability.devstack.private_files import new_key, write_if_missing
from observability.generate import alertmanager, fluentbit, loki, prometheus
from observability.spec.plan import Plan
from observability.spec.quantities import format_duration
from observability.spec.schema.policy import IntegrationEntry, LinksEntry

PROMETHEUS_YAML = ROOT / "observability" / "devstack" / "prometheus.yaml"


def write_server_configs(layout: StackLayout, plan: Plan, secrets: Path | None = None) -> None:
    """Write every server's configuration below the stack's folder.

    An integration of Alertmanager takes part when its secret is in the folder `secrets`.
    """
    folders = (
        layout.config / "targets",
        layout.config / "loki-rules" / loki.TENANT,
        layout.logs,
        layout.metrics,
        layout.state / "fluent-bit",
        layout.keys,
    )
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    write_if_missing(layout.key_file(INBOX_KEY), new_key())
    for path, text in config_texts(plan_of_stack(layout, plan), secrets).items():
        (layout.config / path).write_text(text, encoding="utf-8")


def config_texts(plan: Plan, secrets: Path | None) -> dict[str, str]:
    """Return the text of each file by its path below the folder of configurations."""
    given = frozenset[str]()
    if secrets:
        given = filled_secrets(secrets)
    loki_texts = loki.render(plan)
    alertmanager_texts = alertmanager.render(plan, given, str(secrets))
    return {
        "prometheus.yaml": prometheus_config(plan),
        "rules.yaml": prometheus.render(plan)[prometheus.RULES],
        "alertmanager.yaml": alertmanager_texts[alertmanager.CONFIG],
        "loki.yaml": loki_texts[loki.CONFIG],
        f"loki-rules/{loki.TENANT}/rules.yaml": loki_texts[loki.RULES],
        "fluent-bit.yaml": fluentbit.render(plan)[fluentbit.NATIVE],
    }


def plan_of_stack(layout: StackLayout, plan: Plan) -> Plan:
    """Return the plan with this stack's console as inbox and in links, of which it has no others.

    Integrations that need servers of the compose stack are left out.
    """
    integrations = {
        name: entry
        for name, entry in plan.policy.integrations.items()
        if not (entry.email or entry.webhook_url_file)
    }
    integrations["inbox"] = IntegrationEntry(
        webhook=f"{layout.url('console')}/api/inbox",
        webhook_key_file=str(layout.key_file(INBOX_KEY)),
    )
    links = LinksEntry(console=layout.address("console"))
    changes = {"integrations": integrations, "links": links}
    return replace(plan, policy=plan.policy.model_copy(update=changes))


def prometheus_config(plan: Plan) -> str:
    """Return the hand-written file, in which a drill changes nothing but the clock."""
    text = PROMETHEUS_YAML.read_text(encoding="utf-8")
    if plan.clock.scrape == plan.policy.clock.scrape.seconds:
        return text
    config = yaml.safe_load(text)
    scrape = format_duration(plan.clock.scrape)
    config["global"] = {
        "scrape_interval": scrape,
        "scrape_timeout": scrape,
        "evaluation_interval": format_duration(plan.clock.evaluate),
    }
    return yaml.safe_dump(config, sort_keys=False)
