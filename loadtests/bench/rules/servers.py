"""Real Prometheus servers with rules of their own, and what an observer sees of them."""

import os
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from loadtests.bench.rules import templates
from observability.devstack.binaries import find_server
from observability.devstack.layout import HOST, servers_folder
from observability.devstack.ports import is_free
from observability.lib.bound_process import bind
from observability.lib.http import poll, responds
from observability.lib.prometheus import Prometheus
from observability.spec import names

READY_SECONDS = 120
OPTIONS = (
    "--config.file=prometheus.yaml",
    "--log.level=error",
    "--storage.tsdb.path=data",
    "--storage.tsdb.retention.time=31d",
    # Blocks of the past must not be compacted while the rules are measured.
    "--storage.tsdb.min-block-duration=2h",
    "--storage.tsdb.max-block-duration=2h",
)
NO_RULES = "groups: []"
SCRAPES = 6  # by the observer; a page about thousands of groups costs the server 0.1 s and more


@contextmanager
def run_prometheus(
    folder: Path, targets: Mapping[str, str], rules: str, interval: str = "5s"
) -> Iterator[Prometheus]:
    """Run a server that scrapes URLs by job, and yield a client; raise RuntimeError.

    Groups without an interval are evaluated every 30 s. `folder`/data may hold blocks of the past.
    """
    folder.mkdir(parents=True, exist_ok=True)
    templates.write("prometheus.yaml", folder, targets=targets, interval=interval)
    (folder / "rules.yaml").write_text(rules, encoding="utf-8")
    # Linux gives no connection a port of this range, so that a free one stays free.
    ports = range(61_000 + os.getpid() % 4_000, 65_536)
    address = f"{HOST}:{next(filter(is_free, ports))}"
    program = find_server("prometheus", servers_folder())
    command = [str(program), *OPTIONS, f"--web.listen-address={address}"]
    process = subprocess.Popen(bind(command), cwd=folder)  # noqa: S603
    try:
        for _ in poll(READY_SECONDS, 0.2):
            if process.poll() is not None:
                raise RuntimeError("Prometheus does not start")
            if responds(f"http://{address}/-/ready", 2):
                break
        yield Prometheus(f"http://{address}")
    finally:
        process.kill()  # a server that is told to stop first ends its evaluation, over 30 days
        process.wait()


def measure(observer: Prometheus, seconds: int) -> dict[str, dict[str, float]]:
    """Return the measures of each server that the observer scrapes, over the last seconds."""
    text = templates.render(
        "measures.yaml", seconds=seconds, step=seconds // SCRAPES, now=observer.now()
    )
    costs = defaultdict[str, dict[str, float]](dict)
    for name, query in yaml.safe_load(text).items():
        for server, value in observer.query_by_label(query, names.SCRAPE_JOB).items():
            costs[server][name] = value
    return costs
