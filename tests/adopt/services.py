"""The services of this folder as processes, requests to them, and a Prometheus over each."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

from observability.devstack.binaries import find_server
from observability.devstack.layout import servers_folder
from observability.generate import prometheus, relabelling
from observability.lib.bound_process import bind
from observability.lib.http import responds
from observability.spec.plan import Plan
from observability.spec.quantities import format_duration
from tests.serving import free_port
from tests.waiting import until

FOLDER = Path(__file__).parent
CONTRACT = FOLDER / "openapi.json"
OTEL = {"OTEL_SEMCONV_STABILITY_OPT_IN": "http"}
PAUSE_SECONDS = 0.03
REQUESTS = 10_000  # no more are sent, whatever happens


@contextmanager
def running(command: list[str], url: str, log: Path) -> Iterator[str]:
    """Run a server, yield its URL when it answers there, and end it."""
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(bind(command), stdout=output, stderr=output, env=environment())
    try:
        until(lambda: process.poll() is not None or responds(url, 2), what=f"the answer of {url}")
        assert process.poll() is None, log.read_text(encoding="utf-8")
        yield url.rpartition("/")[0]
    finally:
        process.kill()
        process.wait()


def environment() -> dict[str, str]:
    """Return the environment of the services."""
    return os.environ | OTEL


@contextmanager
def running_app(name: str, folder: Path) -> Iterator[str]:
    """Run one of the apps and yield its URL."""
    port = free_port()
    command = [sys.executable, str(FOLDER / f"{name}.py"), str(port)]
    with running(command, f"http://127.0.0.1:{port}/orders", folder / "app.log") as url:
        yield url


@contextmanager
def running_prometheus(plan: Plan, app: str, folder: Path) -> Iterator[str]:
    """Run a Prometheus with the generated rules, which scrapes an app; yield its URL."""
    scrape_job = {
        "job_name": plan.scrape.api,
        "static_configs": [{"targets": [app.removeprefix("http://")]}],
    }
    for text in relabelling.render(plan).values():
        scrape_job |= yaml.safe_load(text)
    interval = format_duration(plan.clock.scrape)
    config = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [scrape_job],
    }
    rules = prometheus.render(plan)[prometheus.RULES]
    (folder / "rules.yaml").write_text(rules, encoding="utf-8")
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    program = find_server("prometheus", servers_folder())
    assert program, "prometheus is missing; unpack it with: python -m observability fetch"
    address = f"127.0.0.1:{free_port()}"
    command = [
        str(program),
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
    ]
    with running(command, f"http://{address}/-/ready", folder / "prometheus.log") as url:
        yield url.rpartition("/")[0]


@dataclass
class Clients:
    """Clients of an app, in a thread: they list orders, and get each once, unless it is lost."""

    app: str
    is_lost: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Clients":
        self._thread = threading.Thread(target=self._send)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _send(self) -> None:
        # A server may close a connection after a failure, just when the next request is sent.
        no_reuse = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=self.app, timeout=10, limits=no_reuse) as client:
            for order_id in range(REQUESTS // 2):
                client.get("/orders")
                query = {"fail": "1"} if self.is_lost.is_set() else {}
                client.get(f"/orders/{order_id}", params=query)
                if self._ended.wait(PAUSE_SECONDS):
                    return
