"""An API whose disk is full for a while: a small file system of its own, in its own namespace."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.platform.http import health_checks
from api.platform.types import JsonObject
from observability.spec import names
from tests.api.platform.helpers import UNLIMITED
from tests.e2e.test_postgres import create_migrated_app
from tests.e2e.test_workers import NODE, SEED
from tests.postgres_server import PostgresServer
from tests.processes import running_children
from tests.serving import free_port
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
MEGABYTES = 24
SERVER_MEGABYTES = 96  # an empty PostgreSQL has 24
BATCH = 500  # readings of a request
BATCHES = 200  # at most, until the database has to grow
CHUNK = bytes(1 << 16)
READINGS = f"/api/v1/nodes/{NODE['id']}/readings"


class SmallDisk:
    """A tmpfs that only the processes started by `command` see."""

    def __init__(self, folder: Path, holder: "subprocess.Popen[str]"):
        self.folder = folder
        self.seen_from_here = Path(f"/proc/{holder.pid}/root{folder}")
        self._enter = ["nsenter", f"--target={holder.pid}", "--user", "--mount"]

    def command(self, *words: str) -> list[str]:
        """Return the command that runs in the namespace."""
        return [*self._enter, "--preserve-credentials", f"--wd={ROOT}", *words]

    @contextmanager
    def filled(self) -> Iterator[None]:
        """Leave no space in the block."""
        filler = self.seen_from_here / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (len(CHUNK), 1):
                try:
                    while file.write(CHUNK[:size]) == size:
                        pass
                except OSError:
                    continue
        try:
            yield
        finally:
            filler.unlink()


@contextmanager
def small_disk(folder: Path, megabytes: int = MEGABYTES) -> Iterator[SmallDisk]:
    """Mount the file system and yield it; it is gone when its last process has ended."""
    folder.mkdir()
    mount = f"mount -t tmpfs -o size={megabytes}m none {folder} && echo mounted && exec cat"
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "mounted\n", "unshare may not mount a file system"
        yield SmallDisk(folder, holder)


@contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[psutil.Process]:
    """Run a program and yield it; stop it afterwards."""
    with (
        log.open("a") as output,
        subprocess.Popen(command, cwd=ROOT, env=environment, stderr=output) as process,
    ):
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(60)


def batch(number: int) -> JsonObject:
    """Return readings whose times no batch with another number has."""
    first = datetime.now(UTC) - timedelta(hours=20) + timedelta(seconds=number * BATCH)
    readings = [
        {"metric": "flow_lps", "time": (first + timedelta(seconds=n)).isoformat(), "value": n}
        for n in range(BATCH)
    ]
    return {"readings": readings}


class Api:
    """The API and its exporter on the small disk."""

    def __init__(self, start: Callable[[], psutil.Process], api: int, metrics: int, key: str):
        self._start = start
        self.master = start()
        self.metrics = f"http://127.0.0.1:{metrics}/metrics"
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{api}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
        )
        self._sent = 0

    def restart(self) -> None:
        """Stop gunicorn, so that nothing has the database open, and start it again."""
        self.master.terminate()
        self.master.wait(60)
        self.master = self._start()

    def workers(self) -> set[int]:
        return {worker.pid for worker in running_children(self.master)}

    def get_status(self, path: str) -> int:
        """Return the status of a response, 0 when there is none."""
        try:
            return self.client.get(path).status_code
        except httpx.HTTPError:
            return 0

    def post_batch(self) -> httpx.Response:
        """Store readings with new times."""
        self._sent += 1
        return self.client.post(READINGS, json=batch(self._sent))

    def count(self, code: str = "") -> float:
        """Return the number of counted requests, of all codes or of one."""
        page = httpx.get(self.metrics, timeout=60)
        assert page.status_code == 200
        return sum(
            sample.value
            for family in text_string_to_metric_families(page.text)
            for sample in family.samples
            if sample.name == f"{names.HTTP_REQUESTS}_total" and code in sample.labels[names.CODE]
        )


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


@pytest.fixture
def disk_of_server(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", SERVER_MEGABYTES) as mounted:
        yield mounted


@pytest.fixture
def api(disk: SmallDisk, tmp_path: Path) -> Iterator[Api]:
    """Yield the API with two workers and its exporter, which write to the disk only."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EVARA_", "PROMETHEUS_"))
    }
    port, metrics_port = free_port(), free_port()
    settings = inherited | {
        "EVARA_DATABASE_URL": f"sqlite:///{disk.folder}/evara.db",
        "EVARA_LIMITER_URL": f"sqlite:///{disk.folder}/limits.db",
        "EVARA_LOG_LEVEL": "WARNING",
        "EVARA_BIND": f"127.0.0.1:{port}",
        "EVARA_WORKERS": "2",
    }
    seed = disk.command(sys.executable, "-c", SEED)
    seeded = subprocess.run(seed, env=settings, check=True, capture_output=True, text=True)
    settings["PROMETHEUS_MULTIPROC_DIR"] = f"{disk.folder}/metrics"
    (disk.seen_from_here / "metrics").mkdir()
    gunicorn = ("gunicorn", "--config", "api/gunicorn.conf.py", "api.app:create_app()")
    exporter = ("api.platform.telemetry.exporter", "127.0.0.1", str(metrics_port))
    with ExitStack() as stack:

        def start(words: tuple[str, ...]) -> psutil.Process:
            command = disk.command(sys.executable, "-m", *words)
            return stack.enter_context(running(command, settings, tmp_path / f"{words[0]}.log"))

        start(exporter)
        running_api = Api(lambda: start(gunicorn), port, metrics_port, seeded.stdout.strip())
        until(lambda: running_api.get_status("/health/ready") == 200, 60, "a ready API")
        until(lambda: running_api.get_status(running_api.metrics) == 200, 60, "the exporter")
        yield running_api


def assert_writes_are_refused(api: Api) -> None:
    """Store readings until the database has to grow: a 503 says when to retry."""
    answers = (api.post_batch() for _ in range(BATCHES))
    refused = next(answer for answer in answers if answer.status_code != 201)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert refused.headers["Content-Type"] == "application/problem+json"


def test_requests_are_answered_on_a_full_disk(api: Api, disk: SmallDisk, tmp_path: Path) -> None:
    """Workers that start on a full disk answer reads; writes get 503, and all recovers."""
    assert api.client.post("/api/v1/nodes/", json=NODE).status_code == 201
    assert api.post_batch().status_code == 201
    before = api.count()
    with disk.filled():
        old = api.workers()
        for worker in old:
            os.kill(worker, signal.SIGKILL)
        until(lambda: len(api.workers() - old) == 2, 60, "new workers")
        until(lambda: api.get_status("/api/v1/nodes/") == 200, 60, "an answer")
        workers = api.workers()
        assert_writes_are_refused(api)
        ready = api.client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["checks"]["database"]["ok"]
        assert not ready.json()["checks"]["disk"]["ok"]
        assert not ready.json()["checks"]["metrics"]["ok"]
        assert api.client.get(READINGS).status_code == 200
        assert api.count() >= before
        assert api.workers() == workers
    until(lambda: api.client.get("/health/ready").json()["status"] == "ok", 60, "recovery")
    assert api.post_batch().status_code == 201
    until(lambda: api.count("503") >= 2, 60, "the counts of the time without space")
    assert api.workers() == workers
    assert not re.search("SIGBUS|Traceback", (tmp_path / "gunicorn.log").read_text())


def test_an_api_that_starts_on_a_full_disk_answers_reads(api: Api, disk: SmallDisk) -> None:
    """Also when nobody has the database open, and SQLite could not create its shared memory."""
    assert api.client.post("/api/v1/nodes/", json=NODE).status_code == 201
    with disk.filled():
        api.restart()
        until(lambda: api.get_status("/api/v1/nodes/") == 200, 60, "an answer")
        assert_writes_are_refused(api)
        checks = api.client.get("/health/ready").json()["checks"]
        assert checks["database"]["ok"]
        assert not checks["disk"]["ok"]
    until(lambda: api.client.get("/health/ready").json()["status"] == "ok", 60, "recovery")
    assert api.post_batch().status_code == 201
    assert api.client.get(READINGS).json()["total"] == BATCH


class SmallPostgres(PostgresServer):
    """A PostgreSQL whose tables lie on the small disk; its log and its WAL do not."""

    def __init__(self, disk: SmallDisk):
        super().__init__("fsync=off")
        self.data = disk.folder / "data"
        self.user = {}
        os.chown(self.folder, os.geteuid(), os.getegid())
        as_another_user = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
        self.enter = disk.command(*as_another_user)  # PostgreSQL refuses root

    def make(self, *options: str) -> None:
        super().make(f"--waldir={self.folder}/wal", *options)


def test_readiness_names_the_full_disk_of_postgresql(
    disk_of_server: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads are answered and writes get 503 meanwhile; all recovers without a restart."""
    monkeypatch.setattr(health_checks, "MAX_AGE", 0.0)
    with SmallPostgres(disk_of_server) as server, create_migrated_app(server) as app:
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {UNLIMITED}"
        assert client.post("/api/v1/nodes/", json=NODE).status_code == 201
        assert client.get("/health/ready").get_json()["status"] == "ok"
        with disk_of_server.filled():
            answers = (client.post(READINGS, json=batch(number)) for number in range(BATCHES))
            refused = next(answer for answer in answers if answer.status_code != 201)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
            ready = client.get("/health/ready")
            assert ready.status_code == 503
            checks = ready.get_json()["checks"]
            assert checks == {"database": {"ok": True}, "disk": {"ok": False}}
            detail = client.get("/health").get_json()["checks"]["disk"]["detail"]
            assert "no space left" in detail
            assert client.get(READINGS).status_code == 200
        assert client.get("/health/ready").get_json()["status"] == "ok"
        assert client.post(READINGS, json=batch(BATCHES)).status_code == 201
        server.stop()
        checks = client.get("/health/ready").get_json()["checks"]
        assert checks == {"database": {"ok": False}, "disk": {"ok": True}}  # nobody can tell
