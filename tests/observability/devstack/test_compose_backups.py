"""Backups and restores of the compose stack: which step follows which, and what remains."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from observability.devstack import compose_backups
from observability.devstack.compose_backups import backup, reason_of, restore
from observability.devstack.docker import CompletedProcess
from observability.devstack.layout import StackLayout
from observability.devstack.steps import StackError, Steps
from tests.observability.devstack.conftest import HEALTHY, FakeDocker

NAME = "evara-20260101T000000.dump"
CONTENT = b"a dump"
QUIET = Steps(lambda _: None)


class FakeDatabase(FakeDocker):
    """Docker with a database whose backups hold CONTENT."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        super().__init__(monkeypatch)
        self.containers = [HEALTHY | {"Service": name} for name in ("api", "worker", "postgres")]
        self.written = CONTENT

    def __call__(self, *words: str, **options: Any) -> CompletedProcess:
        if words[-1] == f"/backups/{NAME}":
            options["stdout"].write(self.written)
        return super().__call__(*words, **options)

    def output(self, words: tuple[str, ...]) -> str:
        if "once" in words:
            return f"backup: {NAME} restored and compared: readings|7\n"
        if words[-1].endswith(".sha256"):
            return f"{hashlib.sha256(CONTENT).hexdigest()}  {NAME}\n"
        return super().output(words)

    def steps(self) -> list[str]:
        """Return what was done to the data, API and worker."""
        known = {"fill", "switch", "undo", "finish", "migrate", "stop", "start"}
        return [word for words in self.commands for word in words if word in known]


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> FakeDatabase:
    """Return a running stack whose API answers."""
    monkeypatch.setattr(compose_backups, "wait_for_each", lambda *_: None)
    return FakeDatabase(monkeypatch)


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_bytes(CONTENT)
    return path


def test_a_backup_is_copied_completely(
    layout: StackLayout, database: FakeDatabase, tmp_path: Path
) -> None:
    """Only its owner may read it; a copy that is not complete leaves the former file."""
    target = tmp_path / "folder" / "copy.dump"
    assert backup(layout, target, QUIET) == target
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (CONTENT, 0o600)
    database.written = CONTENT[:3]
    with pytest.raises(StackError, match=r"not in .*copy is not complete.*fix: make backup FILE="):
        backup(layout, target, QUIET)
    assert [path.name for path in target.parent.iterdir()] == ["copy.dump"]
    assert target.read_bytes() == CONTENT


@pytest.mark.usefixtures("database")
def test_backups_of_a_second_stack_have_its_name(
    layout: StackLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are copied to the folder `backups` of the checkout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    assert backup(layout, None, QUIET) == Path("backups", NAME)
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "second")
    assert backup(layout, None, QUIET) == Path("backups", "second-20260101T000000.dump")


def test_an_interrupted_copy_leaves_no_file(
    layout: StackLayout, database: FakeDatabase, tmp_path: Path
) -> None:
    """Ctrl-C while the dump is copied removes the part that was written."""
    database.fails = interrupt_at(f"/backups/{NAME}")
    with pytest.raises(KeyboardInterrupt):
        backup(layout, tmp_path / "folder" / "copy.dump", QUIET)
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_backup_that_cannot_be_written_is_reported(
    layout: StackLayout, database: FakeDatabase, dump: Path
) -> None:
    """Docker fails, or the target's folder is a file; there is no traceback."""
    with pytest.raises(StackError, match=r"File exists.*fix: make backup FILE="):
        backup(layout, dump / "below-a-file", QUIET)
    database.fails = lambda words: "once" in words
    with pytest.raises(StackError, match="there is no new backup: because"):
        backup(layout, dump, QUIET)
    assert dump.read_bytes() == CONTENT


def test_restore_exchanges_while_nothing_writes(
    layout: StackLayout, database: FakeDatabase, dump: Path
) -> None:
    """The dump is restored before API and worker stop; the former data is removed last."""
    restore(layout, dump, QUIET)
    assert database.steps() == ["fill", "stop", "switch", "migrate", "start", "finish"]


@pytest.mark.parametrize(
    ("failing", "steps", "state"),
    [
        ("fill", ["fill"], "the data is unchanged, and API and worker run"),
        ("stop", ["fill", "stop", "start"], "do not stop: because; the data is unchanged"),
        ("switch", ["fill", "stop", "switch", "undo", "start"], "the data is unchanged"),
        (
            "migrate",
            ["fill", "stop", "switch", "migrate", "undo", "start"],
            "cannot be migrated to this release: because; the data is unchanged",
        ),
        (
            "start",
            ["fill", "stop", "switch", "migrate", "start"],
            "API and worker do not start: because; fix: make up",
        ),
        (
            "finish",
            ["fill", "stop", "switch", "migrate", "start", "finish"],
            "evara_before; fix: docker compose exec postgres bash .*/restore.sh finish",
        ),
    ],
)
def test_a_restore_stops_at_the_step_that_fails(
    layout: StackLayout,
    database: FakeDatabase,
    dump: Path,
    failing: str,
    steps: list[str],
    state: str,
) -> None:
    """API and worker start again, and the message says which data is in use."""
    database.fails = lambda words: failing in words
    with pytest.raises(StackError, match=state) as error:
        restore(layout, dump, QUIET)
    assert database.steps() == steps
    assert "fix: " in str(error.value)


def test_a_lost_database_is_reported_with_the_way_back(
    layout: StackLayout, database: FakeDatabase, dump: Path
) -> None:
    """PostgreSQL is lost after the exchange: nothing writes, and the message has the way back."""
    database.fails = lambda words: bool({"migrate", "undo"} & {*words})
    with pytest.raises(StackError, match=r"evara_before; fix: .* undo, then make up") as error:
        restore(layout, dump, QUIET)
    assert "API and worker are stopped" in str(error.value)
    assert database.steps() == ["fill", "stop", "switch", "migrate", "undo"]


def interrupt_at(*steps: str) -> Callable[[tuple[str, ...]], bool]:
    """Return a command that Ctrl-C ends at each of these steps."""

    def interrupt(words: tuple[str, ...]) -> bool:
        if {*steps} & {*words}:
            raise KeyboardInterrupt
        return False

    return interrupt


@pytest.mark.parametrize(
    ("step", "steps"),
    [
        ("stop", ["fill", "stop", "start"]),
        ("switch", ["fill", "stop", "switch", "undo", "start"]),
        ("migrate", ["fill", "stop", "switch", "migrate", "undo", "start"]),
    ],
)
def test_an_interrupted_restore_is_undone(
    layout: StackLayout, database: FakeDatabase, dump: Path, step: str, steps: list[str]
) -> None:
    """Ctrl-C puts the former data back, and starts API and worker."""
    database.fails = interrupt_at(step)
    with pytest.raises(KeyboardInterrupt):
        restore(layout, dump, QUIET)
    assert database.steps() == steps


def test_an_interrupted_return_is_reported(
    layout: StackLayout, database: FakeDatabase, dump: Path
) -> None:
    """A second Ctrl-C leaves API and worker stopped, and the message has the way back."""
    database.fails = interrupt_at("migrate", "undo")
    with pytest.raises(StackError, match=r"was interrupted; API and worker are stopped.* undo,"):
        restore(layout, dump, QUIET)
    assert database.steps() == ["fill", "stop", "switch", "migrate", "undo"]


def test_the_first_error_is_the_reason() -> None:
    """pg_restore ends with the statement that failed; without an error the last line counts."""
    pg_restore = "pg_restore: error: no such role\nCommand was: ALTER TABLE\nOWNER TO a\n"
    for text, reason in (
        (pg_restore, "pg_restore: error: no such role"),
        ("waiting\nERROR:  out of space\nCONTEXT: COPY", "ERROR:  out of space"),
        ("first\n last\n", "last"),
        ("", "exit code 3"),
    ):
        assert reason_of(CompletedProcess("", 3, "", text)) == reason


def test_nothing_starts_without_a_dump_or_a_database(
    layout: StackLayout, database: FakeDatabase, tmp_path: Path
) -> None:
    """Both are checked first."""
    with pytest.raises(StackError, match=r"No such file.*the data is unchanged.*fix: name a file"):
        restore(layout, tmp_path / "none", QUIET)
    database.containers = []
    for command in (lambda: backup(layout, None, QUIET), lambda: restore(layout, tmp_path, QUIET)):
        with pytest.raises(StackError, match="postgres does not run; fix: make up"):
            command()
    assert database.steps() == []
