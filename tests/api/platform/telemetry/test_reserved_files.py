"""Files of metrics on a disk that is full for a while."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.platform.telemetry import metric_files, reserved_files
from api.platform.telemetry.exporter import Exporter
from api.platform.telemetry.reserved_files import INITIAL_BYTES, ReservedFile
from tests.api.platform.telemetry.metric_folder import REQUESTS, key, scrape

EVERY = "requests_total[('route', 'a')]"


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@contextmanager
def full_disk() -> Iterator[None]:
    """Refuse space for new files and archives in the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "posix_fallocate", no_space)
        patch.setattr(Path, "write_bytes", no_space)
        yield


@pytest.fixture(autouse=True)
def _memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without files in memory, and try again at each write."""
    monkeypatch.setattr(ReservedFile, "in_memory", set())
    monkeypatch.setattr(reserved_files, "RETRY_SECONDS", 0.0)


def series(number: int) -> str:
    """Return one of many keys."""
    return key("requests", "requests_total", route="x" * 1_000, number=str(number))


def test_a_file_has_its_disk_space_before_it_is_mapped(tmp_path: Path) -> None:
    """Also after it has grown; a sparse file would kill the process when the disk is full."""
    file = ReservedFile(str(tmp_path / "counter_1.db"))
    for number in range(200):
        file.write_value(series(number), 1.0, 0.0)
    status = (tmp_path / "counter_1.db").stat()
    assert status.st_size > INITIAL_BYTES
    assert status.st_blocks * 512 >= status.st_size
    assert [path.name for path in tmp_path.iterdir()] == ["counter_1.db"]


def test_values_wait_in_memory_for_space(tmp_path: Path) -> None:
    """Scrapes find no unfinished file; afterwards the first write brings all files of a process."""
    with full_disk():
        counter = ReservedFile(str(tmp_path / "counter_1.db"))
        other = ReservedFile(str(tmp_path / "histogram_1.db"))
        counter.write_value(REQUESTS, 5.0, 0.0)
        assert list(tmp_path.iterdir()) == []
        assert scrape(tmp_path) == {}
        assert ReservedFile.in_memory == {counter, other}
    counter.write_value(REQUESTS, 6.0, 0.0)
    assert scrape(tmp_path)[EVERY] == 6
    assert {path.name for path in tmp_path.iterdir()} == {"counter_1.db", "histogram_1.db"}
    assert ReservedFile.in_memory == set()


def test_a_file_that_cannot_grow_keeps_what_it_has(tmp_path: Path) -> None:
    """Its new values wait in memory, so that no counter decreases."""
    file = ReservedFile(str(tmp_path / "counter_1.db"))
    file.write_value(REQUESTS, 5.0, 0.0)
    with full_disk():
        for number in range(200):
            file.write_value(series(number), 1.0, 0.0)
        file.write_value(REQUESTS, 6.0, 0.0)
        assert scrape(tmp_path)[EVERY] == 5
    file.write_value(REQUESTS, 7.0, 0.0)
    assert scrape(tmp_path)[EVERY] == 7
    assert len(scrape(tmp_path)) == 201


@pytest.mark.parametrize("refused", ["a folder that is gone", "a name that is taken"])
def test_whatever_refuses_a_file_its_values_wait(tmp_path: Path, refused: str) -> None:
    """Not only space may be missing; a metric never fails the request that counts it."""
    folder = tmp_path / "metrics"
    path = folder / "counter_1.db"
    if refused == "a name that is taken":
        path.with_suffix(".draft").mkdir(parents=True)
    file = ReservedFile(str(path))
    file.write_value(REQUESTS, 5.0, 0.0)
    assert ReservedFile.in_memory == {file}
    if refused == "a folder that is gone":
        folder.mkdir()
    else:
        path.with_suffix(".draft").rmdir()
    file.write_value(REQUESTS, 6.0, 0.0)
    assert scrape(folder)[EVERY] == 6


def test_a_process_continues_the_file_of_its_id(tmp_path: Path) -> None:
    """The id of an ended process can be given to a new worker."""
    first = ReservedFile(str(tmp_path / "counter_1.db"))
    first.write_value(REQUESTS, 5.0, 0.0)
    first.close()
    second = ReservedFile(str(tmp_path / "counter_1.db"))
    assert second.read_value(REQUESTS) == (5.0, 0.0)


@pytest.mark.parametrize("step", ["write_bytes", "write_text"])
def test_files_that_cannot_be_merged_are_still_counted(
    folder: Path, step: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The exporter answers while archives or journal have no space, and merges afterwards."""
    exporter = Exporter(folder, frozenset({0.2}))
    count = b'requests_total{route="a"} 106.0'
    before = scrape(folder)
    with monkeypatch.context() as patch:
        patch.setattr(Path, step, no_space)
        for _ in range(2):
            assert count in exporter.render()
            assert scrape(folder) == before
            assert {path.suffix for path in folder.iterdir()} == {".db"}
    assert capfd.readouterr().err.count("No space left on device") == 1
    assert count in exporter.render()
    assert metric_files.merge_dead(folder) == 0
    assert "can be merged again" in capfd.readouterr().err


def test_drafts_of_dead_processes_are_removed(folder: Path, dead: list[int]) -> None:
    """A process that was killed while it reserved space leaves one."""
    draft = folder / f"counter_{dead[0]}.draft"
    draft.write_bytes(b"")
    alive = folder / f"counter_{os.getpid()}.draft"
    alive.write_bytes(b"")
    metric_files.merge_dead(folder)
    assert not draft.exists()
    assert alive.exists()
