"""Backups of the compose stack's database, and their restore."""

import hashlib
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from observability.devstack.compose_settings import project_name
from observability.devstack.containers import processes
from observability.devstack.docker import CompletedProcess, run_compose
from observability.devstack.layout import StackLayout
from observability.devstack.readiness import Wait, api_wait, wait_for_each
from observability.devstack.steps import StackError, Steps
from observability.devstack.supervisor import RUNNING

FIRST_PROJECT = "evara"  # with which the names of dumps in the volume begin
DATABASE = "postgres"  # names of services
BACKUP = "backup"
WRITERS = ("api", "worker")
RUN = ("--progress", "quiet", "run", "--rm", "--no-deps", "--no-TTY")
SCRIPT = "/etc/postgresql/restore.sh"
VERIFIED = re.compile(r"^backup: (\S+\.dump) restored and compared", re.MULTILINE)
UNCHANGED = "the data is unchanged, and API and worker run"
RETRY = "fix: correct the cause, then make restore again"
RUN_SCRIPT = f"docker compose exec {DATABASE} bash {SCRIPT}"
UNDO = f"fix: docker compose start {DATABASE}, {RUN_SCRIPT} undo, then make up"
FINISH = f"fix: {RUN_SCRIPT} finish"
FORMER = "the data of before is in the database evara_before"


class NotUndoneError(StackError):
    """A restore failed, and it is unknown which data is in use: nothing may write."""


def backup(layout: StackLayout, target: Path | None, step: Steps) -> Path:
    """Dump the database, verify the dump, copy it to this machine and return its path.

    Raise StackError when one of these fails; then the target is as it was.
    """
    require_database(layout)
    with step("dumping the database, restoring the dump for comparison"):
        dumped = run_compose(layout, *RUN, BACKUP, "once")
        verified = VERIFIED.search(dumped.stdout)
        if dumped.returncode or not verified:
            raise StackError(
                f"there is no new backup: {reason_of(dumped)};"
                " fix: correct the cause, then make backup; older backups are unchanged"
            )
    name = verified[1]
    path = target or Path("backups", project_name() + name.removeprefix(FIRST_PROJECT))
    with step(f"copying it to {path}"), new_file(path) as file:
        copied = copy_of(layout, name, stdout=file)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not copy_of(layout, f"{name}.sha256").stdout.startswith(digest):
            raise OSError(f"the copy is not complete: {reason_of(copied)}")
    return path


def copy_of(layout: StackLayout, name: str, **options: BinaryIO) -> CompletedProcess:
    """Return the result of printing a file in the folder of backups."""
    return run_compose(layout, *RUN, "--entrypoint", "cat", BACKUP, f"/backups/{name}", **options)


@contextmanager
def new_file(path: Path) -> Iterator[io.BufferedRandom]:
    """Yield a file that only its owner may read, and that replaces `path` when it is complete."""
    draft = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600), "w+b") as file:
            yield file
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise StackError(
            f"the backup is in the volume of the service {BACKUP}, but not in {path}: {error};"
            " fix: make backup FILE=PATH with a path where you may write and that has space"
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def restore(layout: StackLayout, path: Path, step: Steps) -> None:
    """Replace the data of the stack by that of a dump; raise StackError.

    The dump is restored beside the present data while the API answers. Then API and worker stop,
    the databases are exchanged and migrated, and the same containers start again. A failure before
    that leaves the present data in use.
    """
    require_database(layout)
    with step(f"restoring {path} beside the present data"), open_dump(path) as dump:
        run_script(layout, "fill", f"{UNCHANGED}; {RETRY}", stdin=dump)
    with step("exchanging the data while API and worker are stopped"):
        try:
            stop_writers(layout)
            exchange(layout)
        except NotUndoneError:
            raise
        except BaseException as error:
            start_writers(layout, f"{str(error) or 'interrupted'}; ")
            raise
        start_writers(layout)
    wait_for_each([writers_wait(layout), api_wait(layout)], list, step)
    with step("removing the data of before"):
        run_script(layout, "finish", f"the restored data is in use; {FORMER}; {FINISH}")


def open_dump(path: Path) -> BinaryIO:
    """Return the open dump; raise StackError when it cannot be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise StackError(
            f"{path} cannot be read: {error.strerror}; {UNCHANGED};"
            " fix: name a file that make backup wrote: make restore FILE=PATH"
        ) from error


def exchange(layout: StackLayout) -> None:
    """Put the restored data into use and migrate it; put the former back when that fails."""
    try:
        run_script(layout, "switch", f"{UNCHANGED}; {RETRY}")
        migrated = run_compose(layout, *RUN, "migrate")
        if migrated.returncode:
            raise StackError(
                f"the backup cannot be migrated to this release: {reason_of(migrated)};"
                f" {UNCHANGED}; fix: restore it with the release that made it, or with a newer one"
            )
    except BaseException:
        undo(layout)
        raise


def undo(layout: StackLayout) -> None:
    """Put the former data back into use, if it is not; raise NotUndoneError."""
    try:
        run_script(layout, "undo", "")
    except BaseException as error:
        raise NotUndoneError(
            f"{str(error) or 'the return to the former data was interrupted; '}API and worker are"
            f" stopped, because the restored data may be in use; then {FORMER}; {UNDO}"
        ) from error


def stop_writers(layout: StackLayout) -> None:
    """Stop the containers of API and worker; raise StackError."""
    stopped = run_compose(layout, "stop", *WRITERS)
    if stopped.returncode:
        reason = reason_of(stopped)
        raise StackError(f"API and worker do not stop: {reason}; the data is unchanged; {RETRY}")


def start_writers(layout: StackLayout, reason: str = "") -> None:
    """Start the containers of API and worker again; raise StackError, with an earlier reason."""
    started = run_compose(layout, "start", *WRITERS)
    if started.returncode:
        raise StackError(f"{reason}API and worker do not start: {reason_of(started)}; fix: make up")


def run_script(layout: StackLayout, command: str, state: str, **options: BinaryIO) -> None:
    """Run a command of restore.sh; raise StackError, which says in what state the data is."""
    words = ("exec", "--no-TTY", DATABASE, "bash", SCRIPT, command)
    result = run_compose(layout, *words, **options)
    if result.returncode:
        raise StackError(f"the restore failed at its step {command}: {reason_of(result)}; {state}")


def require_database(layout: StackLayout) -> None:
    """Raise StackError unless the service of the database runs."""
    states = {row["name"]: row["statename"] for row in processes(layout)}
    if states.get(DATABASE) != RUNNING:
        raise StackError(f"the service {DATABASE} does not run; fix: make up")


def writers_wait(layout: StackLayout) -> Wait:
    """Return the wait for API and worker to be healthy."""

    def are_healthy() -> bool:
        states = {row["statename"] for row in processes(layout) if row["name"] in WRITERS}
        return states == {RUNNING}

    look_at = (
        f"make logs P=api; the restored data is in use, and {FORMER}:"
        f" {RUN_SCRIPT} undo puts it back into use, finish drops it"
    )
    return Wait("API and worker are healthy", are_healthy, look_at)


def reason_of(result: CompletedProcess) -> str:
    """Return the line of a command's output that says why it failed.

    That is the first error; without one, it is the last line. pg_restore ends with the SQL.
    """
    lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
    errors = [line for line in lines if "error:" in line or "ERROR" in line]
    return (errors or lines[-1:])[0].strip()
