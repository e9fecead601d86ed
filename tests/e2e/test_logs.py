"""Logs, with real servers.

Lines are found by their request's id, alert somebody, and are all there once after Loki was away.
"""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest

from observability.devstack.binaries import log_servers
from observability.devstack.supervisor import socket_path
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


def write(
    stack: Stack,
    message: str,
    ids: Sequence[str | None],
    level: str = "ERROR",
    age: timedelta = timedelta(0),
) -> None:
    """Lines as the API writes them, at the end of its log."""
    with (stack.layout.logs / "api.log").open("a", encoding="utf-8") as log:
        for request_id in ids:
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


def supervise(stack: Stack, *words: str) -> None:
    command = [
        sys.executable,
        "-m",
        "supervisor.supervisorctl",
        "-s",
        f"unix://{socket_path(stack.layout)}",
        *words,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@pytest.fixture
def loki(stack: Stack) -> Loki:
    return Loki(stack.layout.url("loki"))


@pytest.fixture
def loki_away(stack: Stack) -> Iterator[None]:
    """Loki is stopped, and runs again afterwards whatever the test did."""
    supervise(stack, "stop", "loki")
    yield
    if any(
        process["name"] == "loki" and process["statename"] == "STOPPED"
        for process in stack.processes()
    ):
        supervise(stack, "start", "loki")


def test_a_request_is_found_by_its_id(stack: Stack, loki: Loki) -> None:
    """The X-Request-ID finds the one line of its request, in a stream of three labels."""
    mark, since = f"find-{uuid.uuid4().hex}", time.time()
    assert stack.get("/api/v1/nodes/", headers={"X-Request-ID": mark}).is_success
    question = f'{API} | request_id="{mark}"'
    assert eventually(lambda: bool(loki.query_lines(question, since)))
    [(labels, line)] = loki.query_lines(question, since)
    assert labels == {
        "service": "evara-api",
        "program": "api",
        "level": "info",
        "request_id": mark,
        "trace_id": json.loads(line)["trace_id"],
    }
    assert line in (stack.layout.logs / "api.log").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["route"] == "nodes.list"


def test_a_line_keeps_its_own_time(stack: Stack, loki: Loki) -> None:
    """A late line is stored at its own time, so that a line that comes twice is the same one."""
    mark = f"late-{uuid.uuid4().hex}"
    write(stack, "late", [mark], "INFO", timedelta(minutes=20))
    question = f'{API} | request_id="{mark}"'
    assert eventually(lambda: bool(loki.query_lines(question, time.time() - 3600)))
    assert loki.query_lines(question, time.time() - 600) == []


def test_streams_have_the_declared_labels_alone(stack: Stack, loki: Loki) -> None:
    """Every process is there by its name and with a level, and the shippers themselves are not."""
    everything = f'{{{names.LOG_SERVICE}="evara-api"}}'

    def values(label: str) -> set[str]:
        return {
            labels.get(label, "")
            for labels, _ in loki.query(f"sum by ({label}) (count_over_time({everything} [1h]))")
        }

    assert eventually(
        lambda: {"api", "prometheus", "alertmanager", "supervisord"} <= values(names.LOG_PROGRAM)
    )
    found = httpx.get(stack.layout.url("loki") + "/loki/api/v1/labels").json()["data"]
    assert set(found) == {names.LOG_SERVICE, names.LOG_PROGRAM, names.LOG_LEVEL}
    assert not values(names.LOG_PROGRAM) & {"loki", "fluent-bit", ""}
    assert values(names.LOG_LEVEL) <= {*names.LOG_LEVELS, names.LOG_UNKNOWN}


@pytest.mark.parametrize("program", ["prometheus", "alertmanager", "supervisord"])
def test_foreign_lines_keep_their_words_and_get_a_level(
    program: str, stack: Stack, loki: Loki
) -> None:
    """The lines are those of the file, and a level was found in every one."""
    stream = f'{{{names.LOG_SERVICE}="evara-api", {names.LOG_PROGRAM}="{program}"}}'
    assert eventually(lambda: bool(loki.query_lines(stream, time.time() - 3600)))
    written = set((stack.layout.logs / f"{program}.log").read_text(encoding="utf-8").splitlines())
    lines = loki.query_lines(stream, time.time() - 3600)
    assert {line for _, line in lines} <= written
    assert {labels[names.LOG_LEVEL] for labels, _ in lines} <= set(names.LOG_LEVELS)


def test_a_line_of_no_request_has_no_id(stack: Stack, loki: Loki) -> None:
    """Lines outside requests and jobs have null for an id, which is no word to find anything by."""
    mark = f"nobody-{uuid.uuid4().hex}"
    write(stack, mark, [None], "INFO")
    question = f'{API} |= "{mark}"'
    assert eventually(lambda: bool(loki.query_lines(question, time.time() - 3600)))
    assert not [
        labels
        for labels, _ in loki.query_lines(question, time.time() - 3600)
        if "request_id" in labels
    ]


def test_lines_of_a_job_share_an_id(loki: Loki) -> None:
    """A run of the sync is found by its id, like a request."""
    stream = f'{{{names.LOG_SERVICE}="evara-api", {names.LOG_PROGRAM}="worker"}} |= "job done"'
    assert eventually(lambda: bool(loki.query_lines(stream, time.time() - 3600)))
    for labels, line in loki.query_lines(stream, time.time() - 3600):
        assert labels["request_id"] == json.loads(line)["request_id"]


def test_every_log_rule_is_evaluated(stack: Stack) -> None:
    """Loki's ruler has the catalogue's alerts, and no error with any.

    None is about silence once lines have come.
    """
    ruler = Prometheus(stack.layout.url("loki") + "/prometheus")

    def health() -> dict[str, str]:
        return {
            rule["name"]: rule["health"] for group in ruler.rule_groups() for rule in group["rules"]
        }

    wanted = {alert.name: "ok" for alert in loading.load_plan().log_alerts}
    assert eventually(lambda: health() == wanted), health()
    assert eventually(
        lambda: "LogSilence" not in {alert["labels"]["alertname"] for alert in ruler.alerts()}
    )


def test_a_burst_of_errors_is_delivered(stack: Stack) -> None:
    """More error lines than the catalogue allows reach the inbox as a ticket for the owner."""
    entries = {alert.name: alert for alert in loading.load_plan().log_alerts}
    burst = entries["LogErrorBurst"].entry.more_than
    assert burst is not None
    write(stack, "unhandled exception", [f"burst-{uuid.uuid4().hex}" for _ in range(burst + 5)])

    def delivered() -> dict[str, dict[str, dict[str, str]]]:
        return {
            alert["labels"]["alertname"]: alert
            for alert in fetch_delivered_alerts(stack.layout.url("console"))
        }

    assert eventually(lambda: {"LogErrorBurst", "LogUnhandledException"} <= delivered().keys()), (
        delivered().keys()
    )
    for name in ("LogErrorBurst", "LogUnhandledException"):
        found, entry = delivered()[name], entries[name]
        assert (found["labels"][names.SEVERITY], found["labels"][names.OWNER]) == (
            entry.entry.severity,
            entry.owner,
        )
        assert found["annotations"][names.NEXT_STEPS].startswith("1. ")
        assert f"{burst + 5} " in found["annotations"]["summary"]


@pytest.fixture
def hasty(stack: Stack) -> Iterator[str]:
    """The alert about silence, over seconds instead of minutes.

    Loki reads the rules again by itself.
    """
    path = stack.layout.config / "loki-rules" / emitter.TENANT / "rules.yaml"
    shipped, made = path.read_text(encoding="utf-8"), loading.load_plan()
    [silence] = [alert for alert in made.log_alerts if alert.entry.silence]
    soon = silence.entry.model_copy(
        update={"over": parse_duration("20s"), "for_": parse_duration("0s")}
    )
    quick = replace(
        made, log_alerts=(replace(silence, entry=soon),), clock=replace(made.clock, thin=Decimal(5))
    )
    path.write_text(emitter.render(quick)[emitter.RULES], encoding="utf-8")
    yield silence.name
    path.write_text(shipped, encoding="utf-8")


def test_silence_is_noticed_and_ends(stack: Stack, hasty: str) -> None:
    """Without new lines of requests the alert fires, and it resolves as soon as they come again.

    Before, it is silent.
    """
    ruler = Prometheus(stack.layout.url("loki") + "/prometheus")

    def interval() -> set[float]:
        return {group["interval"] for group in ruler.rule_groups()}

    def firing() -> bool:
        return any(
            alert["labels"]["alertname"] == hasty and alert["state"] == "firing"
            for alert in ruler.alerts()
        )

    assert eventually(lambda: interval() == {5.0})
    time.sleep(10)  # two evaluations
    assert not firing()
    supervise(stack, "stop", "fluent-bit")
    assert eventually(firing)
    supervise(stack, "start", "fluent-bit")
    assert eventually(lambda: not firing())


@pytest.mark.usefixtures("loki_away")
def test_nothing_is_lost_and_nothing_comes_twice(stack: Stack, loki: Loki) -> None:
    """Lines written while Loki is away, with Fluent Bit killed in between, arrive once each."""
    mark, since = f"outage-{uuid.uuid4().hex}", time.time()
    ids = [f"{mark}-{number}" for number in range(OUTAGE_LINES)]
    half = len(ids) // 2
    write(stack, mark, ids[:half], "INFO")
    time.sleep(3)  # so that some were read, and wait on disk
    dead = stack.pid("fluent-bit")
    os.kill(dead, signal.SIGKILL)
    write(stack, mark, ids[half:], "INFO")
    assert eventually(lambda: stack.pid("fluent-bit") not in (dead, 0))
    with pytest.raises(Unreachable):
        loki.query_lines(API, since)
    supervise(stack, "start", "loki")

    def arrived() -> list[str]:
        return sorted(
            labels["request_id"] for labels, _ in loki.query_lines(f'{API} |= "{mark}"', since)
        )

    assert eventually(lambda: len(arrived()) >= len(ids)), f"{len(arrived())} of {len(ids)}"
    time.sleep(5)  # what comes twice comes late
    assert arrived() == sorted(ids)
    counted = loki.query(f'sum(count_over_time({API} |= "{mark}" [1h]))')
    assert [value for _, value in counted] == [len(ids)]


def test_the_log_board_has_answers(loki: Loki) -> None:
    """Every question of the board is understood, and lines are there."""
    chosen = {"program": ".*", "level": ".*", "request": "", "text": "", "__auto": "5m"}
    board = next(board for board in boards(loading.load_plan()) if board.slug == LOG)
    queries = [query.expr for panel in board.panels for query in panel.bind(**chosen).queries]
    counts, lines = (
        [query for query in queries if query.startswith("sum")],
        [query for query in queries if query.startswith("{")],
    )
    assert eventually(lambda: all(loki.query(query) for query in counts))
    assert eventually(lambda: all(loki.query_lines(query, time.time() - 600) for query in lines))
    assert len(queries) == len(counts) + len(lines)
