"""The server of /metrics: reads the files of all workers, in its own process.

Scrapes therefore do not delay requests.
"""

import math
import os
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from api.platform.telemetry import metric_files
from observability.spec import host_names, loading, names, redaction
from observability.spec.http_handler import GuardedHandler


class Processes(Collector):
    """CPU and memory of the workers; in multiprocess mode prometheus_client has no process_*."""

    def __init__(self, folder: Path):
        self._folder = folder
        # By process id and start time, because ids are reused.
        self._cpu_seconds: dict[tuple[int, float], float] = {}
        self._ended_cpu_seconds = 0.0  # of processes that have ended: the counter never decreases

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        cpu_seconds: dict[tuple[int, float], float] = {}
        memory = 0
        for pid in metric_files.worker_pids(self._folder):
            try:
                process = psutil.Process(pid)
                times = process.cpu_times()
                cpu_seconds[pid, process.create_time()] = times.user + times.system
                memory += process.memory_info().rss
            except psutil.Error:
                continue
        for process_key, seconds in self._cpu_seconds.items():
            if process_key not in cpu_seconds:
                self._ended_cpu_seconds += seconds
        self._cpu_seconds = cpu_seconds
        total = self._ended_cpu_seconds + sum(cpu_seconds.values())
        yield CounterMetricFamily(names.WORKER_CPU, "CPU seconds of all workers so far", total)
        yield GaugeMetricFamily(names.WORKER_MEMORY, "Resident bytes of all workers", memory)
        yield GaugeMetricFamily(names.WORKERS, "Workers alive", len(cpu_seconds))


class PlannedBuckets(Collector):
    """The metrics of all workers, without histogram buckets that the Plan no longer has.

    The archives have the edges of earlier releases, which workers do not update any more: such a
    bucket would stay constant while its neighbours increase. Higher buckets include its counts.
    """

    def __init__(self, folder: Path, edges: frozenset[float]):
        registry = CollectorRegistry()
        files = MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
        self._files = files
        self._edges = edges | {math.inf}

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        for metric in self._files.collect():  # type: ignore[no-untyped-call]
            metric.samples = [
                sample
                for sample in metric.samples
                if float(sample.labels.get("le", math.inf)) in self._edges
            ]
            yield metric


class Exporter:
    """The metrics in the folder, as text; one scrape at a time, because a merge moves files."""

    def __init__(self, folder: Path, edges: frozenset[float]):
        self._folder = folder
        self._edges = edges
        self._lock = threading.Lock()
        self._processes = Processes(folder)
        self._error = ""  # of the last merge

    def render(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        with self._lock:
            self._merge()
            registry = CollectorRegistry()
            registry.register(PlannedBuckets(self._folder, self._edges))
            registry.register(self._processes)
            return generate_latest(registry)

    def _merge(self) -> None:
        """Merge the files of dead workers; print when that begins to fail, and when it works."""
        error = ""
        try:
            metric_files.merge_dead(self._folder)
        except OSError as os_error:
            error = str(os_error)
        if error != self._error:
            state = f"cannot be merged: {error}" if error else "can be merged again"
            print(f"files of ended workers {state}", file=sys.stderr)
            self._error = error


def health(folder: Path) -> tuple[int, str, bytes]:
    """Return the answer to a health check: 503 while no process with metrics runs."""
    if any(map(psutil.pid_exists, metric_files.worker_pids(folder))):
        return 200, "text/plain", b"ok\n"
    return 503, "text/plain", b"no process with metrics runs\n"


def new_server(folder: Path, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server for /metrics; the caller runs serve_forever."""
    edges = frozenset(loading.load_plan().bucket_edges)
    exporter = Exporter(folder, edges)

    class Handler(GuardedHandler):
        hosts = host_names.from_environment(host)

        def do_GET(self) -> None:  # noqa: N802 - the name of http.server
            path, _, _ = self.path.partition("?")
            if path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, exporter.render())
            elif path == "/health":
                self._answer(*health(folder))
            else:
                self._answer(404, "text/plain", b"only /metrics and /health are here\n")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return ThreadingHTTPServer((host, port), Handler)


def main() -> None:
    """Run `python -m api.platform.telemetry.exporter HOST[,HOST] PORT`.

    PROMETHEUS_MULTIPROC_DIR names the folder of the workers' files.
    """
    redaction.protect_output()
    hosts, port = sys.argv[1:]
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    # All before the first starts: a thread would keep a process alive whose other host has failed.
    addresses = [host_names.own_address(host) for host in hosts.split(",")]
    servers = [new_server(folder, address, int(port)) for address in addresses]
    for server in servers:
        threading.Thread(target=server.serve_forever).start()


if __name__ == "__main__":
    main()
