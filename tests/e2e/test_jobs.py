"""A worker that is killed again and again under load.

Every crossing reaches the webhook, and no reading is lost or doubled.
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
    """A device that sends readings, and knows which of them the webhook must receive, in order."""

    api: str
    key: str
    node: str
    stop: threading.Event
    sent: list[str] = field(default_factory=list)  # times, as the API gives them back
    edges: list[tuple[str, str]] = field(default_factory=list)  # time and state
    refused: list[str] = field(default_factory=list)

    def run(self) -> None:
        chance, before = random.Random(self.node), "within"
        first = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=12)
        with httpx.Client(
            base_url=self.api, headers={"Authorization": f"Bearer {self.key}"}, timeout=30
        ) as http:
            for number in range(MOST):
                if self.stop.wait(PAUSE):
                    return
                state, moment = (
                    chance.choice(list(VALUES)),
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
    """A worker, and who starts it again."""

    def __init__(self, environment: dict[str, str], log: Path):
        self._environment, self._log = environment, log
        self.process = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "flask", "--app", "api.app", "worker"]
        with self._log.open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=self._environment, stderr=log)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = self.start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@contextmanager
def serving(environment: dict[str, str], log: Path) -> Iterator[tuple[str, str]]:
    """A real gunicorn on a migrated, seeded database: its address, and a key to it."""
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
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=output)
    try:
        found: list[str] = []
        until(
            lambda: (
                found.extend(
                    re.findall(r"Listening at: (http://127\.0\.0\.1:\d+)", log.read_text())
                )
                or found
            ),
            60,
            "listening",
        )
        until(lambda: responds(f"{found[0]}/health/ready"), 60, "a ready API")
        yield found[0], key
    finally:
        process.terminate()
        process.wait(30)


def test_kills_lose_no_crossing(tmp_path: Path, replay: ThingSpeakStub, receiver: Receiver) -> None:
    """By their keys exactly the crossings of acknowledged readings arrive, each node's in order.

    The synced recording is whole.
    """
    database, replay.history = tmp_path / "evara.db", HISTORY_SECONDS  # more than one call gives
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("EVARA_", "PROMETHEUS_"))
    }
    environment = kept | {
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
    with serving(environment, tmp_path / "api.log") as (api, key):
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
                receiver.status = 503 if kill % 2 else 204  # some are refused while the worker dies
                time.sleep(BETWEEN * random.Random(kill).random())
                worker.kill()
                receiver.status = 204
            stop.set()
            for thread in threads:
                thread.join()
            expected = {device.node: device.edges for device in devices}
            until(lambda: count(database, "deliveries") == 0, 150, "an empty outbox")
            until(
                lambda: (
                    count(database, "sync_states WHERE finished_at IS NOT NULL") == len(CHANNELS)
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
    taken = {sent.key: sent.json for sent in reversed(receiver.taken)}  # the first of each key
    told = sorted(taken.values(), key=lambda payload: payload["time"])
    assert {
        node: [(p["time"], p["state"]) for p in told if p["node"] == node] for node in expected
    } == expected
    for node in expected:
        keys = [
            key
            for key, _ in itertools.groupby(
                sent.key for sent in receiver.taken if sent.json["node"] == node
            )
        ]
        assert [taken[key]["time"] for key in keys] == [moment for moment, _ in expected[node]]
    for device in devices:
        assert count(database, f"readings WHERE node_id = '{device.node}'") == len(device.sent)
    for node in ("main-branch", "north-well", "hill-tank"):
        found, first, last = whole(database, node)
        assert (
            found == (last - first) // ENTRY_SECONDS + 1
        )  # each entry once, and none between is missing
        assert (
            first - ENTRY_SECONDS < synced - HISTORY_SECONDS
        )  # what the channel has forgotten by the time that it is asked is not owed
        assert last + ENTRY_SECONDS > began
    assert count(database, "dead_letters") == 0


def ask(database: Path, query: str) -> tuple[int, ...]:
    """The first row of the answer."""
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        row: tuple[int, ...] = connection.execute(query).fetchone()
        return row


def count(database: Path, what: str) -> int:
    return ask(database, f"SELECT count(*) FROM {what}")[0]  # noqa: S608 - the test's own words


def whole(database: Path, node: str) -> tuple[int, ...]:
    """How many readings the node has, and the Unix seconds of the oldest and of the newest."""
    times = "count(*), min(unixepoch(time)), max(unixepoch(time))"
    return ask(database, f"SELECT {times} FROM readings WHERE node_id = '{node}'")  # noqa: S608
