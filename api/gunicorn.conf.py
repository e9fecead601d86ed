"""gunicorn's settings: `gunicorn --config api/gunicorn.conf.py 'api.app:create_app()'`."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import gunicorn
from gunicorn.errors import HaltServer

from observability.spec import host_names, redaction
from observability.spec.environment_numbers import read_seconds, read_whole_number

redaction.protect_output()  # of gunicorn itself, too: what it says of a bad request may hold a key

# The environment of a process cannot change, but this file can, and gunicorn reads it again on
# SIGHUP: the next workers have the new settings, while the master keeps the port open.
path = os.environ.get("EVARA_ENVIRONMENT_FILE")
variables = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
raw_env = [f"{name}={value}" for name, value in variables.items()]
environment = {**os.environ, **variables}

bind = host_names.own_sockets(environment.get("EVARA_BIND", "127.0.0.1:8000"))
workers = read_whole_number(environment, "EVARA_WORKERS", 2)
threads = read_whole_number(environment, "EVARA_THREADS", 8)
worker_class = "api.platform.http.gunicorn_worker.Worker"
timeout = 30  # a worker that hangs this long is replaced
graceful_timeout = 20
keepalive = 15
backlog = 512
# Before it stops, it answers requests for so many seconds, but says that it is not ready.
drain_seconds = read_seconds(environment, "EVARA_DRAIN_SECONDS", 0)
# The gateway forwards 100 header fields of 16384 bytes together, and adds a few; others get 431.
limit_request_fields = 110
limit_request_field_size = 16384
control_socket_disable = True  # there is one per user, which two stacks would share
accesslog = None  # the app writes its own line per request
errorlog = "-"
proc_name = "evara-api"
forwarded_allow_ips = ""  # the app itself trusts EVARA_PROXY_HOPS proxies


def post_fork(_server: object, _worker: object) -> None:
    """Forget our modules that the master has imported: a reload must not mix two releases."""
    for name in list(sys.modules):
        if name.startswith(("api.", "observability.")):
            del sys.modules[name]


STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}


def on_reload(server: Any) -> None:
    """Let the old workers serve until the new ones do: gunicorn's own reload ends them at once.

    It starts the new workers and then calls `manage_workers`, which ends those that are too many.
    """
    newest_old = server.worker_age

    def manage_workers() -> None:
        del server.manage_workers  # replaced for this one call
        deadline = time.monotonic() + timeout
        signals: list[int] = []
        while time.monotonic() < deadline and STOP_SIGNALS.isdisjoint(signals):
            new = [worker for worker in server.WORKERS.values() if worker.age > newest_old]
            if all(map(serves, new)):
                break
            signals += server.wait_for_signals(timeout=0.05)
            try:
                server.reap_workers()
            except HaltServer:
                keep_old_workers(server, newest_old)
                break
        for number in signals:
            server.SIG_QUEUE.put(number)  # handled after the reload
        server.manage_workers()

    server.manage_workers = manage_workers


def keep_old_workers(server: Any, newest_old: int) -> None:
    """End the new workers, one of which could not start; gunicorn itself would end them all."""
    for pid, worker in list(server.WORKERS.items()):
        if worker.age > newest_old:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            del server.WORKERS[pid]
            worker.tmp.close()
        else:
            server.worker_age += 1
            worker.age = server.worker_age  # the reload is over when no worker is older than it
    server.num_workers = len(server.WORKERS)
    server.log.error(
        "The new workers cannot start, for the reason above; the old ones continue with the old"
        " settings and code. fix: correct the settings or the code, then send SIGHUP again"
    )


def when_ready(server: Any) -> None:
    """Let a load balancer take this server out before gunicorn closes its port."""
    stop = server.stop

    def drain(graceful: bool = True) -> None:
        deadline = time.monotonic() + drain_seconds
        if graceful and drain_seconds:
            server.kill_workers(signal.SIGUSR1)  # they announce it
        signals: list[int] = []
        while graceful and time.monotonic() < deadline and STOP_SIGNALS.isdisjoint(signals):
            signals += server.wait_for_signals(timeout=0.1)
            server.reap_workers()
        stop(graceful)

    server.stop = drain


def serves(worker: Any) -> bool:
    """Return whether a worker has begun to accept connections.

    From then on its file has monotonic times, before that the later time of day of its creation.
    """
    return bool(worker.tmp.last_update() <= time.monotonic())


gunicorn.SERVER = "evara"  # the Server header; there is no setting for it
