"""Plan → Fluent Bit's configuration, for the native stack's log files and for Docker; pure.

A line arrives in Loki as it was written, at its own time, with few labels; its ids are structured
metadata.
"""

from observability.generate.yaml_text import HEADER
from observability.lib import scope
from observability.lib.templates import fill
from observability.spec import names
from observability.spec.plan import Plan

NATIVE = "fluent-bit/native.yaml"
DOCKER = "fluent-bit/docker.yaml"

CONFIG = r"""service:<<http_server>>
  flush: 1
  grace: 5
  log_level: warn
  # seconds between retries; `for` of an alert about silence is longer
  scheduler.base: 1
  scheduler.cap: 30
  storage.path: <<state>>/chunks
  storage.max_chunks_up: 128
  storage.backlog.mem_limit: 16M

# JSON of this project, logfmt of Prometheus and Alertmanager, text of gunicorn and supervisord
parsers:
- name: ours
  format: json
  time_key: timestamp
  time_format: '%Y-%m-%dT%H:%M:%S.%L%z'
- name: logfmt
  format: regex
  regex: ^(?:ts|time)=(?<time>\S+) (?:.*? )?level=(?<level>\w+)
  time_key: time
  time_format: '%Y-%m-%dT%H:%M:%S.%L%z'
- name: plain
  format: regex
  regex: ^(?:\[.*\] \[|\d.*,\d+ )(?<level>[A-Z]+)\b

pipeline:
  inputs:
<<source>>
    storage.type: filesystem
  filters:
<<first_filters>>
  - name: parser
    match: '*'
    key_name: log
    parser: [ours, logfmt, plain]
    preserve_key: true
    reserve_data: true
  - name: record_modifier
    match: '*'
    allowlist_key: [log, <<LOG_PROGRAM>>, <<LOG_LEVEL>>, <<ids>>]
<<id_filters>>
  - name: modify
    match: '*'
    add: <<LOG_LEVEL>> <<LOG_UNKNOWN>>
<<level_filters>>
  - name: modify
    match: '*'
    condition: Key_value_does_not_match <<LOG_LEVEL>> ^(<<levels>>)$
    set: <<LOG_LEVEL>> <<LOG_UNKNOWN>>
  outputs: # lines that cannot be delivered wait on disk until Loki accepts them
  - name: loki
    match: '*'
    host: <<host>>
    port: <<port>>
    labels: <<own_labels>>, <<LOG_PROGRAM>>=<<program>>, <<LOG_LEVEL>>=$<<LOG_LEVEL>>
    structured_metadata: <<metadata>>
    drop_single_key: raw
    retry_limit: no_limits
    storage.total_limit_size: 2G
"""
# Lines of Fluent Bit and Loki are not shipped: each line about lines would make another line.
LOG_FILES = r"""  - name: tail
    path: ${EVARA_LOG_FOLDER}/*.log
    exclude_path: '*/fluent-bit.log,*/loki.log'
    tag: <program>
    tag_regex: (?<program>[^/.]+)\.log$
    key: log
    db: ${EVARA_LOG_STATE}/positions.db
    read_from_head: true
    refresh_interval: 2
    buffer_max_size: 1M
    skip_long_lines: true"""
DOCKER_DRIVER = """  - name: forward
    listen: 0.0.0.0
    port: 24224"""
DOCKER_HTTP_SERVER = """
  http_server: on # for Prometheus, which so notices that Fluent Bit is down
  http_listen: 0.0.0.0
  http_port: 2020"""
DOCKER_FILTERS = """  - name: modify
    match: '*'
    rename: com.docker.compose.service <<LOG_PROGRAM>>
  - name: grep
    match: '*'
    exclude: <<LOG_PROGRAM>> ^(fluent-bit|loki)$"""
# An id that is null would arrive as the word.
ID_FILTER = """  - name: modify
    match: '*'
    condition: Key_value_does_not_match <<id>> .
    remove: <<id>>"""
LEVEL_FILTER = """  - name: modify
    match: '*'
    condition: Key_value_matches <<LOG_LEVEL>> ^(?i:<<spellings>>)
    set: <<LOG_LEVEL>> <<level>>"""
SPELLINGS = {
    "error": "err|crit|fatal|alert|emerg|panic",
    "warning": "warn",
    "info": "info|notice",
    "debug": "debug|debg|trac|blat",
}


def render(plan: Plan) -> dict[str, str]:
    """Return the configurations of the native stack and of Docker.

    The native one reads its folders and addresses from the environment.
    """
    native = build_config(
        plan,
        http_server="",
        state="${EVARA_LOG_STATE}",
        source=LOG_FILES,
        first_filters="",
        program="$TAG",
        host="${EVARA_LOKI_HOST}",
        port="${EVARA_LOKI_PORT}",
    )
    docker = build_config(
        plan,
        http_server=DOCKER_HTTP_SERVER,
        state="/fluent-bit/state",
        source=DOCKER_DRIVER,
        first_filters=fill(DOCKER_FILTERS),
        program=f"${names.LOG_PROGRAM}",
        host="loki",
        port="3100",
    )
    return {NATIVE: native, DOCKER: docker}


def build_config(plan: Plan, **values: str) -> str:
    """Return a configuration from one source to Loki; `values` are fields of CONFIG."""
    id_filters = [fill(ID_FILTER, id=key) for key in names.LOG_IDS]
    level_filters = [
        fill(LEVEL_FILTER, level=level, spellings=spellings)
        for level, spellings in SPELLINGS.items()
    ]
    return HEADER + fill(
        CONFIG,
        own_labels=", ".join(map("=".join, scope.own_labels(plan).items())),
        ids=", ".join(names.LOG_IDS),
        metadata=", ".join(f"{key}=${key}" for key in names.LOG_IDS),
        id_filters="\n".join(id_filters),
        level_filters="\n".join(level_filters),
        levels="|".join(names.LOG_LEVELS),
        **values,
    )
