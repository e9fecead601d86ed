"""gunicorn with the settings of the API: killed masters, and settings that change meanwhile."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil

from tests.processes import is_running, running_children
from tests.serving import free_port
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[4]
APP = """
import os, pathlib, time

folder = pathlib.Path(__file__).parent
if os.environ.get("EVARA_VERSION") == "slow":
    (folder / f"importing-{os.getpid()}").touch()
    while not (folder / "gate").exists():
        time.sleep(0.05)

if os.environ.get("EVARA_VERSION") == "broken":
    (folder / f"importing-{os.getpid()}").touch()
    raise RuntimeError("an invalid setting")

def app(environ, start_response):
    body = environ["wsgi.input"].read()
    version = os.environ.get("EVARA_VERSION", "none")
    headers = [("Content-Length", "0"), ("X-Pid", str(os.getpid())), ("X-Version", version)]
    headers.append(("X-Stops", str(stops)))
    start_response("200 OK", headers)
    return [body[:0]]

stops = False

def announce_stop():
    global stops
    stops = True

app.announce_stop = announce_stop
"""
UNFINISHED = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def running_gunicorn(
    folder: Path, port: int, **settings: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Yield a gunicorn with two workers and the settings of the API, for another app."""
    (folder / "body.py").write_text(APP)
    command = (
        f"{sys.executable} -m gunicorn --config {ROOT}/api/gunicorn.conf.py"
        f" --pythonpath {folder} body:app"
    )
    path = folder / "environment.json"
    environment = os.environ | {"EVARA_ENVIRONMENT_FILE": str(path)}
    write_settings(folder, EVARA_BIND=f"127.0.0.1:{port}", **settings)
    with subprocess.Popen(command.split(), cwd=ROOT, env=environment) as process:
        workers: list[psutil.Process] = []
        try:
            until(lambda: process.poll() is not None or responds(process, port), 60, "an answer")
            assert process.poll() is None, "gunicorn ended: it could not listen"
            workers = running_children(psutil.Process(process.pid))
            yield process
        finally:
            process.terminate()
            process.wait(30)
            for worker in workers:
                if is_running(worker):
                    worker.kill()


def write_settings(folder: Path, **settings: str) -> None:
    """Write the file that gunicorn reads when it starts, and again on SIGHUP."""
    (folder / "environment.json").write_text(json.dumps({"EVARA_WORKERS": "2"} | settings))


def responds(master: "subprocess.Popen[bytes]", port: int) -> bool:
    """Return whether a worker of this master answers a new connection."""
    worker_pids = {worker.pid for worker in running_children(psutil.Process(master.pid))}
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return answering_pid(connection, GET) in worker_pids
    except OSError:
        return False


def answering_pid(connection: socket.socket, request: bytes) -> int | None:
    """Send a request, or the rest of one, and return the process that answered it."""
    connection.sendall(request)
    match = re.search(rb"X-Pid: (\d+)", connection.recv(4096))
    return int(match[1]) if match else None


def test_orphaned_workers_free_the_port_and_finish_their_requests(tmp_path: Path) -> None:
    """A new master can listen while workers of a killed one still read a request."""
    port = free_port()
    with ExitStack() as stack:
        first = stack.enter_context(running_gunicorn(tmp_path, port))
        slow = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
        slow.sendall(UNFINISHED)
        assert b"100 Continue" in slow.recv(4096)  # a worker is reading the body
        old_workers = {worker.pid for worker in running_children(psutil.Process(first.pid))}
        first.send_signal(signal.SIGKILL)
        first.wait()
        stack.enter_context(running_gunicorn(tmp_path, port))
        assert answering_pid(slow, b"}") in old_workers


def test_changed_settings_reach_new_workers_without_a_refused_connection(tmp_path: Path) -> None:
    """SIGHUP gives new workers the settings of the file, and the old ones are never missing."""
    port = free_port()
    address = f"127.0.0.1:{port}"

    def version() -> str:
        return httpx.get(f"http://{address}/", timeout=60).headers["X-Version"]

    with running_gunicorn(tmp_path, port) as master:
        for settings, expected in (({"EVARA_VERSION": "2"}, "2"), ({}, "none")):
            write_settings(tmp_path, EVARA_BIND=address, **settings)
            master.send_signal(signal.SIGHUP)
            until(lambda expected=expected: version() == expected, 60, "the new settings")
        assert master.poll() is None


def test_old_workers_answer_until_the_new_ones_have_imported_the_app(tmp_path: Path) -> None:
    """A reload leaves no time in which nobody answers, however long the app takes to start."""
    port = free_port()
    address = f"127.0.0.1:{port}"

    def answer() -> tuple[str, int]:
        headers = httpx.get(f"http://{address}/", timeout=20).headers
        return headers["X-Version"], int(headers["X-Pid"])

    def workers() -> set[int]:
        return {worker.pid for worker in running_children(psutil.Process(master.pid))}

    def importing() -> set[int]:
        return {int(path.name.split("-")[1]) for path in tmp_path.glob("importing-*")}

    with running_gunicorn(tmp_path, port) as master:
        write_settings(tmp_path, EVARA_BIND=address, EVARA_VERSION="slow")
        master.send_signal(signal.SIGHUP)
        until(lambda: len(importing()) == 2, 60, "the import in both new workers")
        for _ in range(50):
            version, pid = answer()
            assert version == "none"
            assert pid not in importing()
        (tmp_path / "gate").touch()
        until(lambda: workers() == importing(), 60, "the end of the old workers")
        version, pid = answer()
        assert version == "slow"
        assert pid in importing()


def test_old_workers_stay_when_new_ones_cannot_start(tmp_path: Path) -> None:
    """A broken setting takes nobody away, and a corrected one reaches new workers."""
    port = free_port()
    address = f"127.0.0.1:{port}"

    def version() -> str:
        return httpx.get(f"http://{address}/", timeout=20).headers["X-Version"]

    def workers() -> set[int]:
        return {worker.pid for worker in running_children(psutil.Process(master.pid))}

    with running_gunicorn(tmp_path, port) as master:
        until(lambda: len(workers()) == 2, 60, "both workers")
        old = workers()
        write_settings(tmp_path, EVARA_BIND=address, EVARA_VERSION="broken", EVARA_WORKERS="3")
        master.send_signal(signal.SIGHUP)
        until(lambda: list(tmp_path.glob("importing-*")), 60, "the import in a new worker")
        until(lambda: workers() == old, 60, "the end of the new workers")
        assert [version() for _ in range(20)] == ["none"] * 20
        write_settings(tmp_path, EVARA_BIND=address, EVARA_VERSION="2")
        master.send_signal(signal.SIGHUP)
        until(lambda: version() == "2", 60, "the new settings")
        until(lambda: len(workers()) == 2 and not workers() & old, 60, "the end of the old workers")
        assert master.poll() is None


def test_stopping_server_announces_it_and_answers_meanwhile(tmp_path: Path) -> None:
    """A load balancer can take it out before the port is closed; a second signal ends the wait."""
    port = free_port()
    address = f"127.0.0.1:{port}"

    def stopping() -> set[str]:
        headers = [httpx.get(f"http://{address}/", timeout=20).headers for _ in range(20)]
        return {answer["X-Pid"] for answer in headers if answer["X-Stops"] == "True"}

    with running_gunicorn(tmp_path, port, EVARA_DRAIN_SECONDS="3600") as master:
        assert stopping() == set()
        master.send_signal(signal.SIGTERM)
        until(lambda: len(stopping()) == 2, 60, "the announcement of both workers")
        master.send_signal(signal.SIGTERM)
        assert master.wait(60) == 0
