"""The cost of a request beside the same view bare, in process and under gunicorn.

Costs are CPU time: a busy machine prolongs the wall-clock time of a request, not the work in it.
In process, requests go straight to the app over WSGI, so that the server costs nothing; under
gunicorn, the CPU time of its one worker is counted.
"""

import gc
import itertools
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import werkzeug

from loadtests.bench import apps
from loadtests.bench.measure import Batch, Costs, Tick, run_interleaved
from observability.lib.bound_process import bind

TIMEOUT_SECONDS = 60  # for an answer, the first of a server that starts included
CLIENTS = 4  # with one, an idling worker finds its caches cold: sometimes twice the cost
FIRST_READING = datetime.fromisoformat("2001-01-01T00:00:00+00:00")
Headers = dict[str, str]
CostsByRequest = dict[str, Costs]
Answer = tuple[str, bytes]  # status and body
body_numbers = itertools.count()


class Kind(NamedTuple):
    """A measured request and its batch sizes.

    A server's CPU time has steps of 10 ms, so that its batches must be larger.
    """

    method: str
    path: str
    readings: int
    size_in_process: int
    size_end_to_end: int

    def body(self) -> bytes:
        """Return readings that nobody sent before, one a second; an empty body for none.

        A reading that is stored already would cost less: it is not stored again.
        """
        if not self.readings:
            return b""
        first = next(body_numbers) * self.readings
        readings = []
        for second in range(first, first + self.readings):
            time = FIRST_READING + timedelta(seconds=second)
            readings.append({"metric": "level_m", "time": time.isoformat(), "value": 1.84})
        return json.dumps({"readings": readings}).encode()

    def environ(self, headers: Headers) -> dict[str, Any]:
        """Return the WSGI environment of a request."""
        return werkzeug.test.create_environ(
            self.path, method=self.method, data=self.body(), headers=headers
        )


KINDS = {
    "GET one node": Kind("GET", apps.NODE_URL, 0, 40, 300),
    "POST 20 readings": Kind("POST", f"{apps.NODE_URL}/readings", 20, 10, 60),
}


def send(app: Any, environ: dict[str, Any]) -> Answer:
    """Send one request over WSGI and return its status and body."""
    statuses: list[str] = []
    chunks = app(environ, lambda status, *_: statuses.append(status))
    body = b"".join(chunks)
    chunks.close()
    return statuses[0], body


def in_process_batch(kind: Kind, variant: apps.Variant, headers: Headers) -> Batch:
    """Return a batch over WSGI, which returns CPU seconds of this thread per request.

    The requests are prepared before the clock starts.
    """

    def run_batch() -> float:
        all_headers = {**headers, **variant.headers}
        environs = [kind.environ(all_headers) for _ in range(kind.size_in_process)]
        with variant.around():
            started = time.thread_time()
            answers = [send(variant.app, environ) for environ in environs]
            seconds = time.thread_time() - started
        require_success({status for status, _ in answers})
        return seconds / kind.size_in_process

    return run_batch


def require_success(statuses: set[str]) -> None:
    """Raise RuntimeError when a status is no success."""
    refused = [status for status in sorted(statuses) if not status.startswith("2")]
    if refused:
        raise RuntimeError(f"requests were answered with {', '.join(refused)}")


def measure_in_process(
    variants: dict[str, apps.Variant], headers: Headers, rounds: int, tick: Tick
) -> CostsByRequest:
    """Return by request the costs of the variants that answer as the full app does.

    Raise RuntimeError when the bare app does not, or a request is refused.
    """
    gc.collect()
    gc.freeze()  # a collection shall not walk through the apps of all variants
    costs = {}
    for request, kind in KINDS.items():
        full_answer = send(variants[apps.ALL].app, kind.environ(headers))
        batches = {}
        for name, variant in variants.items():
            answer = send(variant.app, kind.environ(headers))
            if is_same(answer, full_answer):
                batches[name] = in_process_batch(kind, variant, headers)
            elif name == apps.BARE:
                raise RuntimeError(f"{request}: bare answers {answer}, the app {full_answer}")
        costs[request] = run_interleaved(batches, rounds, tick)
    return costs


def is_same(answer: Answer, other: Answer) -> bool:
    """Return whether two answers have the same status and the same JSON."""
    return answer[0] == other[0] and json.loads(answer[1]) == json.loads(other[1])


@contextmanager
def run_server(
    app: str, factory: str, headers: Headers, log: Path
) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """Run gunicorn with one worker and yield a client of it and the worker.

    It inherits a bound socket, so that its port is known and free.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("w") as output:
        port = listener.getsockname()[1]
        descriptor = listener.fileno()
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--bind",
            f"fd://{descriptor}",
            "--workers",
            "1",
            "--config",
            "api/gunicorn.conf.py",
            f"loadtests.bench.apps:create_served_app({app!r}, {factory!r})",
        ]
        process = subprocess.Popen(bind(command, "TERM"), stderr=output, pass_fds=[descriptor])  # noqa: S603
    try:
        base_url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=base_url, headers=headers, timeout=TIMEOUT_SECONDS) as client:
            client.get("/")  # waits for the worker
            [worker] = psutil.Process(process.pid).children()
            yield client, worker
    finally:
        process.terminate()
        process.wait()


def end_to_end_batch(kind: Kind, client: httpx.Client, worker: psutil.Process) -> Batch:
    """Return a batch from some clients at once, which returns CPU seconds per request.

    Counted is the worker alone, not the clients, which are threads of this process.
    """

    def send_one(_: int) -> str:
        answer = client.request(kind.method, kind.path, content=kind.body())
        return f"{answer.status_code} {answer.reason_phrase}"

    def run_batch() -> float:
        before = worker.cpu_times()
        with ThreadPoolExecutor(CLIENTS) as clients:
            statuses = set(clients.map(send_one, range(kind.size_end_to_end)))
        after = worker.cpu_times()
        require_success(statuses)
        seconds = after.user + after.system - before.user - before.system
        return seconds / kind.size_end_to_end

    return run_batch


def measure_end_to_end(
    factory: str, headers: Headers, folder: Path, rounds: int, tick: Tick
) -> CostsByRequest:
    """Return by request the costs of `all` and `bare`, each in a server of its own."""
    costs = {}
    with (
        run_server(apps.ALL, factory, headers, folder / "all.log") as full_server,
        run_server(apps.BARE, factory, headers, folder / "bare.log") as bare_server,
    ):
        for request, kind in KINDS.items():
            batches = {
                apps.ALL: end_to_end_batch(kind, *full_server),
                apps.BARE: end_to_end_batch(kind, *bare_server),
            }
            costs[request] = run_interleaved(batches, rounds, tick)
    return costs
