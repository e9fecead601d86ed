"""Other users of the machine can read nothing that the stack stores."""

import shutil
import stat
from pathlib import Path

import pytest

from observability.devstack import private_files
from observability.devstack.layout import StackLayout
from observability.devstack.machine import require_disk_space
from observability.devstack.programs import Program
from observability.devstack.supervisor import Supervisor
from observability.lib.http import poll


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_private(layout: StackLayout) -> None:
    """It is private before `up` writes the first file."""
    require_disk_space(layout.state)
    assert mode(layout.state) == 0o700


def test_existing_files_become_private(layout: StackLayout, tmp_path: Path) -> None:
    """An older folder is corrected, but neither shared servers nor files behind links."""
    database = layout.state / "evara.db"
    wal = layout.state / "evara.db-wal"
    log = layout.state / "logs" / "api.log"
    server = layout.state / "servers" / "prometheus"
    outside = tmp_path / "outside"
    for path in (database, wal, log, server, outside):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.chmod(0o644)
    server.chmod(0o755)
    (layout.state / "link").symlink_to(outside)
    (layout.state / "dangling").symlink_to(tmp_path / "nothing")
    private_files.make_private(layout.state, server.parent)
    assert {mode(path) for path in (database, wal, log)} == {0o600}
    assert {mode(path) for path in (layout.state, log.parent)} == {0o700}
    assert (mode(server), mode(outside)) == (0o755, 0o644)


def test_programs_write_private_files(layout: StackLayout) -> None:
    """A real supervisord gives its umask to its own log, to those of programs, and to programs."""
    layout.state.mkdir(parents=True)
    touch, sleep = shutil.which("touch"), shutil.which("sleep")
    assert touch
    assert sleep
    made = layout.state / "made"
    programs = [Program("touch", (touch, str(made)), 1), Program("sleep", (sleep, "600"), 1)]
    supervisor = Supervisor(layout)
    supervisor.start(programs)
    try:
        for _ in poll(60, 0.05):
            if made.exists():
                break
        files = [made, *layout.logs.iterdir()]
        assert {path.name for path in files} >= {"made", "supervisord.log", "sleep.log"}
        assert {mode(path) for path in files} == {0o600}
    finally:
        supervisor.stop()


def test_a_private_file_is_replaced_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves the old text, with which programs can still start."""

    def begin(path: Path, text: str, **_: str) -> None:
        path.write_bytes(text.encode()[:1])
        raise OSError("No space left on device")

    path = tmp_path / "settings.json"
    assert private_files.write_private(path, "old")
    assert not private_files.write_private(path, "old")
    assert mode(path) == 0o600
    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", begin)
        with pytest.raises(OSError, match="No space"):
            private_files.write_private(path, "new")
    assert path.read_text() == "old"
    assert private_files.write_private(path, "new")
