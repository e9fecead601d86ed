"""A real PostgreSQL with the settings, roles, rules and scripts of the compose stack."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import yaml

from observability.devstack.layout import ROOT
from observability.lib.bound_process import bind
from tests.postgres_server import OTHER, PostgresServer, programs
from tests.serving import free_port

SHIPPED = ROOT / "observability" / "devstack" / "compose" / "postgres"
GENERATED = ROOT / "observability" / "generated" / "postgres"


class ComposeServer(PostgresServer):
    """A PostgreSQL with the settings, roles, rules and secrets of the compose stack.

    It listens on a local port instead of the network `data`.
    """

    superuser = "postgres"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.files = Path(shutil.copytree(SHIPPED, self.folder / "postgres"))
        self.settings = (
            f"config_file={self.files}/postgresql.conf",
            f"hba_file={self.files}/pg_hba.conf",
            "listen_addresses=127.0.0.1",
        )
        self.secrets = self.folder / "secrets"
        self.secrets.mkdir()
        for name in ("postgres", "replication", "exporter"):
            (self.secrets / f"{name}_password").write_text(f"{name}-word")
        (self.secrets / "superuser_password").write_text("secret")
        self.environment = {
            "PATH": f"{programs()}:{os.environ['PATH']}",
            "EVARA_SECRETS": str(self.secrets),
            "EVARA_BACKUP_DIR": str(self.folder / "backups"),
            "EVARA_BACKUP_SUMMARY": str(GENERATED / "summary.sql"),
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
        }
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, OTHER.get("user", -1), OTHER.get("group", -1))

    def make(self) -> None:
        """Do as the image's entrypoint: create roles, database and the table of backups."""
        (self.folder / "first").write_text("secret")
        options = (
            "-U",
            "postgres",
            "--pwfile",
            str(self.folder / "first"),
            "--auth=scram-sha-256",
            "--no-sync",
            "--locale=C",
            "-E",
            "UTF8",
        )
        self.run("initdb", "-D", str(self.data), *options)
        self.start()
        self.run_script("init.sh", PGHOST=str(self.folder), PGPASSWORD="secret")
        self.stop()

    def run_script(
        self, name: str, *words: str, check: bool = True, **settings: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a script of the stack and return its result."""
        command = ["bash", str(self.files / name), *words]
        environment = self.environment | settings
        return subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=check,
            cwd=self.folder,
            **OTHER,
        )

    def url(self, database: str = "evara") -> str:
        """Return the URL of a database for the API's role."""
        return f"postgresql+psycopg://evara:postgres-word@127.0.0.1:{self.port}/{database}"

    def connect(
        self, user: str, database: str = "evara", port: int | None = None
    ) -> "psycopg.Connection[Any]":
        """Return a connection over the network with this role."""
        password = {"evara": "postgres-word", "postgres": "secret"}.get(user, f"{user}-word")
        return psycopg.connect(
            host="127.0.0.1",
            port=port or self.port,
            user=user,
            password=password,
            dbname=database,
            autocommit=True,
        )

    def query_exporter(self, prefix: str) -> dict[str, Any]:
        """Return the result of one query of queries.yaml by column; empty without a row."""
        with self.connect("exporter") as connection:
            cursor = connection.execute(read_queries()[prefix]["query"])
            row = cursor.fetchone()
            return (
                dict(zip((column.name for column in cursor.description or ()), row, strict=True))
                if row
                else {}
            )


def read_queries() -> dict[str, Any]:
    """Return the exporter's queries by prefix."""
    queries: dict[str, Any] = yaml.safe_load(
        (GENERATED / "queries.yaml").read_text(encoding="utf-8")
    )
    return queries


@contextmanager
def run_replica(postgres: ComposeServer, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the stack's replica and yield its process."""
    folder = postgres.folder / "replica"
    settings = {
        "PGDATA": str(folder),
        "EVARA_PRIMARY_HOST": "127.0.0.1",
        "EVARA_PRIMARY_PORT": str(postgres.port),
    }
    settings["EVARA_POSTGRES_CONFIG"] = f"{postgres.files}/postgresql.conf"
    options = [
        "-c",
        f"hba_file={postgres.files}/pg_hba.conf",
        "-c",
        f"port={port}",
        "-c",
        "listen_addresses=127.0.0.1",
    ]
    command = [
        "bash",
        str(postgres.files / "replica.sh"),
        *options,
        "-c",
        f"unix_socket_directories={postgres.folder}",
    ]
    with (postgres.folder / "replica.log").open("ab") as log:
        process = subprocess.Popen(
            bind(command),
            env=postgres.environment | settings,
            stdout=log,
            stderr=log,
            cwd=postgres.folder,
            **OTHER,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
