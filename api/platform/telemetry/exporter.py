"""Serves /metrics for all workers from their files, in a process of its own, so that a scrape costs no request anything.

Counters must never decrease, but a worker that dies leaves its file behind, and thousands of files make scrapes slow.
So files of dead processes are merged into one archive per kind, in steps that survive a crash between any two:
set aside (a new process with the same id starts a file of its own), combine, write the journal, carry it out.
"""

import json
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from observability.spec import loading, names

ARCHIVE = "0"  # stands where the file names of workers have their process id
JOURNAL = "merge.json"
ASIDE = ".dead"  # instead of .db: no worker opens it, no scrape reads it
SUMMED, LARGEST = "sum", "max"


new_file: Callable[[str], Any] = MmapedDict  # prometheus_client has no types here
read_file: Callable[[str], Iterator[tuple[str, float, float, int]]] = (
    MmapedDict.read_all_values_from_file
)
KINDS = {"counter": SUMMED, "histogram": SUMMED, "gauge_max": LARGEST}
LIVE = "gauge_live"  # values that end with their process


def kind_and_pid(path: Path) -> tuple[str, str]:
    """`gauge_max_123.db` → ("gauge_max", "123")."""
    kind, _, pid = path.stem.rpartition("_")
    return kind, pid


def merge_dead(folder: Path) -> int:
    """Merges the files of processes that are gone into the archives; returns how many files went."""
    finish(folder)
    for path in folder.glob("*.db"):
        if is_dead(path) and kind_and_pid(path)[0].startswith(LIVE):
            path.unlink()  # what a process that is no more had open or had reached says nothing
        elif is_dead(path) and not path.with_suffix(ASIDE).exists():
            path.rename(path.with_suffix(ASIDE))
    dead = sorted(folder.glob("*" + ASIDE))
    swaps = []
    for kind, how in KINDS.items():
        group = [path for path in dead if kind_and_pid(path)[0] == kind]
        if group:
            archive = folder / f"{kind}_{ARCHIVE}.db"
            fresh = archive.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            combine([path for path in (archive, *group) if path.exists()], fresh, how)
            swaps.append([fresh.name, archive.name])
    if swaps:
        draft = folder / (JOURNAL + ".new")
        draft.write_text(json.dumps({"swap": swaps, "remove": [path.name for path in dead]}))
        draft.replace(
            folder / JOURNAL
        )  # from here on the merge has happened, whatever happens to us
        finish(folder)
    return len(dead)


def finish(folder: Path) -> None:
    """Carries out a journal, from the start or from wherever a crash left it."""
    journal = folder / JOURNAL
    if not journal.exists():
        return
    plan = json.loads(journal.read_text())
    for fresh, archive in plan["swap"]:
        if (folder / fresh).exists():
            (folder / fresh).replace(folder / archive)
    for name in plan["remove"]:
        (folder / name).unlink(missing_ok=True)
    journal.unlink()


def is_dead(path: Path) -> bool:
    kind, pid = kind_and_pid(path)
    return (
        (kind in KINDS or kind.startswith(LIVE))
        and pid != ARCHIVE
        and pid.isdigit()
        and not psutil.pid_exists(int(pid))
    )


def combine(sources: list[Path], target: Path, how: str) -> None:
    """Adds up (or takes the largest of) every value of the sources into a new file."""
    totals: dict[str, tuple[float, float]] = {}
    for source in sources:
        if not source.stat().st_size:
            continue  # its process died between making the file and writing to it
        for key, value, stamp, _ in read_file(str(source)):
            before, at = totals.get(key, (0.0 if how == SUMMED else value, 0.0))
            totals[key] = (before + value if how == SUMMED else max(before, value), max(at, stamp))
    archive = new_file(str(target))
    for key, (value, stamp) in totals.items():
        archive.write_value(key, value, stamp)
    archive.close()


class Processes(Collector):
    """CPU and memory of the processes that write into the folder; multiprocess mode has no process_* of its own."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._last: dict[tuple[int, float], float] = {}
        self._gone = (
            0.0  # seconds used by processes that are no more, so that the counter keeps rising
        )

    def collect(self) -> Iterator[Metric]:
        now: dict[tuple[int, float], float] = {}
        memory = 0
        for pid in {kind_and_pid(path)[1] for path in self._folder.glob("*.db")} - {ARCHIVE}:
            try:
                process = psutil.Process(int(pid))
                times = process.cpu_times()
                now[int(pid), process.create_time()] = times.user + times.system
                memory += process.memory_info().rss
            except (psutil.Error, ValueError):
                continue
        self._gone += sum(seconds for key, seconds in self._last.items() if key not in now)
        self._last = now
        yield CounterMetricFamily(
            names.WORKER_CPU, "CPU seconds of all workers so far", self._gone + sum(now.values())
        )
        yield GaugeMetricFamily(names.WORKER_MEMORY, "Resident bytes of all workers", memory)
        yield GaugeMetricFamily(names.WORKERS, "Workers alive", len(now))


class Declared(Collector):
    """All workers' metrics, without buckets that the Plan no longer has.

    The archive remembers the edges of former releases, but present workers count past them: such an edge would stand still while its
    neighbours rise. Nothing is lost by leaving it out, because edges above it count what it counted.
    """

    def __init__(self, folder: Path, edges: frozenset[float]):
        self._files = MultiProcessCollector(CollectorRegistry(), path=str(folder))  # type: ignore[no-untyped-call]
        self._edges = edges | {math.inf}

    def collect(self) -> Iterator[Metric]:
        for metric in self._files.collect():  # type: ignore[no-untyped-call]
            metric.samples = [
                sample
                for sample in metric.samples
                if float(sample.labels.get("le", math.inf)) in self._edges
            ]
            yield metric


class Exporter:
    """Renders the folder; one scrape at a time, because merging moves files under the reader."""

    def __init__(self, folder: Path, edges: frozenset[float]):
        self._folder, self._edges = folder, edges
        self._lock = threading.Lock()
        self._processes = Processes(folder)

    def render(self) -> bytes:
        with self._lock:
            merge_dead(self._folder)
            registry = CollectorRegistry()
            registry.register(Declared(self._folder, self._edges))
            registry.register(self._processes)
            return generate_latest(registry)


def serve(folder: Path, host: str, port: int) -> ThreadingHTTPServer:
    """A server for /metrics; the caller runs serve_forever."""
    exporter = Exporter(folder, frozenset(map(float, loading.load_plan().buckets)))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path.split("?")[0] == "/metrics"
            body = exporter.render() if found else b"only /metrics is here\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST if found else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A line per scrape helps nobody."""

    return ThreadingHTTPServer((host, port), Handler)


def main() -> None:
    """`python -m api.platform.telemetry.exporter HOST PORT`, with PROMETHEUS_MULTIPROC_DIR set."""
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    serve(folder, sys.argv[1], int(sys.argv[2])).serve_forever()


if __name__ == "__main__":
    main()
