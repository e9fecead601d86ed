"""A worker that is killed repeatedly under load.

Every crossing reaches the webhook, and no reading is lost or duplicated.
"""

import itertools
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from loadtests.thingspeak_stub import CHANNELS, ENTRY_SECONDS, HISTORY_SECONDS, ThingSpeakStub
from observability.lib.bound_process import bind
from tests.e2e.test_workers import ROOT, responds, seed_database, until
from tests.receiver import Receiver, receiving

KILLS = 3
BETWEEN = 1.2  # seconds; a worker needs about one to begin
CLIENTS = 3
PAUSE = 0.5  # seconds between a client's requests
MOST = 5_000  # requests per client at most
VALUES = {"below": 0.1, "within": 1.0, "above": 9.0}
LIMITS = {"level_m": {"below": 0.5, "above": 3.0}}


@dataclass
class Device:
    """A device that sends readings and records the crossings that the webhook must receive."""

    api: str
    key: str
    node: str
    stop: threading.Event
    sent: list[str] = field(default_factory=list)  # times, as the API returns them
    edges: list[tuple[str, str]] = field(default_factory=list)  # time and state
    refused: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Send readings until the test stops."""
        rng, before = random.Random(self.node), "within"
        first = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=12)
        with httpx.Client(
            base_url=self.api, headers={"Authorization": f"Bearer {self.key}"}, timeout=30
        ) as http:
            for number in range(MOST):
                if self.stop.wait(PAUSE):
                    return
                state, moment = (
                    rng.choice(list(VALUES)),
                    (first + timedelta(seconds=number)).isoformat(),
                )
                body = {"readings": [{"metric": "level_m", "time": moment, "value": VALUES[state]}]}
                answer = http.post(f"/api/v1/nodes/{self.node}/readings", json=body)
                if answer.status_code == 503:
                    continue  # the database was busy for too long, and nothing was stored
                if answer.status_code != 201:
                    self.refused.append(answer.text)
                    continue
                self.sent.append(moment)
                if state != before:
                    self.edges.append((moment, state))
                before = state


class Worker:
    """A worker process that can be killed and started again."""

    def __init__(self, environment: dict[str, str], log: Path):
        self._environment, self._log = environment, log
        self.process = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the worker and return its process."""
        command = [sys.executable, "-m", "flask", "--app", "api.app", "worker"]
        with self._log.open("ab") as log:
            return subprocess.Popen(bind(command), cwd=ROOT, env=self._environment, stderr=log)

    def kill(self) -> None:
        """Kill the worker and start another one."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = self.start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@contextmanager
def run_api(environment: dict[str, str], log: Path) -> Iterator[tuple[str, str]]:
    """Run gunicorn on a migrated, seeded database; yield its address and a key."""
    key = seed_database(environment)
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "api/gunicorn.conf.py",
        "api.app:create_app()",
    ]
    with log.open("w") as output:
        process = subprocess.Popen(bind(command, "TERM"), cwd=ROOT, env=environment, stderr=output)
    try:
        addresses: list[str] = []
        until(
            lambda: (
                addresses.extend(
                    re.findall(r"Listening at: (http://127\.0\.0\.1:\d+)", log.read_text())
                )
                or addresses
            ),
            60,
            "listening",
        )
        until(lambda: responds(f"{addresses[0]}/health/ready"), 60, "a ready API")
        yield addresses[0], key
    finally:
        process.terminate()
        process.wait(30)


def test_killed_workers_lose_no_crossing(
    tmp_path: Path, replay: ThingSpeakStub, receiver: Receiver
) -> None:
    """The webhook gets the crossings of acknowledged readings, in order; the sync has no gap."""
    database, replay.history = tmp_path / "evara.db", HISTORY_SECONDS  # more than one call gives
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("EVARA_", "PROMETHEUS_"))
    }
    environment = inherited | {
        "EVARA_DATABASE_URL": f"sqlite:///{database}",
        "EVARA_JOBS_URL": f"sqlite:///{tmp_path}/jobs.db",
        "EVARA_LIMITER_URL": f"sqlite:///{tmp_path}/limits.db",
        "EVARA_THINGSPEAK_URL": f"http://127.0.0.1:{replay.server_port}",
        "EVARA_WEBHOOK_URL": receiver.url,
        "EVARA_RETRY_SECONDS": "0.1",
        "EVARA_LEASE_SECONDS": "2",
        "EVARA_SYNC_EVERY": "1",
        "EVARA_LOG_LEVEL": "WARNING",
        "EVARA_BIND": "127.0.0.1:0",
        "EVARA_WORKERS": "2",
    }
    with run_api(environment, tmp_path / "api.log") as (api, key):
        for number in range(CLIENTS):
            node = {
                "id": f"device-{number}",
                "name": "Under fire",
                "kind": "water_tank",
                "alarms": LIMITS,
            }
            assert (
                httpx.post(
                    f"{api}/api/v1/nodes", json=node, headers={"Authorization": f"Bearer {key}"}
                ).status_code
                == 201
            )
        stop, began = threading.Event(), time.time()
        devices = [Device(api, key, f"device-{number}", stop) for number in range(CLIENTS)]
        threads = [threading.Thread(target=device.run) for device in devices]
        worker = Worker(environment, tmp_path / "worker.log")
        try:
            for thread in threads:
                thread.start()
            for kill in range(KILLS):
                arrived = len(receiver.sent)
                until(lambda: len(receiver.sent) > arrived, 60, "another delivery")  # noqa: B023
                # some deliveries are refused while the worker ends
                receiver.status = 503 if kill % 2 else 204
                time.sleep(BETWEEN * random.Random(kill).random())
                worker.kill()
                receiver.status = 204
            stop.set()
            for thread in threads:
                thread.join()
            expected = {device.node: device.edges for device in devices}
            until(lambda: count_rows(database, "deliveries") == 0, 150, "an empty outbox")
            until(
                lambda: (
                    count_rows(database, "sync_states WHERE finished_at IS NOT NULL")
                    == len(CHANNELS)
                ),
                60,
                "every node synced",
            )
            synced = time.time()
        finally:
            stop.set()
            worker.process.kill()
            worker.process.wait()
    assert [device.refused for device in devices] == [[]] * CLIENTS
    # reversed, so that the first delivery of each key stays
    delivery_by_key = {sent.key: sent.json for sent in reversed(receiver.taken)}
    deliveries = sorted(delivery_by_key.values(), key=lambda payload: payload["time"])
    assert {
        node: [(p["time"], p["state"]) for p in deliveries if p["node"] == node]
        for node in expected
    } == expected
    for node in expected:
        keys = [
            key
            for key, _ in itertools.groupby(
                sent.key for sent in receiver.taken if sent.json["node"] == node
            )
        ]
        assert [delivery_by_key[key]["time"] for key in keys] == [
            moment for moment, _ in expected[node]
        ]
    for device in devices:
        assert count_rows(database, f"readings WHERE node_id = '{device.node}'") == len(device.sent)
    for node in ("main-branch", "north-well", "hill-tank"):
        number_of_readings, first, last = summarize_readings(database, node)
        assert (
            number_of_readings == (last - first) // ENTRY_SECONDS + 1
        )  # each entry once, without a gap
        assert (
            first - ENTRY_SECONDS < synced - HISTORY_SECONDS
        )  # entries that the channel no longer has cannot be synced
        assert last + ENTRY_SECONDS > began
    assert count_rows(database, "dead_letters") == 0


def fetch_row(database: Path, query: str) -> tuple[int, ...]:
    """Return the first row of a query."""
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        row: tuple[int, ...] = connection.execute(query).fetchone()
        return row


def count_rows(database: Path, what: str) -> int:
    """Return the number of rows of a table, with an optional condition."""
    return fetch_row(database, f"SELECT count(*) FROM {what}")[0]  # noqa: S608 - the test's own words


def summarize_readings(database: Path, node: str) -> tuple[int, ...]:
    """Return a node's number of readings and the Unix seconds of the oldest and newest."""
    times = "count(*), min(unixepoch(time)), max(unixepoch(time))"
    return fetch_row(database, f"SELECT {times} FROM readings WHERE node_id = '{node}'")  # noqa: S608
