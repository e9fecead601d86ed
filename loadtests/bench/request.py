"""The cost of a request beside the same view bare, in process and under gunicorn."""

import gc
import itertools
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import werkzeug

from loadtests.bench import apps
from loadtests.bench.measure import Costs, interleaved

PATIENCE = 60  # seconds for an answer, the first of a server that starts included
CLIENTS = 4  # with one, an idling worker finds its caches cold: sometimes twice the cost
Batch = Callable[[], float]
Tick = Callable[[], object]
numbers = itertools.count()


class Kind(NamedTuple):
    """A measured request and its batch sizes; a server's CPU time has steps of 10 ms."""

    method: str
    path: str
    readings: int
    near: int
    far: int

    def body(self) -> bytes:
        """Readings that nobody sent before, one a second."""
        first = datetime.fromisoformat("2001-01-01T00:00:00+00:00") + timedelta(
            seconds=next(numbers) * self.readings
        )
        times = [(first + timedelta(seconds=second)).isoformat() for second in range(self.readings)]
        return (
            json.dumps(
                {"readings": [{"metric": "level_m", "time": time, "value": 1.84} for time in times]}
            ).encode()
            if times
            else b""
        )

    def environ(self, headers: dict[str, str]) -> dict[str, Any]:
        return werkzeug.test.create_environ(
            self.path, method=self.method, data=self.body(), headers=headers
        )


KINDS = {
    "GET one node": Kind("GET", apps.URL, 0, 40, 300),
    "POST 20 readings": Kind("POST", f"{apps.URL}/readings", 20, 10, 60),
}


def ask(app: Any, environ: dict[str, Any]) -> tuple[str, bytes]:
    """One request over WSGI → status and body."""
    seen: list[str] = []
    chunks = app(environ, lambda status, *_: seen.append(status))
    content = b"".join(chunks)
    chunks.close()
    return seen[0], content


def near(kind: Kind, variant: apps.Variant, headers: dict[str, str]) -> Batch:
    """A batch over WSGI → CPU seconds of this thread per request."""

    def batch() -> float:
        prepared = [kind.environ({**headers, **variant.headers}) for _ in range(kind.near)]
        with variant.around():
            started = time.thread_time()
            answers = [ask(variant.app, environ) for environ in prepared]
            spent = time.thread_time() - started
        expect(status for status, _ in answers)
        return spent / kind.near

    return batch


def expect(statuses: Iterator[str]) -> None:
    if refused := {status for status in statuses if not status.startswith("2")}:
        raise RuntimeError(f"requests were answered with {', '.join(sorted(refused))}")


def in_process(
    variants: dict[str, apps.Variant], headers: dict[str, str], rounds: int, tick: Tick
) -> dict[str, Costs]:
    """By request: the costs of the variants that give the answer of the app with everything on."""
    made = {}
    gc.collect()
    gc.freeze()  # a collection shall not walk through the apps of all variants
    for name, kind in KINDS.items():
        answers = {
            key: ask(variant.app, kind.environ(headers)) for key, variant in variants.items()
        }
        alike = [
            key
            for key, (status, content) in answers.items()
            if same((status, content), answers[apps.ALL])
        ]
        if apps.BARE not in alike:
            raise RuntimeError(
                f"{name}: bare answers {answers[apps.BARE]}, the app {answers[apps.ALL]}"
            )
        made[name] = interleaved(
            {key: near(kind, variants[key], headers) for key in alike}, rounds, tick
        )
    return made


def same(one: tuple[str, bytes], other: tuple[str, bytes]) -> bool:
    return one[0] == other[0] and json.loads(one[1]) == json.loads(other[1])


@contextmanager
def server(
    app: str, factory: str, headers: dict[str, str], log: Path
) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """Run gunicorn with one worker and yield a client of it and the worker."""
    target = f"loadtests.bench.apps:served({app!r}, {factory!r})"
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("w") as output:
        address = "http://{}:{}".format(*listener.getsockname())
        words = [
            f"fd://{listener.fileno()}",
            "--workers",
            "1",
            "--config",
            "api/gunicorn.conf.py",
            target,
        ]
        command = [sys.executable, "-m", "gunicorn", "--bind", *words]
        process = subprocess.Popen(command, stderr=output, pass_fds=[listener.fileno()])  # noqa: S603 - our own words
    try:
        with httpx.Client(base_url=address, headers=headers, timeout=PATIENCE) as client:
            client.get("/")  # waits for the worker
            [worker] = psutil.Process(process.pid).children()
            yield client, worker
    finally:
        process.terminate()
        process.wait()


def far(kind: Kind, client: httpx.Client, worker: psutil.Process) -> Batch:
    """A batch from some clients at once → CPU seconds of the worker per request."""

    def batch() -> float:
        before = worker.cpu_times()
        with ThreadPoolExecutor(CLIENTS) as clients:
            answers = [
                *clients.map(
                    lambda _: client.request(kind.method, kind.path, content=kind.body()),
                    range(kind.far),
                )
            ]
        after = worker.cpu_times()
        expect(f"{answer.status_code} {answer.reason_phrase}" for answer in answers)
        return (after.user + after.system - before.user - before.system) / kind.far

    return batch


def end_to_end(
    factory: str, headers: dict[str, str], folder: Path, rounds: int, tick: Tick
) -> dict[str, Costs]:
    """By request: the costs of `all` and `bare`, each in a server of its own."""
    with (
        server(apps.ALL, factory, headers, folder / "all.log") as full,
        server(apps.BARE, factory, headers, folder / "bare.log") as bare,
    ):
        return {
            name: interleaved(
                {apps.ALL: far(kind, *full), apps.BARE: far(kind, *bare)}, rounds, tick
            )
            for name, kind in KINDS.items()
        }
