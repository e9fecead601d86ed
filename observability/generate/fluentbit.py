"""Plan → Fluent Bit's configuration, for the native stack's log files and for Docker; pure.

A line arrives in Loki as it was written, at its own time, with three labels; its ids are structured
metadata.
"""

from typing import Any

from observability.generate.yaml_text import generated_yaml
from observability.spec import names
from observability.spec.plan import Plan

NATIVE = "fluent-bit/native.yaml"
DOCKER = "fluent-bit/docker.yaml"
LINE = "log"  # the field that holds the line
UNSHIPPED = ("fluent-bit", "loki")  # what they write about lines would make lines
COMPOSE_SERVICE = "com.docker.compose.service"
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - of its container
DISK = {"storage.type": "filesystem"}
TIME = "%Y-%m-%dT%H:%M:%S.%L%z"
# Our own JSON lines, logfmt of Prometheus and Alertmanager, plain words of gunicorn and supervisord
PARSERS = [
    {"name": "ours", "format": "json", "time_key": "timestamp", "time_format": TIME},
    {
        "name": "logfmt",
        "format": "regex",
        "regex": r"^(?:ts|time)=(?<time>\S+) (?:.*? )?level=(?<level>\w+)",
        "time_key": "time",
        "time_format": TIME,
    },
    {"name": "plain", "format": "regex", "regex": r"^(?:\[.*\] \[|\d.*,\d+ )(?<level>[A-Z]+)\b"},
]
SPELLINGS = {
    "error": "err|crit|fatal|alert|emerg|panic",
    "warning": "warn",
    "info": "info|notice",
    "debug": "debug|debg|trac|blat",
}
Settings = dict[str, Any]


def render(plan: Plan) -> dict[str, str]:
    """Return the configurations of the native stack and of Docker.

    The native one reads its folders and addresses from the environment.
    """
    native = build_config(
        state="${EVARA_LOG_STATE}",
        source=build_tail(),
        filters=build_level_filters(),
        output=build_loki_output(plan, "$TAG", "${EVARA_LOKI_HOST}", "${EVARA_LOKI_PORT}"),
    )
    docker = build_config(
        state="/fluent-bit/state",
        source={"name": "forward", "listen": ALL_ADDRESSES, "port": 24224, **DISK},
        filters=[*build_docker_filters(), *build_level_filters()],
        output=build_loki_output(plan, f"${names.LOG_PROGRAM}", "loki", 3100),
    )
    return {NATIVE: generated_yaml(native), DOCKER: generated_yaml(docker)}


def build_config(
    state: str, source: Settings, filters: list[Settings], output: Settings
) -> Settings:
    """Return a configuration from one source to one output; `state` is a folder."""
    return {
        "service": {
            "flush": 1,
            "grace": 5,
            "log_level": "warn",
            # seconds between tries; `for` of an alert about silence is longer
            "scheduler.base": 1,
            "scheduler.cap": 30,
            "storage.path": f"{state}/chunks",
            "storage.max_chunks_up": 128,
            "storage.backlog.mem_limit": "16M",
        },
        "parsers": PARSERS,
        "pipeline": {"inputs": [source], "filters": filters, "outputs": [output]},
    }


def build_tail() -> Settings:
    """Return the source of the native stack: one log file per program."""
    return {
        "name": "tail",
        "path": "${EVARA_LOG_FOLDER}/*.log",
        "exclude_path": ",".join(f"*/{program}.log" for program in UNSHIPPED),
        "tag": "<program>",
        "tag_regex": r"(?<program>[^/.]+)\.log$",
        "key": LINE,
        "db": "${EVARA_LOG_STATE}/positions.db",
        "read_from_head": True,
        "refresh_interval": 2,
        "buffer_max_size": "1M",
        "skip_long_lines": True,
        **DISK,
    }


def build_docker_filters() -> list[Settings]:
    """Return the filters that name the program by its compose service, and drop some programs."""
    unshipped = "|".join(UNSHIPPED)
    return [
        {"name": "modify", "match": "*", "rename": f"{COMPOSE_SERVICE} {names.LOG_PROGRAM}"},
        {"name": "grep", "match": "*", "exclude": f"{names.LOG_PROGRAM} ^({unshipped})$"},
    ]


def build_loki_output(plan: Plan, program: str, host: str, port: str | int) -> Settings:
    """Return the delivery to Loki.

    What cannot be delivered waits on disk, and is tried again until it is.
    """
    labels = {
        names.LOG_SERVICE: plan.service,
        names.LOG_PROGRAM: program,
        names.LOG_LEVEL: f"${names.LOG_LEVEL}",
    }
    return {
        "name": "loki",
        "match": "*",
        "host": host,
        "port": port,
        "labels": format_pairs(labels),
        "structured_metadata": format_pairs({key: f"${key}" for key in names.LOG_IDS}),
        "drop_single_key": "raw",
        "retry_limit": "no_limits",
        "storage.total_limit_size": "2G",
    }


def format_pairs(values: dict[str, str]) -> str:
    """Return the values as Fluent Bit lists them, as in `a=1, b=2`."""
    return ", ".join(f"{key}={value}" for key, value in values.items())


def build_level_filters() -> list[Settings]:
    """Return the filters that find level and ids in the line and leave nothing else beside it.

    Levels are spelled alike in the end.
    """
    level = names.LOG_LEVEL
    unknown = f"{level} {names.LOG_UNKNOWN}"
    parse = {
        "key_name": LINE,
        "parser": [parser["name"] for parser in PARSERS],
        "preserve_key": True,
        "reserve_data": True,
    }
    allowlist = [LINE, names.LOG_PROGRAM, level, *names.LOG_IDS]
    filters: list[Settings] = [
        {"name": "parser", "match": "*", **parse},
        {"name": "record_modifier", "match": "*", "allowlist_key": allowlist},
    ]
    for key in names.LOG_IDS:  # an id that is null would arrive as the word
        filters.append(build_modify(f"Key_value_does_not_match {key} .", {"remove": key}))
    filters.append({"name": "modify", "match": "*", "add": unknown})
    for name, spelling in SPELLINGS.items():
        condition = f"Key_value_matches {level} ^(?i:{spelling})"
        filters.append(build_modify(condition, {"set": f"{level} {name}"}))
    known_levels = "|".join(names.LOG_LEVELS)
    condition = f"Key_value_does_not_match {level} ^({known_levels})$"
    filters.append(build_modify(condition, {"set": unknown}))
    return filters


def build_modify(condition: str, change: Settings) -> Settings:
    """Return a filter that changes records for which a condition holds."""
    return {"name": "modify", "match": "*", "condition": condition, **change}
