"""Plan → Fluent Bit's configuration, for log files of the native stack and for Docker's log driver; pure.

A line arrives in Loki as it was written, at its own time, with three labels; its ids are structured metadata.
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
DISK = {"storage.type": "filesystem"}
TIME = "%Y-%m-%dT%H:%M:%S.%L%z"
# JSON lines of our own, logfmt of Prometheus and Alertmanager, and the plain words of gunicorn and supervisord
PARSERS = [
    {"name": "ours", "format": "json", "time_key": "timestamp", "time_format": TIME},
    {
        "name": "logfmt",
        "format": "regex",
        "regex": r"^(?:ts|time)=(?<time>\S+) (?:.*? )?level=(?<level>\w+)",
    }
    | {"time_key": "time", "time_format": TIME},
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
    """The native file reads its folders and addresses from the environment; in compose they are always the same."""
    names_of_files = {"tag": "<program>", "tag_regex": r"(?<program>[^/.]+)\.log$"}
    unshipped = {"exclude_path": ",".join(f"*/{program}.log" for program in UNSHIPPED)}
    tail: Settings = {
        "name": "tail",
        "path": "${EVARA_LOG_FOLDER}/*.log",
        **unshipped,
        **names_of_files,
        "key": LINE,
    }
    tail |= {"db": "${EVARA_LOG_STATE}/positions.db", "read_from_head": True, "refresh_interval": 2}
    tail |= {"buffer_max_size": "1M", "skip_long_lines": True, **DISK}
    forward = {"name": "forward", "listen": "0.0.0.0", "port": 24224, **DISK}  # noqa: S104 - of its container
    named = [
        {"name": "modify", "match": "*", "rename": f"{COMPOSE_SERVICE} {names.LOG_PROGRAM}"},
        {"name": "grep", "match": "*", "exclude": f"{names.LOG_PROGRAM} ^({'|'.join(UNSHIPPED)})$"},
    ]
    native = config(
        plan, "${EVARA_LOG_STATE}", tail, [], "$TAG", "${EVARA_LOKI_HOST}", "${EVARA_LOKI_PORT}"
    )
    docker = config(
        plan, "/fluent-bit/state", forward, named, f"${names.LOG_PROGRAM}", "loki", 3100
    )
    return {NATIVE: generated_yaml(native), DOCKER: generated_yaml(docker)}


def config(
    plan: Plan,
    state: str,
    source: Settings,
    first: list[Settings],
    program: str,
    host: str,
    port: str | int,
) -> Settings:
    """From one source to Loki; what cannot be delivered waits on disk, and is tried again until it is."""
    labels = {
        names.LOG_SERVICE: plan.service,
        names.LOG_PROGRAM: program,
        names.LOG_LEVEL: f"${names.LOG_LEVEL}",
    }
    loki = {"name": "loki", "match": "*", "host": host, "port": port, "labels": pairs(labels)}
    loki |= {
        "structured_metadata": pairs({key: f"${key}" for key in names.LOG_IDS}),
        "drop_single_key": "raw",
    }
    loki |= {"retry_limit": "no_limits", "storage.total_limit_size": "2G"}
    storage = {
        "storage.path": f"{state}/chunks",
        "storage.max_chunks_up": 128,
        "storage.backlog.mem_limit": "16M",
    }
    retries = {
        "scheduler.base": 1,
        "scheduler.cap": 30,
    }  # seconds between tries; `for` of an alert about silence is longer
    return {
        "service": {"flush": 1, "grace": 5, "log_level": "warn", **retries, **storage},
        "parsers": PARSERS,
        "pipeline": {"inputs": [source], "filters": [*first, *filters()], "outputs": [loki]},
    }


def pairs(values: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())


def filters() -> list[Settings]:
    """Finds level and ids in the line, leaves nothing else beside it, and spells levels alike."""
    parse = {
        "key_name": LINE,
        "parser": [parser["name"] for parser in PARSERS],
        "preserve_key": True,
        "reserve_data": True,
    }
    level, unknown = names.LOG_LEVEL, f"{names.LOG_LEVEL} {names.LOG_UNKNOWN}"
    steps: list[tuple[str, Settings]] = [
        ("parser", parse),
        ("record_modifier", {"allowlist_key": [LINE, names.LOG_PROGRAM, level, *names.LOG_IDS]}),
        # an id that is null would arrive as the word
        *(
            ("modify", {"condition": f"Key_value_does_not_match {key} .", "remove": key})
            for key in names.LOG_IDS
        ),
        ("modify", {"add": unknown}),
        *(
            (
                "modify",
                {
                    "condition": f"Key_value_matches {level} ^(?i:{SPELLINGS[name]})",
                    "set": f"{level} {name}",
                },
            )
            for name in SPELLINGS
        ),
        (
            "modify",
            {
                "condition": f"Key_value_does_not_match {level} ^({'|'.join(names.LOG_LEVELS)})$",
                "set": unknown,
            },
        ),
    ]
    return [{"name": name, "match": "*", **settings} for name, settings in steps]
