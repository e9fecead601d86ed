"""Workers that are killed under load.

No acknowledged reading is lost, every response is counted, and no counter decreases.
"""

import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from observability.lib.bound_process import bind
from observability.spec import names
from tests.processes import running_children
from tests.serving import free_port
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
NODE = {"id": "killed", "name": "Under fire", "kind": "flow_meter"}
KILLS = 10
CLIENTS = 4
MOST = 20_000  # requests per client at most
ROUTE = "readings.ingest"
SEED = """
from api.app import create_app
run = create_app().test_cli_runner().invoke
keys = ["keys", "create", "devices", "--scope", "write", "--unlimited"]
for words in (["seed", "--migrate"], keys):
    result = run(args=words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
print(result.output.splitlines()[-1])
"""


@dataclass(frozen=True)
class Servers:
    """A running API with its metrics process, database and key."""

    master: psutil.Process
    api: str
    metrics: str
    database: Path
    folder: Path
    key: str

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes that have not ended."""
        return running_children(self.master)

    def read_counters(self) -> dict[str, float]:
        """Return the cumulative series of the exporter."""
        text = httpx.get(f"{self.metrics}/metrics", timeout=20).text
        return {
            f"{s.name}{sorted(s.labels.items())}": s.value
            for metric in text_string_to_metric_families(text)
            for s in metric.samples
            if metric.type in ("counter", "histogram")
            and s.name.startswith("evara_")
            and not s.name.endswith("_created")
        }

    def count_requests(self) -> float:
        """Return the number of requests to ROUTE that workers counted, ended ones included."""
        prefix = f"{names.HTTP_REQUESTS}_total"
        return sum(
            value
            for series, value in self.read_counters().items()
            if series.startswith(prefix) and f"'{ROUTE}'" in series
        )


def seed_database(environment: dict[str, str]) -> str:
    """Migrate and seed the database of these settings; return an unlimited key for writing."""
    command = [sys.executable, "-c", SEED]
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, timeout=120, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Yield a real gunicorn with two workers and a real metrics process."""
    tmp_path = tmp_path_factory.mktemp("servers")
    folder, database, log = tmp_path / "metrics", tmp_path / "evara.db", tmp_path / "gunicorn.log"
    folder.mkdir()
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("EVARA_", "PROMETHEUS_"))
    }
    settings = {
        "EVARA_DATABASE_URL": f"sqlite:///{database}",
        "EVARA_LIMITER_URL": f"sqlite:///{tmp_path}/limits.db",
        "EVARA_LOG_LEVEL": "WARNING",
        "EVARA_BIND": "127.0.0.1:0",
        "EVARA_WORKERS": "2",
    }
    environment = inherited | settings
    key = seed_database(environment)
    environment |= {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    metrics_port = free_port()
    gunicorn = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "api/gunicorn.conf.py",
        "api.app:create_app()",
    ]
    exporter = [
        sys.executable,
        "-m",
        "api.platform.telemetry.exporter",
        "127.0.0.1",
        str(metrics_port),
    ]
    with log.open("w") as output:
        processes = [
            subprocess.Popen(bind(command, "TERM"), cwd=ROOT, env=environment, stderr=output)
            for command in (gunicorn, exporter)
        ]
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
        running = Servers(
            psutil.Process(processes[0].pid),
            addresses[0],
            f"http://127.0.0.1:{metrics_port}",
            database,
            folder,
            key,
        )
        until(lambda: responds(f"{addresses[0]}/health/ready"), 60, "a ready API")
        until(lambda: responds(f"{running.metrics}/metrics"), 60, "a metrics process")
        yield running
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def responds(url: str) -> bool:
    """Return whether the URL responds with 200."""
    try:
        return httpx.get(url, timeout=20).status_code == 200
    except httpx.HTTPError:
        return False


@dataclass
class Client:
    """A device that sends one reading per request.

    It remembers the values that were acknowledged, the refusals, and how many responses were lost
    or said that nothing was stored because the database was locked for too long.
    """

    api: str
    headers: dict[str, str]
    number: int
    stop: threading.Event
    acknowledged: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    busy: int = 0
    unknown: int = 0

    def run(self) -> None:
        """Send readings until the test stops."""
        first = datetime.now(UTC) - timedelta(days=1)
        with httpx.Client(base_url=self.api, headers=self.headers, timeout=30) as http:
            for number in range(MOST):
                if self.stop.is_set():
                    return
                value = float(self.number * MOST + number)
                moment = (first + timedelta(seconds=number)).isoformat()
                body = {"readings": [{"metric": f"m{self.number}", "time": moment, "value": value}]}
                try:
                    answer = http.post(f"/api/v1/nodes/{NODE['id']}/readings", json=body)
                except httpx.HTTPError:
                    self.unknown += 1
                    self.stop.wait(0.01)
                    continue
                if answer.status_code == 201:
                    self.acknowledged.append(value)
                elif answer.status_code == 503:
                    self.busy += 1
                else:
                    self.refused.append(f"{answer.status_code} {answer.text}")


def test_killed_workers_lose_no_reading_and_no_count(servers: Servers) -> None:
    """Ten workers are killed under load: acknowledged readings are stored, counters only rise."""
    headers = {"Authorization": f"Bearer {servers.key}"}
    assert httpx.post(f"{servers.api}/api/v1/nodes/", json=NODE, headers=headers).status_code == 201
    stop = threading.Event()
    clients = [Client(servers.api, headers, number, stop) for number in range(CLIENTS)]
    threads = [threading.Thread(target=client.run) for client in clients]
    scrapes: list[dict[str, float]] = []
    killed: set[int] = set()

    def acknowledged() -> int:
        return sum(len(client.acknowledged) for client in clients)

    for thread in threads:
        thread.start()
    try:
        for _ in range(KILLS):
            before = acknowledged()
            until(lambda: acknowledged() >= before + 10, 60, "ten more answers")  # noqa: B023
            victim = servers.workers()[0]
            os.kill(victim.pid, signal.SIGKILL)
            killed.add(victim.pid)
            scrapes.append(servers.read_counters())
            until(
                lambda: len([w for w in servers.workers() if w.pid not in killed]) == 2,
                60,
                "two running workers",
            )
            scrapes.append(servers.read_counters())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    scrapes.append(servers.read_counters())

    acknowledged_values = {value for client in clients for value in client.acknowledged}
    known = len(acknowledged_values) + sum(client.busy for client in clients)
    unknown = sum(client.unknown for client in clients)
    assert [client.refused for client in clients] == [[]] * CLIENTS
    assert len(killed) == KILLS
    assert known <= servers.count_requests() <= known + unknown
    for earlier, later in pairwise(scrapes):
        assert not {
            series: (value, later.get(series))
            for series, value in earlier.items()
            if later.get(series, -1.0) < value
        }
    connection = sqlite3.connect(servers.database)
    stored = {
        value
        for (value,) in connection.execute(
            "SELECT value FROM readings WHERE node_id = ?", (NODE["id"],)
        )
    }
    connection.close()
    assert acknowledged_values <= stored
    assert len(stored) <= known + unknown
    left = {path.stem.rpartition("_")[2] for path in servers.folder.glob("*.db")}
    assert not left & {str(pid) for pid in killed}


def test_replaced_workers_finish_their_requests(servers: Servers) -> None:
    """Persistent connections lose no request while workers are replaced one by one, then by HUP."""
    stop = threading.Event()
    answered: list[int] = []
    failed: list[str] = []
    closed: list[str] = []

    def client(number: int) -> None:
        wait = random.Random(number)
        with httpx.Client(
            base_url=servers.api, headers={"Authorization": f"Bearer {servers.key}"}, timeout=60
        ) as http:
            while not stop.is_set():
                try:
                    answer = http.get("/api/v1/nodes")
                except httpx.HTTPError as error:
                    failed.append(repr(error))
                    continue
                answered.append(answer.status_code)
                if answer.headers["Connection"] == "close":
                    closed.append(answer.headers["Connection"])
                stop.wait(wait.choice((0, 0.01, 0.2)))

    def wait_until_replaced(before: set[int]) -> None:
        """Wait until none of these workers is left and the new ones respond."""
        until(
            lambda: not before & {worker.pid for worker in servers.workers()},
            60,
            "the end of the old workers",
        )
        count = len(answered)
        until(lambda: len(answered) >= count + 20 or failed, 60, "answers of new workers")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(answered) >= 50, 60, "fifty answers")
        for worker in servers.workers():
            os.kill(worker.pid, signal.SIGTERM)
            wait_until_replaced({worker.pid})
        old = {worker.pid for worker in servers.workers()}
        servers.master.send_signal(signal.SIGHUP)
        wait_until_replaced(old)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert set(answered) == {200}
    assert (
        0 < len(closed) < len(answered)
    )  # workers that end send `Connection: close`; all others keep connections


def encode_request(key: str, line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    """Return a request with the key as raw bytes."""
    return b"\r\n".join(
        (line, b"Host: x", b"Authorization: Bearer " + key.encode(), *headers, b"", body)
    )


def create_malformed_request(rng: random.Random, key: str) -> bytes:
    """Return a random malformed request."""
    request = partial(encode_request, key)
    json, post = b"Content-Type: application/json", b"POST /api/v1/nodes HTTP/1.1"
    noise = rng.randbytes(rng.randint(1, 200))
    word = bytes(rng.choices(range(33, 127), k=12))
    variants = (
        lambda: noise,
        lambda: request(word + b" /api/v1/nodes HTTP/1.1"),
        lambda: request(b"GET /" + noise.replace(b"\n", b"") + b" HTTP/1.1"),
        lambda: request(b"GET /api/v1/nodes/%" + word + b" HTTP/1.1"),
        lambda: request(b"GET /api/v1/nodes?" + word + b"=%ff%00 HTTP/1.1"),
        lambda: request(b"GET /health HTTP/" + rng.choice((b"9.9", b"0.1", b"x", b""))),
        lambda: request(b"GET /health HTTP/1.1", b"X-Large: " + b"a" * 20_000),
        lambda: request(b"GET /health HTTP/1.1", *(b"X-%d: 1" % number for number in range(200))),
        lambda: request(b"GET /" + b"a" * 10_000 + b" HTTP/1.1"),
        lambda: request(b"GET /health HTTP/1.1", b"X: " + noise),
        lambda: request(b"GET /health HTTP/1.1", noise),
        lambda: request(post, json, b"Content-Length: -1"),
        lambda: request(post, json, b"Content-Length: one", body=b"{}"),
        lambda: request(post, json, b"Content-Length: 2", b"Content-Length: 3", body=b"{}"),
        lambda: request(
            post, json, b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"{}"
        ),
        lambda: request(post, json, b"Content-Length: 100", body=b"{"),
        lambda: request(post, json, b"Content-Length: 2000000", body=b"[" * 2_000),
        lambda: request(post, json, b"Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"),
        lambda: request(post, json, b"Transfer-Encoding: chunked", body=b"2\r\n{}"),
        lambda: request(post, json, b"Transfer-Encoding: " + word, body=b"{}"),
        lambda: request(
            post, json, b"Content-Encoding: gzip", b"Content-Length: %d" % len(noise), body=noise
        ),
        lambda: request(
            post,
            b"Content-Type: application/json; charset=" + word,
            b"Content-Length: 2",
            body=b"{}",
        ),
        lambda: request(
            post, b"Content-Type: " + noise.replace(b"\n", b""), b"Content-Length: 2", body=b"{}"
        ),
        lambda: request(post, json, b"Content-Length: %d" % len(noise), body=noise),
        lambda: request(post, json, b"Content-Length: 9000", body=b"[" * 9_000),
        lambda: request(post, json, b"Content-Length: 13", body=b'{"id": "\\ud800"'),
        lambda: request(post, json, b"Expect: " + word, b"Content-Length: 2", body=b"{}"),
        lambda: request(b"DELETE /api/v1/nodes/x HTTP/1.1", json, b"Content-Length: 2", body=b"{}"),
        lambda: request(
            post,
            json,
            b"traceparent: " + word,
            b"X-Request-ID: " + noise,
            b"Content-Length: 2",
            body=b"{}",
        )[: rng.randint(1, 90)],
    )
    return rng.choice(variants)()


def test_malformed_requests_cause_no_5xx(servers: Servers) -> None:
    """A thousand malformed or truncated requests cause no traceback and no 5xx but 501."""
    rng = random.Random(7)
    address = (servers.api.split("//")[1].split(":")[0], int(servers.api.rpartition(":")[2]))
    request_by_status: dict[bytes, bytes] = {}
    answered = 0
    for _ in range(1_000):
        sent = create_malformed_request(rng, servers.key)
        with socket.create_connection(address, timeout=30) as connection:
            try:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                status = connection.recv(64)
            except OSError:  # the server closed the connection while the test was sending
                continue
        if status:
            answered += 1
            request_by_status.setdefault(status[9:12], sent)
    too_large = (
        b"".join(b"%x\r\n%s\r\n" % (60_000, b"[" * 60_000) for _ in range(20)) + b"0\r\n\r\n"
    )
    headers = (b"Content-Type: application/json", b"Transfer-Encoding: chunked")
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(
            encode_request(servers.key, b"POST /api/v1/nodes HTTP/1.1", *headers, body=too_large)
        )
        assert connection.recv(64)[9:12] == b"413"
    log = (servers.folder.parent / "gunicorn.log").read_text(encoding="utf-8", errors="replace")
    assert answered > 500
    assert {
        status: sent
        for status, sent in request_by_status.items()
        if status[:1] == b"5" and status != b"501"
    } == {}  # 501: an unknown transfer coding (RFC 9112, 6.1)
    assert "Traceback" not in log
    assert responds(f"{servers.api}/health/ready")
