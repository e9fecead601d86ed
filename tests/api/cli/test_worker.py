"""`flask sync` and `flask worker`: exit codes, and real workers that stop and are killed."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from multiprocessing.process import BaseProcess as Process
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult

import httpx
import psutil
import pytest
import stamina
from flask import Flask

from api.app import create_app
from api.config import Settings
from api.platform.clock import now
from api.platform.db import database
from api.platform.jobs.worker import Jobs
from api.platform.tables import Lease
from api.services.thingspeak import SYNC_JOB as SYNC
from loadtests.thingspeak_stub import CHANNELS, ENTRY_SECONDS, Handler, ThingSpeakStub
from observability.lib.bound_process import bind
from tests.api.conftest import MakeApp
from tests.api.helpers import DAY, NODE, NODES, is_synced, stored
from tests.api.platform.helpers import dead_letters
from tests.serving import serving
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[3]
DUPLICATES = 4  # tasks for a node that is being synced already
# Importing the app takes seconds: one process does it, and the workers are forked from that.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["api.app"])


class Upstream(ThingSpeakStub):
    """A ThingSpeak that answers only while its gate is open, and counts requests by channel."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), DAY)
        self.RequestHandlerClass = GatedHandler
        self.lock = threading.Lock()
        self.active = Counter[str]()  # requests that wait at the gate
        self.most_active = Counter[str]()
        self.total = Counter[str]()
        self.gate = threading.Event()

    @property
    def url(self) -> str:
        """The base URL of the API."""
        return f"http://127.0.0.1:{self.server_port}"

    def is_busy(self, channels: int) -> bool:
        """Return whether that many requests wait at the gate."""
        with self.lock:
            return len(+self.active) == channels


class GatedHandler(Handler):
    """A handler that waits until the gate is open."""

    server: Upstream

    def send_feed(self, url: SplitResult) -> None:
        server, channel = self.server, url.path.split("/")[2]
        with server.lock:
            server.active[channel] += 1
            server.total[channel] += 1
            server.most_active[channel] = max(server.most_active[channel], server.active[channel])
        server.gate.wait(60)
        with server.lock:
            server.active[channel] -= 1
        with suppress(OSError):  # the worker may have been killed
            super().send_feed(url)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serving(Upstream()) as server:
        yield server
        server.gate.set()


def run_worker(settings: dict[str, Any]) -> None:
    """Do what `flask worker` does, in a process that has already imported the app."""
    app = create_app(Settings(_env_file=None, env="test", **settings))
    Jobs(app).work()


@contextmanager
def workers(count: int, **settings: Any) -> Iterator[list[Process]]:
    """Run forked workers with these settings during a block; kill them at its end."""
    settings |= {"lease_seconds": 2, "sync_every": 0.5}
    processes = [PROCESSES.Process(target=run_worker, args=(settings,)) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.join()


def create_nodes(app: Flask, channels: Iterable[int] = CHANNELS) -> list[str]:
    """Create a node for each channel of the stub and return their ids."""
    node_ids = []
    for channel in channels:
        node_id = f"n{channel}"
        node_ids.append(node_id)
        source = {"channel_id": channel, "fields": {"field1": "flow_lps"}}
        response = app.test_client().post(NODES, json=NODE | source | {"id": node_id})
        assert response.status_code == 201
    return node_ids


def has_connection(process: Process, port: int) -> bool:
    """Return whether the process has a connection to the local port."""
    connections = psutil.Process(process.pid).net_connections("tcp4")
    return any(connection.raddr and connection.raddr.port == port for connection in connections)


def lease_owners(app: Flask) -> dict[str, str]:
    """Return the owners of the leases that have not expired, by name."""
    with app.app_context(), database().read() as session:
        rows = session.query(Lease).filter(Lease.until > now())
        return {row.name: row.owner for row in rows}


def has_taken_over(app: Flask, owners: dict[str, str]) -> bool:
    """Return whether there is a leader and no node is leased to one of the former owners."""
    current = lease_owners(app)
    nodes = [name for name in current if name.startswith(SYNC)]
    return "scheduler" in current and all(current[name] != owners.get(name) for name in nodes)


@pytest.mark.usefixtures("migrated")
def test_exit_code_of_sync_tells_whether_all_nodes_are_synced(
    make_app: MakeApp, replay: ThingSpeakStub, tmp_path: Path
) -> None:
    """0 when every node was synced, 1 when one was not; readings are stored in both cases."""
    app = make_app(
        thingspeak_url=f"http://127.0.0.1:{replay.server_port}",
        thingspeak_timeout=5,
        jobs_url=f"sqlite:///{tmp_path}/jobs.db",
    )
    runner = app.test_cli_runner()
    runner.invoke(args=["seed"])
    for node_id in ("north-well", "hill-tank"):
        app.test_client().delete(f"{NODES}/{node_id}")
    assert runner.invoke(args=["sync"]).exit_code == 0
    assert app.test_client().get(f"{NODES}/main-branch/readings").get_json()["total"] > 1400
    replay.set_mode("fail", 60)
    with stamina.set_testing(True, attempts=1):
        assert runner.invoke(args=["sync"]).exit_code == 1


def test_sync_without_tables_names_the_fix(make_app: MakeApp, tmp_path: Path) -> None:
    """A sentence as of the platform's commands, not a traceback."""
    app = make_app(database_url=f"sqlite:///{tmp_path}/new.db", jobs_url="sqlite:///:memory:")
    result = app.test_cli_runner().invoke(args=["sync"])
    assert "new.db; fix: set EVARA_DATABASE_URL" in result.output


@pytest.mark.usefixtures("migrated")
def test_sync_stores_a_late_upload(
    make_app: MakeApp, replay: ThingSpeakStub, tmp_path: Path
) -> None:
    """Two devices share a channel; one was offline and uploads 18 entries of the last 3 hours."""
    upstream = httpx.Client(base_url=f"http://127.0.0.1:{replay.server_port}")
    app = make_app(thingspeak_url=str(upstream.base_url), jobs_url=f"sqlite:///{tmp_path}/jobs.db")
    for number in (1, 2):
        source = {"channel_id": 2001, "fields": {f"field{number}": "level_m"}}
        node = NODE | source | {"id": f"tank-{number}"}
        assert app.test_client().post(NODES, json=node).status_code == 201

    def upload(field: str, ages: Iterable[int]) -> None:
        """Upload values that were measured so many minutes ago."""
        times = [now() - timedelta(minutes=age) for age in ages]
        updates = [{"created_at": time.isoformat(), field: "1.5"} for time in times]
        response = upstream.post("/channels/2001/bulk_update.json", json={"updates": updates})
        assert response.status_code == 202

    def stored_readings(node_id: str) -> int:
        return app.test_client().get(f"{NODES}/{node_id}/readings").get_json()["total"]

    runner = app.test_cli_runner()
    upload("field1", range(600, -1, -10))
    assert runner.invoke(args=["sync"]).exit_code == 0
    upload("field2", range(185, 14, -10))
    assert runner.invoke(args=["sync"]).exit_code == 0
    assert (stored_readings("tank-1"), stored_readings("tank-2")) == (61, 18)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_second_worker_takes_over_from_a_killed_one(
    kind: str,
    request: pytest.FixtureRequest,
    make_app: MakeApp,
    migrated: str,
    upstream: Upstream,
    tmp_path: Path,
) -> None:
    """Until then no node is synced by two workers at once."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    if kind == "redis":
        url = request.getfixturevalue("redis_url")
    app = make_app(jobs_url=url)
    node_ids = create_nodes(app)
    jobs = Jobs(app)
    settings = {"database_url": migrated, "jobs_url": url, "thingspeak_url": upstream.url}
    with workers(2, thingspeak_timeout=60, **settings) as processes:
        until(lambda: upstream.is_busy(len(CHANNELS)))
        # The three syncs occupy the threads of one worker, or some of both: either way the other
        # worker runs tasks for nodes that are being synced.
        for node_id in node_ids * DUPLICATES:
            jobs.runners[SYNC].enqueue(node_id)
        until(lambda: jobs.huey.pending_count() == 0)
        owners = lease_owners(app)
        assert owners.keys() >= {f"{SYNC}/{node_id}" for node_id in node_ids}
        busy = [worker for worker in processes if has_connection(worker, upstream.server_port)]
        killed = busy[0]
        killed.kill()
        killed.join()
        requests = Counter(upstream.total)
        upstream.gate.set()
        until(lambda: all(upstream.total[channel] > requests[channel] for channel in requests))
        assert set(upstream.most_active.values()) == {1}
        until(lambda: has_taken_over(app, owners))
        until(lambda: is_synced(app))
        (survivor,) = [process for process in processes if process is not killed]
        survivor.terminate()
        survivor.join(30)
        assert survivor.exitcode == 0
    assert lease_owners(app) == {}
    assert stored(app) >= 3 * DAY // ENTRY_SECONDS - 3
    assert dead_letters(app) == []


def test_sigterm_stops_the_worker_after_its_current_commit(
    make_app: MakeApp, migrated: str, upstream: Upstream, tmp_path: Path
) -> None:
    """It stores what it has read and releases its leases."""
    app = make_app()
    (node_id,) = create_nodes(app, [1001])
    settings = {
        "EVARA_DATABASE_URL": migrated,
        "EVARA_JOBS_URL": f"sqlite:///{tmp_path}/jobs.db",
        "EVARA_THINGSPEAK_URL": upstream.url,
    }
    command = [sys.executable, "-m", "flask", "--app", "api.app", "worker"]
    with subprocess.Popen(bind(command), cwd=ROOT, env=os.environ | settings) as worker:
        try:
            until(lambda: upstream.is_busy(1))
            assert f"{SYNC}/{node_id}" in lease_owners(app)
            worker.send_signal(signal.SIGTERM)
            upstream.gate.set()
            assert worker.wait(30) == 0
        finally:
            worker.kill()
    assert lease_owners(app) == {}
    assert stored(app) > 0
