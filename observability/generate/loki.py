"""Plan → Loki's configuration and the rules that its ruler evaluates; pure. Addresses and folders come from the environment."""

from typing import Any

from observability.generate.alert_rule import alert_annotations, alert_rule
from observability.generate.yaml_text import generated_yaml
from observability.lib.promql import log_lines
from observability.spec import names
from observability.spec.board_slugs import LOG
from observability.spec.plan import LogAlert, Plan
from observability.spec.quantities import format_duration

CONFIG = "loki/loki.yaml"
RULES = "loki/rules.yaml"
TENANT = "fake"  # Loki's own name for the only tenant there is; it reads rules from a folder of that name
DAY = 86_400
FOLDER, HOST, PORT = (
    "${EVARA_LOKI_FOLDER:-/loki}",
    "${EVARA_LOKI_HOST:-0.0.0.0}",
    "${EVARA_LOKI_PORT:-3100}",
)
PRIVATE, GRPC_PORT = (
    "127.0.0.1",
    "${EVARA_LOKI_GRPC_PORT:-9095}",
)  # between the parts of the one process
RULES_FOLDER, ALERTMANAGER = (
    "${EVARA_LOKI_RULES:-/etc/loki/rules}",
    "${EVARA_LOKI_ALERTMANAGER:-http://alertmanager:9093}",
)
SCHEMA = {"from": "2024-01-01", "store": "tsdb", "object_store": "filesystem", "schema": "v13"}
LIMITS: dict[str, Any] = {
    "reject_old_samples": True,
    "reject_old_samples_max_age": "7d",
    "allow_structured_metadata": True,
}
LIMITS |= {
    "discover_service_name": [],
    "discover_log_levels": False,
}  # labels are those of the shipper, and no others
# a rejected line is lost, so what waited for Loki must fit, and a long line is cut instead
LIMITS |= {"ingestion_rate_mb": 16, "ingestion_burst_size_mb": 32, "max_line_size_truncate": True}
LIMITS |= {"per_stream_rate_limit": "16MB", "per_stream_rate_limit_burst": "32MB"}


def render(plan: Plan) -> dict[str, str]:
    """The configuration, to be read with -config.expand-env=true, and the rules; `${…:-default}` is that of a container."""
    rules = [rule(plan, alert) for alert in plan.log_alerts]
    groups = (
        [{"name": names.LOG_GROUP, "interval": format_duration(plan.clock.thin), "rules": rules}]
        if rules
        else []
    )
    return {CONFIG: generated_yaml(config(plan)), RULES: generated_yaml({"groups": groups})}


def config(plan: Plan) -> dict[str, Any]:
    """One process that does everything and keeps it in one folder."""
    storage = {
        "filesystem": {"chunks_directory": f"{FOLDER}/chunks", "rules_directory": RULES_FOLDER}
    }
    ring = {
        "instance_addr": PRIVATE,
        "replication_factor": 1,
        "ring": {"kvstore": {"store": "inmemory"}},
    }
    listen = {
        "http_listen_address": HOST,
        "http_listen_port": PORT,
        "grpc_listen_address": PRIVATE,
        "grpc_listen_port": GRPC_PORT,
    }
    return {
        "auth_enabled": False,
        "analytics": {"reporting_enabled": False},
        "server": {**listen, "log_level": "warn", "graceful_shutdown_timeout": "5s"},
        "common": {"path_prefix": FOLDER, **ring, "storage": storage},
        "schema_config": {"configs": [{**SCHEMA, "index": {"prefix": "index_", "period": "24h"}}]},
        # lines may be older than their stream's last by half of max_chunk_age: for so long may Loki be away, and nothing is lost
        "ingester": {"lifecycler": {"min_ready_duration": "0s"}, "max_chunk_age": "24h"},
        "frontend": {
            "scheduler_dns_lookup_period": "1s"
        },  # its parts find each other so often; 10s would be the length of every start
        "querier": {"query_ingesters_within": "0s"},  # a day's lines may still be in memory alone
        "compactor": {"retention_enabled": True, "delete_request_store": "filesystem"},
        "limits_config": {
            "retention_period": f"{(int(plan.period.seconds) + DAY) // 3600}h",
            **LIMITS,
        },
        "ruler": {
            "alertmanager_url": ALERTMANAGER,
            "evaluation_interval": format_duration(plan.clock.thin),
            "poll_interval": "10s",
        },
    }


def rule(plan: Plan, alert: LogAlert) -> dict[str, Any]:
    """One log alert with the labels and annotations that all alerts have."""
    entry = alert.entry
    labels = {names.SEVERITY: entry.severity, names.OWNER: alert.owner}
    annotations = alert_annotations(plan, alert.name, entry.summary, entry.next_steps, LOG)
    return alert_rule(alert.name, expression(plan, alert), entry.for_.seconds, labels, annotations)


def expression(plan: Plan, alert: LogAlert) -> str:
    """LogQL: how many lines of the service match, or that none does."""
    entry = alert.entry
    matching = log_lines(plan.service, entry.program, entry.level, entry.text)
    if entry.silence:
        return f"absent_over_time({matching} [{format_duration(entry.over.seconds)}])"
    return f"sum by ({names.LOG_PROGRAM}) (count_over_time({matching} [{format_duration(entry.over.seconds)}])) > {entry.more_than}"
