"""Logs with a real Loki and Fluent Bit.

Lines are found by request id, raise alerts, and arrive once each after an outage of Loki.
"""

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest

from api.platform.telemetry import logs
from observability.devstack.binaries import log_servers
from observability.generate import loki as emitter
from observability.generate.dashboards.registry import boards
from observability.lib.alerts import fetch_delivered_alerts
from observability.lib.http import Unreachable
from observability.lib.loki import Loki
from observability.lib.prometheus import Prometheus
from observability.spec import loading, names
from observability.spec.board_slugs import LOG
from observability.spec.quantities import parse_duration
from tests.e2e.conftest import Stack
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.skipif(
    not log_servers(),
    reason="loki and fluent-bit are not both on PATH, and no package registry offers them",
)
API = f'{{{names.LOG_SERVICE}="evara-api", {names.LOG_PROGRAM}="api"}}'
OUTAGE_LINES = 400


def append_lines(
    stack: Stack,
    message: str,
    request_ids: Sequence[str | None],
    level: str = "ERROR",
    age: timedelta = timedelta(0),
) -> None:
    """Append lines to the API's log, in its format."""
    with (stack.layout.logs / "api.log").open("a", encoding="utf-8") as log:
        for request_id in request_ids:
            line = {
                "level": level,
                "logger": "evara.test",
                "message": message,
                "request_id": request_id,
                "service": "evara-api",
            }
            log.write(
                json.dumps(
                    line
                    | {"timestamp": (datetime.now(UTC) - age).isoformat(timespec="microseconds")}
                )
                + "\n"
            )


@pytest.fixture
def loki(stack: Stack) -> Loki:
    """Return a client of the stack's Loki."""
    return Loki(stack.layout.url("loki"))


@pytest.fixture
def loki_metrics(stack: Stack) -> Prometheus:
    """Return a client for metric queries of Loki, which responds to them as Prometheus does."""
    return Prometheus(stack.layout.url("loki") + "/loki")


@pytest.fixture
def loki_stopped(stack: Stack) -> Iterator[None]:
    """Stop Loki; start it afterwards, whatever the test did."""
    stack.supervisorctl("stop", "loki")
    yield
    if any(
        process["name"] == "loki" and process["statename"] == "STOPPED"
        for process in stack.processes()
    ):
        stack.supervisorctl("start", "loki")


def test_request_id_finds_its_log_line(stack: Stack, loki: Loki) -> None:
    """The X-Request-ID finds the one line of its request, in a stream of three labels."""
    request_id, since = f"find-{uuid.uuid4().hex}", time.time()
    assert stack.get("/api/v1/nodes/", headers={"X-Request-ID": request_id}).is_success
    query = f'{API} | request_id="{request_id}"'
    assert eventually(lambda: bool(loki.query_lines(query, since)))
    [(labels, line)] = loki.query_lines(query, since)
    assert labels == {
        "service": "evara-api",
        "program": "api",
        "level": "info",
        "request_id": request_id,
        "trace_id": json.loads(line)["trace_id"],
    }
    assert line in (stack.layout.logs / "api.log").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["route"] == "nodes.list"


def test_late_lines_keep_their_timestamp(stack: Stack, loki: Loki) -> None:
    """A late line is stored at its own time, so that a repeated line is a duplicate."""
    request_id = f"late-{uuid.uuid4().hex}"
    append_lines(stack, "late", [request_id], "INFO", timedelta(minutes=20))
    query = f'{API} | request_id="{request_id}"'
    assert eventually(lambda: bool(loki.query_lines(query, time.time() - 3600)))
    assert loki.query_lines(query, time.time() - 600) == []


def test_streams_have_only_the_declared_labels(stack: Stack, loki_metrics: Prometheus) -> None:
    """Every process has its stream with a level; the log shippers have none."""
    stream = f'{{{names.LOG_SERVICE}="evara-api"}}'

    def label_values(label: str) -> set[str]:
        """Return the values of a label in the last hour."""
        return {
            labels.get(label, "")
            for labels, _ in loki_metrics.query(
                f"sum by ({label}) (count_over_time({stream} [1h]))"
            )
        }

    assert eventually(
        lambda: (
            {"api", "prometheus", "alertmanager", "supervisord"} <= label_values(names.LOG_PROGRAM)
        )
    )
    label_names = httpx.get(stack.layout.url("loki") + "/loki/api/v1/labels").json()["data"]
    assert set(label_names) == {names.LOG_SERVICE, names.LOG_PROGRAM, names.LOG_LEVEL}
    assert not label_values(names.LOG_PROGRAM) & {"loki", "fluent-bit", ""}
    assert label_values(names.LOG_LEVEL) <= {*names.LOG_LEVELS, names.LOG_UNKNOWN}


@pytest.mark.parametrize("program", ["prometheus", "alertmanager", "supervisord"])
def test_other_programs_lines_are_unchanged_and_have_a_level(
    program: str, stack: Stack, loki: Loki
) -> None:
    """Lines of other programs are those of the file, each with a level."""
    stream = f'{{{names.LOG_SERVICE}="evara-api", {names.LOG_PROGRAM}="{program}"}}'
    assert eventually(lambda: bool(loki.query_lines(stream, time.time() - 3600)))
    written = set((stack.layout.logs / f"{program}.log").read_text(encoding="utf-8").splitlines())
    lines = loki.query_lines(stream, time.time() - 3600)
    assert {line for _, line in lines} <= written
    assert {labels[names.LOG_LEVEL] for labels, _ in lines} <= set(names.LOG_LEVELS)


def test_null_request_id_is_not_indexed(stack: Stack, loki: Loki) -> None:
    """Lines outside requests and jobs have no request id in Loki."""
    message = f"nobody-{uuid.uuid4().hex}"
    append_lines(stack, message, [None], "INFO")
    query = f'{API} |= "{message}"'
    assert eventually(lambda: bool(loki.query_lines(query, time.time() - 3600)))
    assert not [
        labels
        for labels, _ in loki.query_lines(query, time.time() - 3600)
        if "request_id" in labels
    ]


def test_job_lines_have_an_id(loki: Loki) -> None:
    """The lines of a sync are found by its id, like those of a request."""
    worker = f'{{{names.LOG_SERVICE}="evara-api", {names.LOG_PROGRAM}="worker"}}'
    stream = f'{worker} |= "{logs.JOB_DONE}"'
    assert eventually(lambda: bool(loki.query_lines(stream, time.time() - 3600)))
    for labels, line in loki.query_lines(stream, time.time() - 3600):
        assert labels["request_id"] == json.loads(line)["request_id"]


def test_log_rules_are_healthy(stack: Stack) -> None:
    """Loki evaluates the catalogue's alerts without an error; LogSilence does not fire."""
    ruler = Prometheus(stack.layout.url("loki") + "/prometheus")

    def rule_health() -> dict[str, str]:
        """Return the health of each rule."""
        return {
            rule["name"]: rule["health"] for group in ruler.rule_groups() for rule in group["rules"]
        }

    expected = {alert.name: "ok" for alert in loading.load_plan().log_alerts}
    assert eventually(lambda: rule_health() == expected), rule_health()
    assert eventually(
        lambda: "LogSilence" not in {alert["labels"]["alertname"] for alert in ruler.alerts()}
    )


def test_error_burst_is_delivered(stack: Stack) -> None:
    """More error lines than the catalogue allows reach the inbox as a ticket for the owner."""
    entries = {alert.name: alert for alert in loading.load_plan().log_alerts}
    burst = entries["LogErrorBurst"].entry.more_than
    assert burst is not None
    append_lines(
        stack, logs.UNHANDLED_EXCEPTION, [f"burst-{uuid.uuid4().hex}" for _ in range(burst + 5)]
    )

    def delivered_alerts() -> dict[str, dict[str, dict[str, str]]]:
        """Return the delivered alerts by name."""
        return {
            alert["labels"]["alertname"]: alert
            for alert in fetch_delivered_alerts(stack.layout.url("console"))
        }

    assert eventually(
        lambda: {"LogErrorBurst", "LogUnhandledException"} <= delivered_alerts().keys()
    ), delivered_alerts().keys()
    for name in ("LogErrorBurst", "LogUnhandledException"):
        alert, entry = delivered_alerts()[name], entries[name]
        assert (alert["labels"][names.SEVERITY], alert["labels"][names.OWNER]) == (
            entry.entry.severity,
            entry.owner,
        )
        assert alert["annotations"][names.NEXT_STEPS].startswith("1. ")
        assert f"{burst + 5} " in alert["annotations"]["summary"]


@pytest.fixture
def fast_silence_alert(stack: Stack) -> Iterator[str]:
    """Yield the name of the silence alert, which fires in seconds instead of minutes.

    Loki reloads the rules by itself.
    """
    path = stack.layout.config / "loki-rules" / emitter.TENANT / "rules.yaml"
    shipped, plan = path.read_text(encoding="utf-8"), loading.load_plan()
    [silence] = [alert for alert in plan.log_alerts if alert.entry.silence]
    fast_entry = silence.entry.model_copy(
        update={"over": parse_duration("20s"), "for_": parse_duration("0s")}
    )
    fast_plan = replace(
        plan,
        log_alerts=(replace(silence, entry=fast_entry),),
        clock=plan.clock._replace(thin=Decimal(5)),
    )
    path.write_text(emitter.render(fast_plan)[emitter.RULES], encoding="utf-8")
    yield silence.name
    path.write_text(shipped, encoding="utf-8")


def test_silence_alert_fires_and_resolves(stack: Stack, fast_silence_alert: str) -> None:
    """The alert fires without new lines of requests, and resolves when they come again."""
    ruler = Prometheus(stack.layout.url("loki") + "/prometheus")

    def rule_intervals() -> set[float]:
        """Return the intervals of the rule groups."""
        return {group["interval"] for group in ruler.rule_groups()}

    def is_firing() -> bool:
        """Return whether the silence alert fires."""
        return any(
            alert["labels"]["alertname"] == fast_silence_alert and alert["state"] == "firing"
            for alert in ruler.alerts()
        )

    assert eventually(lambda: rule_intervals() == {5.0})
    time.sleep(10)  # two evaluations
    assert not is_firing()
    stack.supervisorctl("stop", "fluent-bit")
    assert eventually(is_firing)
    stack.supervisorctl("start", "fluent-bit")
    assert eventually(lambda: not is_firing())


@pytest.mark.usefixtures("loki_stopped")
def test_lines_of_an_outage_arrive_once(stack: Stack, loki: Loki, loki_metrics: Prometheus) -> None:
    """Lines written while Loki is stopped arrive once each, though Fluent Bit is killed."""
    message, since = f"outage-{uuid.uuid4().hex}", time.time()
    request_ids = [f"{message}-{number}" for number in range(OUTAGE_LINES)]
    half = len(request_ids) // 2
    append_lines(stack, message, request_ids[:half], "INFO")
    time.sleep(3)  # so that some lines are read and buffered on disk
    killed_pid = stack.pid("fluent-bit")
    os.kill(killed_pid, signal.SIGKILL)
    append_lines(stack, message, request_ids[half:], "INFO")
    assert eventually(lambda: stack.pid("fluent-bit") not in (killed_pid, 0))
    with pytest.raises(Unreachable):
        loki.query_lines(API, since)
    stack.supervisorctl("start", "loki")

    def arrived_ids() -> list[str]:
        """Return the request ids of the lines that arrived."""
        return sorted(
            labels["request_id"] for labels, _ in loki.query_lines(f'{API} |= "{message}"', since)
        )

    assert eventually(lambda: len(arrived_ids()) >= len(request_ids)), (
        f"{len(arrived_ids())} of {len(request_ids)}"
    )
    time.sleep(5)  # duplicates arrive late
    assert arrived_ids() == sorted(request_ids)
    totals = loki_metrics.query(f'sum(count_over_time({API} |= "{message}" [1h]))')
    assert [value for _, value in totals] == [len(request_ids)]


def test_log_board_queries_return_data(loki: Loki, loki_metrics: Prometheus) -> None:
    """Every query of the board of logs is valid and returns data."""
    variables = {"program": ".*", "level": ".*", "request": "", "text": "", "__auto": "5m"}
    board = next(board for board in boards(loading.load_plan()) if board.slug == LOG)
    queries = [query.expr for panel in board.panels for query in panel.bind(**variables).queries]
    counts, lines = (
        [query for query in queries if query.startswith("sum")],
        [query for query in queries if query.startswith("{")],
    )
    assert eventually(lambda: all(loki_metrics.query(query) for query in counts))
    assert eventually(lambda: all(loki.query_lines(query, time.time() - 600) for query in lines))
    assert len(queries) == len(counts) + len(lines)
