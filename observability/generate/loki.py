"""Plan → Loki's configuration and the rules that its ruler evaluates; pure.

Addresses and folders come from the environment; `${…:-default}` is the value in a container.
"""

from observability.generate.alert_rule import build_declared_alert
from observability.generate.yaml_text import HEADER, generated_yaml
from observability.lib import scope
from observability.lib.json_object import Json
from observability.lib.panels import LOGS
from observability.lib.promql import log_lines
from observability.lib.templates import fill
from observability.spec import names
from observability.spec.alert import Alert
from observability.spec.board_slugs import LOG
from observability.spec.plan import Plan
from observability.spec.quantities import format_duration
from observability.spec.schema.catalogue import LogEntry

CONFIG = "loki/loki.yaml"
RULES = "loki/rules.yaml"
TENANT = "fake"  # Loki's name for the only tenant; it reads rules from a folder of that name
# One process does everything and stores it in one folder.
SETTINGS = """\
auth_enabled: false
analytics: {reporting_enabled: false}
server:
  http_listen_address: ${EVARA_LOKI_HOST:-0.0.0.0}
  http_listen_port: ${EVARA_LOKI_PORT:-3100}
  grpc_listen_address: 127.0.0.1 # between the parts of the one process
  grpc_listen_port: ${EVARA_LOKI_GRPC_PORT:-9095}
  log_level: warn
  graceful_shutdown_timeout: 5s
common:
  path_prefix: ${EVARA_LOKI_FOLDER:-/loki}
  instance_addr: 127.0.0.1
  replication_factor: 1
  ring: {kvstore: {store: inmemory}}
  storage:
    filesystem:
      chunks_directory: ${EVARA_LOKI_FOLDER:-/loki}/chunks
      rules_directory: ${EVARA_LOKI_RULES:-/etc/loki/rules}
schema_config:
  configs:
  - from: '2024-01-01'
    store: tsdb
    object_store: filesystem
    schema: v13
    index: {prefix: index_, period: 24h}
# A line may be older than the last of its stream by half of max_chunk_age: if Loki is down for no
# longer than that, nothing is lost.
ingester: {lifecycler: {min_ready_duration: 0s}, max_chunk_age: 24h}
# Loki's parts look for each other at this pace; the default would delay every start by 10 s.
frontend: {scheduler_dns_lookup_period: 1s}
querier: {query_ingesters_within: 0s} # a day's lines may still be in memory alone
compactor: {retention_enabled: true, delete_request_store: filesystem}
limits_config:
  retention_period: <<retention_hours>>h
  reject_old_samples: true
  reject_old_samples_max_age: 7d
  allow_structured_metadata: true
  # labels are those of the shipper, and no others
  discover_service_name: []
  discover_log_levels: false
  # a rejected line is lost: lines that waited for Loki must fit, and a long line is cut instead
  ingestion_rate_mb: 16
  ingestion_burst_size_mb: 32
  max_line_size_truncate: true
  per_stream_rate_limit: 16MB
  per_stream_rate_limit_burst: 32MB
ruler:
  alertmanager_url: ${EVARA_LOKI_ALERTMANAGER:-http://alertmanager:9093}
  evaluation_interval: <<interval>>
  poll_interval: 10s
  # the source of an alert: /explore of Grafana, or of the console, which shows the overview there
  external_url: <<explorer>>
  datasource_uid: <<source>>
"""


def render(plan: Plan) -> dict[str, str]:
    """Return the configuration, to be read with -config.expand-env=true, and the rules."""
    groups = []
    if plan.log_alerts:
        group = {
            "name": scope.group_name(plan, names.LOG_GROUP),
            "interval": format_duration(plan.clock.thin),
            "rules": [build_rule(plan, alert) for alert in plan.log_alerts],
        }
        groups.append(group)
    return {CONFIG: build_config(plan), RULES: generated_yaml({"groups": groups})}


def build_config(plan: Plan) -> str:
    """Return the configuration, whose lines are stored for a day longer than the period."""
    interval = format_duration(plan.clock.thin)
    explorer = plan.policy.links.grafana or plan.policy.links.console
    return HEADER + fill(
        SETTINGS,
        retention_hours=int(plan.retention) // 3600,
        interval=interval,
        explorer=explorer,
        source=LOGS,
    )


def build_rule(plan: Plan, alert: Alert[LogEntry]) -> Json:
    """Return one log alert with the labels and annotations that all alerts have."""
    return build_declared_alert(plan, alert, build_expression(plan, alert), LOG)


def build_expression(plan: Plan, alert: Alert[LogEntry]) -> str:
    """Return LogQL: more lines of the service match than allowed, or none does."""
    entry = alert.entry
    lines = log_lines(scope.own_labels(plan), entry.program, entry.level, entry.text)
    selection = f"{lines} [{format_duration(entry.over.seconds)}]"
    if entry.silence:
        return f"absent_over_time({selection})"
    return f"sum by ({names.LOG_PROGRAM}) (count_over_time({selection})) > {entry.more_than}"
