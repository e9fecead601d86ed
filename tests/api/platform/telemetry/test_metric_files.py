"""Merging files of dead workers changes no number, even if it is interrupted."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from api.platform.telemetry import metric_files
from tests.api.platform.telemetry.metric_folder import (
    LAST,
    OTHERS,
    REQUESTS,
    key,
    scrape,
    write,
)


def living(folder: Path) -> dict[str, bytes]:
    """Return the contents of the files of this process."""
    return {path.name: path.read_bytes() for path in folder.glob(f"*_{os.getpid()}.db")}


def files(folder: Path) -> set[str]:
    """Return the names of all files."""
    return {path.name for path in folder.iterdir()}


def test_merge_keeps_every_number(folder: Path) -> None:
    """Counters and histograms are summed, the largest gauge stays; only dead files go."""
    before, untouched = scrape(folder), living(folder)
    assert metric_files.merge_dead(folder) == 9
    assert scrape(folder) == before
    assert before["requests_total[('route', 'a')]"] == 106
    assert before["seconds_bucket[('le', '0.2'), ('route', 'a')]"] == 106
    assert before["last[('task', 'sync')]"] == -101
    assert living(folder) == untouched
    assert files(folder) == {"counter_0.db", "histogram_0.db", "gauge_max_0.db", *untouched}


def test_second_merge_changes_nothing(folder: Path) -> None:
    """No further worker has died."""
    metric_files.merge_dead(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert metric_files.merge_dead(folder) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_later_merge_adds_to_the_archive(folder: Path, dead: list[int]) -> None:
    """The files of the next dead workers are added to it."""
    metric_files.merge_dead(folder)
    write(folder, "counter", dead[0], {REQUESTS: 7})
    before = scrape(folder)
    assert metric_files.merge_dead(folder) == 1
    assert scrape(folder) == before
    assert before["requests_total[('route', 'a')]"] == 113


def test_other_files_are_not_merged(folder: Path, dead: list[int]) -> None:
    """Files of other kinds and unreadable files stay unchanged."""
    write(folder, "gauge_all", dead[0], {LAST: 1.0})
    (folder / "counter_x.db").write_bytes(b"")
    metric_files.merge_dead(folder)
    assert {f"gauge_all_{dead[0]}.db", "counter_x.db"} <= files(folder)


def test_empty_file_of_a_worker_is_ignored(folder: Path, dead: list[int]) -> None:
    """A worker that was killed at its start leaves one; the scrape does not fail."""
    before = scrape(folder)
    shutil.copy(folder / f"counter_{dead[0]}.db", folder / f"counter_{dead[0]}.keep")
    (folder / f"counter_{dead[0]}.db").write_bytes(b"")
    metric_files.merge_dead(folder)
    assert (
        scrape(folder)["requests_total[('route', 'a')]"]
        == before["requests_total[('route', 'a')]"] - 1
    )


class Crash(BaseException):
    """The end of a process that was killed."""


STEPS = ("rename", "replace", "unlink", "write_text", "write_bytes")


def crashing(monkeypatch: pytest.MonkeyPatch, after: int, half: bool) -> None:
    """Make a merge crash at its change number `after` + 1 of the folder: before it, or half-way
    through writing a text."""
    done = 0

    def wrap(name: str) -> Any:
        real = getattr(Path, name)

        def step(self: Path, *arguments: Any, **words: Any) -> Any:
            nonlocal done
            done += 1
            if done > after:
                if half and name.startswith("write"):
                    real(self, arguments[0][: len(arguments[0]) // 2])
                raise Crash
            return real(self, *arguments, **words)

        return step

    for name in STEPS:
        monkeypatch.setattr(Path, name, wrap(name))


@pytest.mark.parametrize("half", [False, True], ids=["before a step", "within a step"])
def test_interrupted_merge_changes_no_number(
    tmp_path: Path, folder: Path, dead: list[int], half: bool
) -> None:
    """The next merge completes it; a new worker with a dead one's id loses nothing."""
    expected = scrape(folder)
    for after in range(1000):
        copy = tmp_path / f"copy-{after}"
        shutil.copytree(folder, copy)
        with pytest.MonkeyPatch.context() as patch:
            crashing(patch, after, half)
            try:
                metric_files.merge_dead(copy)
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
            patch.setattr(metric_files.psutil, "pid_exists", lambda pid, alive=alive: pid in alive)
            metric_files.merge_dead(copy)
        if reused:
            assert newborn.read_bytes() == content, f"step {after}"
            newborn.unlink()
        assert scrape(copy) == expected, f"step {after}"
        assert not {name for name in files(copy) if not name.endswith(".db")}, f"step {after}"
    assert after > 20


def test_partly_executed_journal_is_completed(folder: Path, dead: list[int]) -> None:
    """Swaps and removals that are repeated have no further effect."""
    write(folder, "counter", 0, {REQUESTS: 6, OTHERS: 5})
    for pid in dead:
        (folder / f"counter_{pid}.db").rename(folder / f"counter_{pid}.dead")
    (folder / f"counter_{dead[0]}.dead").unlink()
    swap = [["counter_0.new", "counter_0.db"]]
    (folder / metric_files.JOURNAL).write_text(
        json.dumps({"swap": swap, "remove": [f"counter_{pid}.dead" for pid in dead]})
    )
    for _ in range(2):
        metric_files.carry_out_journal(folder)
        assert scrape(folder)["requests_total[('route', 'a')]"] == 106
        assert not list(folder.glob("*.dead"))


def test_live_gauges_are_removed_with_their_process(folder: Path, dead: list[int]) -> None:
    """Those of a living process stay."""
    gone = write(folder, "gauge_livesum", dead[0], {key("open", "open", state="open"): 3})
    stays = write(folder, "gauge_livesum", os.getpid(), {key("open", "open", state="open"): 2})
    metric_files.merge_dead(folder)
    assert not gone.exists()
    assert stays.exists()
    assert scrape(folder)["open[('state', 'open')]"] == 2
