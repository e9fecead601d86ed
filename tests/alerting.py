"""A real Prometheus with the generated rules on the drill's clock."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

import yaml

from observability.generate import prometheus
from observability.lib import scope
from observability.lib.bound_process import bind
from observability.lib.http import Unreachable
from observability.lib.prometheus import Prometheus
from observability.spec.drill_clock import accelerate
from observability.spec.plan import Plan
from observability.spec.quantities import format_duration
from tests.observability.compiler_support import program
from tests.serving import free_port, serving
from tests.waiting import until


class Expose(Protocol):
    """A function that returns the samples of an exporter, in the text format."""

    def __call__(self) -> str: ...


@contextmanager
def exporting(expose: Expose) -> Iterator[int]:
    """Serve what a function returns as metrics, and yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = expose().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield server.server_port


@contextmanager
def alerting(
    plan: Plan, folder: Path, ports: Mapping[str, int], rules: Mapping[str, str] | None = None
) -> Iterator[Prometheus]:
    """Run a Prometheus with the plan's rules, which scrapes itself and a port for each job.

    `rules` are further rules of the service, expressions by the name of what they record.
    """
    fast = accelerate(plan)
    port = free_port()
    targets = {"prometheus": port, **ports}
    config = {
        "global": {
            "scrape_interval": format_duration(fast.clock.scrape),
            "scrape_timeout": format_duration(fast.clock.scrape),
            "evaluation_interval": format_duration(fast.clock.evaluate),
        },
        "rule_files": ["rules.yaml", "more.yaml"],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
            for job, target in targets.items()
        ],
    }
    recording = [{"record": name, "expr": expr} for name, expr in (rules or {}).items()]
    more = {"groups": [{"name": scope.group_name(plan, "more"), "rules": recording}]}
    folder.mkdir()
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "rules.yaml").write_text(prometheus.render(fast)[prometheus.RULES], encoding="utf-8")
    (folder / "more.yaml").write_text(yaml.safe_dump(more), encoding="utf-8")
    command = [
        program("prometheus"),
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    client = Prometheus(f"http://127.0.0.1:{port}")
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(bind(command), stdout=log, stderr=log)
    try:
        until(lambda: has_scraped(client, len(targets)), what="the first scrape of every target")
        yield client
    finally:
        process.kill()
        process.wait()


def has_scraped(client: Prometheus, count: int) -> bool:
    """Return whether the server has scraped that many targets."""
    try:
        return len([value for _, value in client.query("up") if value]) == count
    except Unreachable:
        return False
