"""Fluent Bit's configurations: labels, buffers, lines that are not shipped, and levels."""

import re
from typing import Any

import pytest
import yaml

from observability.devstack.layout import ROOT
from observability.generate import fluentbit
from observability.spec import names
from observability.spec.plan import Plan

FILES = (fluentbit.NATIVE, fluentbit.DOCKER)


def config(plan: Plan, file: str) -> dict[str, Any]:
    """Return one of the generated configurations."""
    return dict(yaml.safe_load(fluentbit.render(plan)[file]))


def output(plan: Plan, file: str) -> dict[str, Any]:
    """Return the only output of a configuration."""
    [only] = config(plan, file)["pipeline"]["outputs"]
    return dict(only)


@pytest.mark.parametrize("file", FILES)
def test_streams_have_three_labels_and_lines_their_ids(file: str, plan: Plan) -> None:
    """Both stacks set the same labels, so that boards and alerts serve both."""
    loki_output = output(plan, file)
    labels = dict(pair.split("=") for pair in loki_output["labels"].split(", "))
    assert list(labels) == [names.LOG_SERVICE, names.LOG_PROGRAM, names.LOG_LEVEL]
    assert labels[names.LOG_SERVICE] == plan.service
    assert loki_output["structured_metadata"] == "request_id=$request_id, trace_id=$trace_id"


@pytest.mark.parametrize("file", FILES)
def test_undelivered_lines_are_buffered_on_disk(file: str, plan: Plan) -> None:
    """Delivery is retried forever, more often than the alert about silence waits."""
    settings = config(plan, file)
    assert settings["pipeline"]["inputs"][0]["storage.type"] == "filesystem"
    assert output(plan, file)["retry_limit"] == "no_limits"
    waits = [alert.entry.for_.seconds for alert in plan.log_alerts if alert.entry.silence]
    assert all(settings["service"]["scheduler.cap"] < seconds for seconds in waits)


def test_prometheus_can_ask_fluent_bit_of_the_compose_stack(plan: Plan) -> None:
    """It is scraped where it listens; natively supervisord knows whether it runs."""
    native, docker = (config(plan, file)["service"] for file in FILES)
    assert "http_server" not in native
    assert (docker["http_server"], docker["http_listen"]) == (True, "0.0.0.0")
    path = ROOT / "observability/devstack/compose/prometheus.yaml"
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["scrape_configs"]
    [targets] = [job["static_configs"] for job in jobs if job["job_name"] == "fluent-bit"]
    assert targets == [{"targets": [f"fluent-bit:{docker['http_port']}"]}]


def test_lines_about_shipping_are_not_shipped(plan: Plan) -> None:
    """A line about a delivery would cause another one."""
    native, docker = (config(plan, file)["pipeline"] for file in FILES)
    assert native["inputs"][0]["exclude_path"] == "*/fluent-bit.log,*/loki.log"
    grep = next(step for step in docker["filters"] if step["name"] == "grep")
    pattern = grep["exclude"].removeprefix("program ")
    programs = ("loki", "fluent-bit", "api", "loki-proxy")
    dropped = [name for name in programs if re.search(pattern, name)]
    assert dropped == ["loki", "fluent-bit"]


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("ts=2026-01-02T03:04:05.678Z caller=main.go:1 level=info msg=x", "info"),
        (
            'ts=2026-01-02T03:04:05.678Z caller=main.go:1 level=warn msg="level=error level=error"',
            "warning",
        ),
        ("time=2026-01-02T03:04:05.678+02:00 level=ERROR source=main.go:1 msg=x", "error"),
        ("time=2026-01-02T03:04:05.678Z level=DEBUG source=main.go:1 msg=x", "debug"),
        ("[2026-01-02 03:04:05 +0000] [17] [INFO] Booting worker with pid: 18", "info"),
        ("[2026-01-02 03:04:05 +0000] [17] [CRITICAL] WORKER TIMEOUT (pid:18)", "error"),
        ("2026-01-02 03:04:05,678 INFO spawned: 'api' with pid 17", "info"),
        ("2026-01-02 03:04:05,678 WARN exited: api (exit status 1; not expected)", "warning"),
        (
            "2026-01-02 03:04:05,678 CRIT Server 'unix_http_server' running "
            "without any HTTP authentication checking",
            "error",
        ),
        ("Traceback (most recent call last):", None),
        ("an ERROR in the middle of words", None),
    ],
)
def test_levels_of_other_programs_are_normalized(line: str, level: str | None, plan: Plan) -> None:
    """Prometheus 2 and 3, Alertmanager, gunicorn, supervisord; other lines have no level."""
    patterns = [
        parser["regex"].replace("(?<", "(?P<")
        for parser in config(plan, fluentbit.NATIVE)["parsers"]
        if parser["format"] == "regex"
    ]
    matches = filter(None, (re.search(pattern, line) for pattern in patterns))
    levels = [match["level"] for match in matches][:1]
    levels = [
        name
        for name, spelling in fluentbit.SPELLINGS.items()
        for word in levels
        if re.match(f"(?i:{spelling})", word)
    ]
    assert levels == ([level] if level else [])


def test_unknown_levels_create_no_stream(plan: Plan) -> None:
    """A level that is not in the list creates no stream of its own."""
    assert set(fluentbit.SPELLINGS) == set(names.LOG_LEVELS)
    last = config(plan, fluentbit.NATIVE)["pipeline"]["filters"][-1]
    assert last["set"] == "level unknown"
    assert last["condition"] == "Key_value_does_not_match level ^(debug|info|warning|error)$"


@pytest.mark.parametrize(
    ("path", "program"), [("/a.b/state/logs/api.log", "api"), ("logs/fluent-bit.log", "fluent-bit")]
)
def test_a_file_names_its_program(path: str, program: str, plan: Plan) -> None:
    """The label comes from the file's name, whatever the folder is called."""
    [source] = config(plan, fluentbit.NATIVE)["pipeline"]["inputs"]
    match = re.search(source["tag_regex"].replace("(?<", "(?P<"), path)
    assert match
    assert match["program"] == program
