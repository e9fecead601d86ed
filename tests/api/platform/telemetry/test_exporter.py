"""The metrics process: merging the files of dead workers loses nothing, doubles nothing, and
survives a crash anywhere."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from api.platform.telemetry import exporter
from observability.spec import names

Values = dict[str, float]


def key(metric: str, name: str, **labels: str) -> str:
    return mmap_key(metric, name, list(labels), list(labels.values()), "help")


REQUESTS = key("requests", "requests_total", route="a")
OTHERS = key("requests", "requests_total", route="b")
BUCKET = key("seconds", "seconds_bucket", route="a", le="0.2")
INFINITE = key("seconds", "seconds_bucket", route="a", le="+Inf")
SUM = key("seconds", "seconds_sum", route="a")
LAST = key("last", "last", task="sync")


def write(folder: Path, kind: str, pid: int, values: Values) -> Path:
    path = folder / f"{kind}_{pid}.db"
    file = MmapedDict(str(path))
    for name, value in values.items():
        file.write_value(name, value, 0.0)
    file.close()
    return path


@pytest.fixture
def dead() -> list[int]:
    """Ids of processes that are no more."""
    found = []
    for _ in range(3):
        process = subprocess.Popen(["true"])
        process.wait()
        found.append(process.pid)
    return found


@pytest.fixture
def folder(tmp_path: Path, dead: list[int]) -> Path:
    """Files of three dead workers and of this living process."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    for number, pid in enumerate(dead, start=1):
        write(folder, "counter", pid, {REQUESTS: number, **({OTHERS: 5} if number == 2 else {})})
        write(folder, "histogram", pid, {BUCKET: number, INFINITE: 10 * number, SUM: 0.5 * number})
        write(folder, "gauge_max", pid, {LAST: -100.0 - number})
    write(folder, "counter", os.getpid(), {REQUESTS: 100})
    write(folder, "histogram", os.getpid(), {BUCKET: 100, INFINITE: 0, SUM: 1})
    return folder


def scrape(folder: Path) -> Values:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))
    return {
        f"{s.name}{sorted(s.labels.items())}": s.value
        for metric in registry.collect()
        for s in metric.samples
    }


def living(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob(f"*_{os.getpid()}.db")}


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_merging_changes_no_number(folder: Path) -> None:
    """Counters and histograms add up exactly, the largest gauge stays, and only dead workers' files
    go."""
    before, untouched = scrape(folder), living(folder)
    assert exporter.merge_dead(folder) == 9
    assert scrape(folder) == before
    assert before["requests_total[('route', 'a')]"] == 106
    assert before["seconds_bucket[('le', '0.2'), ('route', 'a')]"] == 106
    assert before["last[('task', 'sync')]"] == -101
    assert living(folder) == untouched
    assert files(folder) == {"counter_0.db", "histogram_0.db", "gauge_max_0.db", *untouched}


def test_merging_again_changes_nothing(folder: Path) -> None:
    """Without newly dead workers there is nothing to do."""
    exporter.merge_dead(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert exporter.merge_dead(folder) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_archives_grow(folder: Path, dead: list[int]) -> None:
    """The next dead workers are added to what was archived before."""
    exporter.merge_dead(folder)
    write(folder, "counter", dead[0], {REQUESTS: 7})
    before = scrape(folder)
    assert exporter.merge_dead(folder) == 1
    assert scrape(folder) == before
    assert before["requests_total[('route', 'a')]"] == 113


def test_files_of_other_kinds_stay(folder: Path, dead: list[int]) -> None:
    """What cannot be merged, or is no worker's file, is left alone."""
    write(folder, "gauge_all", dead[0], {LAST: 1.0})
    (folder / "counter_x.db").write_bytes(b"")
    exporter.merge_dead(folder)
    assert {f"gauge_all_{dead[0]}.db", "counter_x.db"} <= files(folder)


def test_a_file_that_its_worker_never_wrote_is_harmless(folder: Path, dead: list[int]) -> None:
    """A worker killed at its birth leaves an empty file, which neither counts nor stops the
    scrape."""
    before = scrape(folder)
    shutil.copy(folder / f"counter_{dead[0]}.db", folder / f"counter_{dead[0]}.keep")
    (folder / f"counter_{dead[0]}.db").write_bytes(b"")
    exporter.merge_dead(folder)
    assert (
        scrape(folder)["requests_total[('route', 'a')]"]
        == before["requests_total[('route', 'a')]"] - 1
    )


class Crash(BaseException):
    """The exporter is killed here."""


STEPS = ("rename", "replace", "unlink", "write_text")


def crashing(monkeypatch: pytest.MonkeyPatch, after: int, half: bool) -> None:
    """Makes the exporter crash at its so-many-th change of the folder: before it, or (a text)
    half-way through it."""
    done = 0

    def wrap(name: str) -> Any:
        real = getattr(Path, name)

        def step(self: Path, *arguments: Any, **words: Any) -> Any:
            nonlocal done
            done += 1
            if done > after:
                if half and name == "write_text":
                    real(self, arguments[0][: len(arguments[0]) // 2])
                raise Crash
            return real(self, *arguments, **words)

        return step

    for name in STEPS:
        monkeypatch.setattr(Path, name, wrap(name))
    real_file = exporter.new_file

    def file(name: str) -> Any:
        nonlocal done
        done += 1
        opened = real_file(name)
        if done > after:
            opened.write_value(REQUESTS, 12345.0, 0.0)  # a half-written archive
            raise Crash
        return opened

    monkeypatch.setattr(exporter, "new_file", file)


@pytest.mark.parametrize("half", [False, True], ids=["before a step", "within a step"])
def test_a_crash_at_any_step_changes_no_number(
    tmp_path: Path, folder: Path, dead: list[int], half: bool
) -> None:
    """Wherever the merge is cut off, the next one ends with the same numbers; a worker that got a
    dead one's id loses nothing."""
    expected = scrape(folder)
    for after in range(1000):
        copy = tmp_path / f"copy-{after}"
        shutil.copytree(folder, copy)
        with pytest.MonkeyPatch.context() as patch:
            crashing(patch, after, half)
            try:
                exporter.merge_dead(copy)
                break  # it needs no more steps than that
            except Crash:
                pass
        newborn = copy / f"counter_{dead[1]}.db"
        reused = not newborn.exists()
        if reused:  # its id belongs to a new worker now, which started a file of its own
            write(copy, "counter", dead[1], {REQUESTS: 1000})
            content = newborn.read_bytes()
        with pytest.MonkeyPatch.context() as patch:
            alive = {dead[1], os.getpid()} if reused else {os.getpid()}
            patch.setattr(exporter.psutil, "pid_exists", lambda pid, alive=alive: pid in alive)
            exporter.merge_dead(copy)
        if reused:
            assert newborn.read_bytes() == content, f"step {after}"
            newborn.unlink()
        assert scrape(copy) == expected, f"step {after}"
        assert not {name for name in files(copy) if not name.endswith(".db")}, f"step {after}"
    assert after > 20


def test_the_journal_is_carried_out_from_wherever_it_stopped(folder: Path, dead: list[int]) -> None:
    """Of swaps and removals that are partly done, the rest is done, and done twice is done once."""
    write(folder, "counter", 0, {REQUESTS: 6, OTHERS: 5})
    for pid in dead:
        (folder / f"counter_{pid}.db").rename(folder / f"counter_{pid}.dead")
    (folder / f"counter_{dead[0]}.dead").unlink()
    swap = [["counter_0.new", "counter_0.db"]]
    (folder / exporter.JOURNAL).write_text(
        json.dumps({"swap": swap, "remove": [f"counter_{pid}.dead" for pid in dead]})
    )
    for _ in range(2):
        exporter.finish(folder)
        assert scrape(folder)["requests_total[('route', 'a')]"] == 106
        assert not list(folder.glob("*.dead"))


def test_edges_of_a_former_release_are_not_exposed(tmp_path: Path, dead: list[int]) -> None:
    """An edge that only the archive has would stand still while its neighbours rise; those above it
    count what it counted."""
    folder = tmp_path / "metrics"
    folder.mkdir()

    def edge(le: str) -> str:
        return key("seconds", "seconds_bucket", route="a", le=le)

    # buckets are not cumulative in the files; the collector adds them up
    write(
        folder,
        "histogram",
        dead[0],
        {edge("0.1"): 1, edge("0.2"): 2, edge("1.0"): 4, edge("+Inf"): 8, SUM: 5},
    )
    write(folder, "counter", dead[0], {REQUESTS: 15})
    exporter.merge_dead(folder)
    write(
        folder,
        "histogram",
        os.getpid(),
        {edge("0.1"): 10, edge("1.0"): 20, edge("+Inf"): 40, SUM: 50},
    )
    text = exporter.Exporter(folder, frozenset({0.1, 1.0})).render().decode()
    samples = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    ]
    buckets = {
        sample.labels["le"]: sample.value for sample in samples if sample.name == "seconds_bucket"
    }
    assert buckets == {"0.1": 11, "1.0": 37, "+Inf": 85}
    assert {
        sample.name: sample.value
        for sample in samples
        if sample.name in {"seconds_count", "seconds_sum", "requests_total"}
    } == {
        "seconds_count": 85,
        "seconds_sum": 55,
        "requests_total": 15,
    }


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """The address of a real exporter."""
    server = exporter.serve(folder, "127.0.0.1", 0)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("path", ["/metrics", "/metrics?name[]=requests_total"])
def test_metrics_come_over_http(server: str, path: str) -> None:
    """The folder's sums and this process' own CPU and memory are served in Prometheus' format."""
    answer = httpx.get(server + path)
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    samples = {
        s.name: s.value
        for family in text_string_to_metric_families(answer.text)
        for s in family.samples
    }
    assert samples[names.WORKERS] == 1
    assert samples[names.WORKER_MEMORY] > 1e6
    assert samples[f"{names.WORKER_CPU}_total"] > 0
    assert "seconds_sum" in samples


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/", "/x/metrics"])
def test_nothing_else_is_served(server: str, path: str) -> None:
    """Any other path is 404."""
    assert httpx.get(server + path).status_code == 404


def test_scrapes_at_once_agree(server: str, dead: list[int], folder: Path) -> None:
    """Scrapes in parallel, while dead files are merged, all see the same sum."""
    seen: list[float] = []

    def read() -> None:
        for _ in range(5):
            text = httpx.get(f"{server}/metrics").text
            seen.append(
                sum(
                    s.value
                    for f in text_string_to_metric_families(text)
                    for s in f.samples
                    if s.name == "requests_total"
                )
            )

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [111.0] * 20
    assert not list(folder.glob(f"*_{dead[0]}.db"))


def test_cpu_never_decreases(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds of a worker that is gone stay in the sum."""
    processes = exporter.Processes(folder)

    def cpu() -> float:
        return next(
            iter(next(m for m in processes.collect() if m.name == names.WORKER_CPU).samples)
        ).value

    before = cpu()
    monkeypatch.setattr(
        exporter.psutil,
        "Process",
        lambda _: (_ for _ in ()).throw(exporter.psutil.NoSuchProcess(1)),
    )
    assert cpu() == before > 0


def test_what_a_dead_process_had_open_is_forgotten(folder: Path, dead: list[int]) -> None:
    """Gauges that end with their process are removed with it; a living one keeps its own."""
    gone = write(folder, "gauge_livesum", dead[0], {key("open", "open", state="open"): 3})
    stays = write(folder, "gauge_livesum", os.getpid(), {key("open", "open", state="open"): 2})
    exporter.merge_dead(folder)
    assert not gone.exists()
    assert stays.exists()
    assert scrape(folder)["open[('state', 'open')]"] == 2
