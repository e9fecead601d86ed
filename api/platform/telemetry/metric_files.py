"""The files in which the workers count, and archives that keep the counts of dead workers.

Counters must never decrease, but a worker that dies leaves its file behind, and thousands of files
make scrapes slow. So the files of dead processes are merged into one archive per kind, in steps
that survive a crash between any two: set the files aside (a new process with the same id starts a
file of its own), combine them into new archives, write the journal, carry out the journal.
"""

import json
import operator
from collections.abc import Callable
from pathlib import Path

import psutil
from prometheus_client.mmap_dict import MmapedDict

from api.platform.telemetry.reserved_files import ValueBuffer
from api.platform.types import JsonObject

ARCHIVE = "0"  # in the name of an archive, where a worker's file has its process id
JOURNAL = "merge.json"
DEAD = ".dead"  # suffix instead of .db: no worker opens the file, no scrape reads it
LIVE = "gauge_live"  # kinds whose values end with their process
Combine = Callable[[float, float], float]
# How two values of a series become one, by kind of file.
COMBINE: dict[str, Combine] = {
    "counter": operator.add,
    "histogram": operator.add,
    "gauge_max": max,
}


def kind_and_pid(path: Path) -> tuple[str, str]:
    """Return ("gauge_max", "123") for `gauge_max_123.db`."""
    kind, _, pid = path.stem.rpartition("_")
    return kind, pid


def worker_pids(folder: Path) -> set[int]:
    """Return the ids of the processes that have a file in the folder."""
    pids = {kind_and_pid(path)[1] for path in folder.glob("*.db")}
    return {int(pid) for pid in pids - {ARCHIVE} if pid.isdigit()}


def is_dead(path: Path) -> bool:
    """Return True for a file that can be merged or removed and whose process has ended."""
    kind, pid = kind_and_pid(path)
    if kind not in COMBINE and not kind.startswith(LIVE):
        return False
    if pid == ARCHIVE or not pid.isdigit():
        return False
    return not psutil.pid_exists(int(pid))


def merge_dead(folder: Path) -> int:
    """Merge the files of dead processes into the archives; return how many files were merged.

    Raise OSError when the disk is full; scrapes then read the files of the dead processes.
    """
    carry_out_journal(folder)
    set_aside_dead(folder)
    dead = sorted(folder.glob(f"*{DEAD}"))
    try:
        write_archives(folder, dead)
    except OSError:
        put_back(folder, dead)
        raise
    carry_out_journal(folder)
    return len(dead)


def write_archives(folder: Path, dead: list[Path]) -> None:
    """Write new archives, and the journal that puts them in place, if there is anything to add."""
    swaps = []
    for kind in COMBINE:
        sources = [path for path in dead if kind_and_pid(path)[0] == kind]
        if sources:
            swaps.append(extend_archive(folder, kind, sources))
    if swaps:
        write_journal(folder, {"swap": swaps, "remove": [path.name for path in dead]})


def put_back(folder: Path, dead: list[Path]) -> None:
    """Undo a merge before its journal: remove the new archives, and let scrapes read the files."""
    for path in folder.glob("*.new"):
        path.unlink()
    for path in dead:
        original = path.with_suffix(".db")
        if not original.exists():
            path.rename(original)


def set_aside_dead(folder: Path) -> None:
    """Rename the files of dead processes; remove those whose values ended with the process."""
    for draft in folder.glob("*.draft"):
        if is_dead(draft):
            draft.unlink()
    for path in folder.glob("*.db"):
        if not is_dead(path):
            continue
        aside = path.with_suffix(DEAD)
        if path.name.startswith(LIVE):
            path.unlink()
        elif not aside.exists():
            path.rename(aside)


def extend_archive(folder: Path, kind: str, sources: list[Path]) -> tuple[str, str]:
    """Write a new archive from the old one and the sources; return the names of new and old."""
    archive = folder / f"{kind}_{ARCHIVE}.db"
    if archive.exists():
        sources = [archive, *sources]
    new_archive = archive.with_suffix(".new")
    new_archive.unlink(missing_ok=True)
    combine(sources, new_archive, COMBINE[kind])
    return new_archive.name, archive.name


def combine(sources: list[Path], target: Path, combine_values: Combine) -> None:
    """Write one value per series of the sources, with its newest timestamp, into a new file."""
    totals: dict[str, tuple[float, float]] = {}
    for source in sources:
        if source.stat().st_size == 0:
            continue  # the process died between creating the file and writing to it
        series = MmapedDict.read_all_values_from_file(str(source))  # type: ignore[no-untyped-call]
        for key, value, timestamp, _ in series:
            if key in totals:
                total, newest = totals[key]
                value = combine_values(total, value)
                timestamp = max(newest, timestamp)
            totals[key] = (value, timestamp)
    archive = ValueBuffer()
    for key, (value, timestamp) in totals.items():
        archive.write_value(key, value, timestamp)  # type: ignore[no-untyped-call]
    target.write_bytes(archive.content())


def write_journal(folder: Path, steps: JsonObject) -> None:
    """Write the steps that finish a merge, at once: after this a crash does not undo the merge."""
    draft = folder / f"{JOURNAL}.new"
    draft.write_text(json.dumps(steps))
    draft.replace(folder / JOURNAL)


def carry_out_journal(folder: Path) -> None:
    """Carry out the steps of the journal that a crash may have left; do nothing without one."""
    journal = folder / JOURNAL
    if not journal.exists():
        return
    steps = json.loads(journal.read_text())
    for new_name, name in steps["swap"]:
        new_archive = folder / new_name
        if new_archive.exists():
            new_archive.replace(folder / name)
    for name in steps["remove"]:
        (folder / name).unlink(missing_ok=True)
    journal.unlink()
