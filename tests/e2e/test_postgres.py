"""PostgreSQL that is away, hangs, is killed, copied and restored.

What the API does, and the scripts of the compose stack, for real.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
import yaml
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import text

from api.app import create_app
from api.config import Settings
from api.platform.state import app_state
from api.services import nodes
from loadtests.thingspeak_stub import ThingSpeakStub
from observability.spec import names
from tests.api.helpers import NODES
from tests.api.platform.helpers import KEYS, KeyedClient, is_problem, store_keys
from tests.e2e.test_workers import ROOT, answers, free_port, seeded, until
from tests.postgres_server import OTHER, PostgresServer, programs
from tests.processes import child_names

SHIPPED = ROOT / "observability" / "devstack" / "compose" / "postgres"
GENERATED = ROOT / "observability" / "generated" / "postgres"
KILLS = 3
CLIENTS = 3
MOST = 5_000  # requests per client at most


class Shipped(PostgresServer):
    """With the settings, roles and rules of the compose stack, and its secrets.

    On a port of this machine, as on the network `data`.
    """

    superuser = "postgres"

    def __init__(self, model: "Shipped | None" = None) -> None:
        super().__init__()
        self.model = model
        self.key = model.key if model else ""  # of the API
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
        """Copy the model's data; without a model do as the image's entrypoint, and seed."""
        if self.model:
            subprocess.run(["cp", "-a", self.model.data, self.data], check=True, **OTHER)
            return
        (self.folder / "first").write_text("secret")
        made = (
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
        self.run("initdb", "-D", str(self.data), *made)
        self.start()
        self.script("init.sh", PGHOST=str(self.folder), PGPASSWORD="secret")
        self.stop()
        self.start()
        self.key = seeded(settings_for(self, "evara", self.folder))
        self.stop()

    def script(
        self, name: str, *words: str, check: bool = True, **settings: str
    ) -> "subprocess.CompletedProcess[str]":
        """A script of the stack, at its end."""
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
        """As the API gets it."""
        return f"postgresql+psycopg://evara:postgres-word@127.0.0.1:{self.port}/{database}"

    def connect(
        self, user: str, database: str = "evara", port: int | None = None
    ) -> "psycopg.Connection[Any]":
        """By the network, as that role."""
        word = {"evara": "postgres-word", "postgres": "secret"}.get(user, f"{user}-word")
        return psycopg.connect(
            host="127.0.0.1",
            port=port or self.port,
            user=user,
            password=word,
            dbname=database,
            autocommit=True,
        )

    def series(self, prefix: str) -> dict[str, Any]:
        """What the exporter finds for one question of queries.yaml, by column."""
        with self.connect("exporter") as connection:
            cursor = connection.execute(questions()[prefix]["query"])
            row = cursor.fetchone()
            return (
                dict(zip((column.name for column in cursor.description or ()), row, strict=True))
                if row
                else {}
            )


def questions() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((GENERATED / "queries.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer("fsync=off") as made:
        yield made


@pytest.fixture(scope="module")
def model() -> Iterator[Shipped]:
    """Yield a stopped server whose seeded data the servers of the tests begin with."""
    with Shipped() as server:
        server.stop()
        yield server


@pytest.fixture
def shipped(model: Shipped) -> Iterator[Shipped]:
    with Shipped(model) as server:
        yield server


@contextmanager
def app_on(url: str, **settings: Any) -> Iterator[Flask]:
    app = create_app(
        Settings(_env_file=None, env="test", database_url=url, log_level="WARNING", **settings)
    )
    app.test_client_class = KeyedClient
    yield app
    app_state(app).database.engine.dispose()


@contextmanager
def migrated(server: PostgresServer, **settings: Any) -> Iterator[Flask]:
    """An app with tables and keys, in a database of its own."""
    name = f"t{time.monotonic_ns()}"
    server.execute(f"CREATE DATABASE {name}")
    with app_on(server.url(name), **settings) as app:
        with app.app_context():
            upgrade()
        with app_state(app).database.write() as session:
            store_keys(session)
        yield app


# --- slow, full, hanging --------------------


def test_a_statement_that_takes_too_long_is_stopped_and_told(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL itself ends it.

    The caller gets 503 with Retry-After and the reason, and the connection is good for the next
    one.
    """
    with migrated(server, database_statement_timeout=0.2) as app:

        def slow(*_: Any, **__: Any) -> None:
            with app_state(app).database.read() as session:
                session.execute(text("SELECT pg_sleep(60)"))

        with monkeypatch.context() as patched:
            patched.setattr(nodes, "page", slow)
            answer = app.test_client().get(NODES)
        assert "needs too long" in is_problem(answer, 503)["detail"]
        assert answer.headers["Retry-After"] == "5"
        assert app.test_client().get(NODES).status_code == 200


def test_a_migration_may_take_longer_than_a_request(server: PostgresServer, tmp_path: Path) -> None:
    """The time-out of statements is for requests."""
    folder = Path(shutil.copytree(ROOT / "migrations", tmp_path / "migrations"))
    slow = """from alembic import op

revision, down_revision = "9999", "0004"


def upgrade():
    op.execute("SELECT pg_sleep(1)")
"""
    (folder / "versions" / "9999_slow.py").write_text(slow)
    with migrated(server, database_statement_timeout=0.2) as app, app.app_context():
        upgrade(directory=str(folder))
        with app_state(app).database.read() as session:
            assert session.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


def test_running_out_of_connections_is_told(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request without a free connection waits, then gets 503 with Retry-After.

    The next one is served as soon as a connection is given back.
    """
    monkeypatch.setattr("api.platform.db.BUSY_SECONDS", 0.2)
    with migrated(server) as app:
        assert app.test_client().get(NODES).status_code == 200  # the key is known from now on
        engine = app_state(app).database.engine
        taken = [engine.connect() for _ in range(10)]
        answer = app.test_client().get(NODES)
        is_problem(answer, 503)
        assert answer.headers["Retry-After"] == "5"
        for connection in taken:
            connection.close()
        assert app.test_client().get(NODES).status_code == 200


def test_nobody_waits_for_ever_for_a_server_that_takes_connections_and_says_nothing() -> None:
    """503 for requests and for readiness, and /health tells it to whoever shows a key.

    Without a time-out none would answer.
    """
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        app_on(f"postgresql+psycopg://a@127.0.0.1:{silent.getsockname()[1]}/a") as app,
    ):
        got: dict[str, Any] = {}
        paths = (NODES, "/health/ready", "/health")

        def ask(path: str) -> None:
            got[path] = app.test_client().get(path)

        threads = [threading.Thread(target=ask, args=(path,), daemon=True) for path in paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert {path: got[path].status_code for path in got} == dict.fromkeys(paths, 503)
        assert {got[path].headers["Retry-After"] for path in paths} == {"5"}
        assert got["/health"].get_json()["checks"]["database"] == {"ok": False}
        assert app.test_client().get("/health/live").status_code == 200


def test_a_frozen_server_does_not_hang_the_answer_about_it(server: PostgresServer) -> None:
    """While established connections hang, /health says so to an admin whose key is not cached."""
    with migrated(server) as app:
        assert app.test_client().get("/health").status_code == 200
        backend = server.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname LIKE 't%' AND backend_type = 'client backend'"
        )
        everybody = [pid for (pid,) in backend] + [server.pid]
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        try:
            until(lambda: app.test_client().get("/health/ready").status_code == 503, 30, "noticing")
            got: list[Any] = []
            other = {"Authorization": f"Bearer {KEYS['read']}"}  # not remembered yet
            asking = threading.Thread(
                target=lambda: got.append(app.test_client().get("/health", headers=other)),
                daemon=True,
            )
            asking.start()
            asking.join(60)
            assert [answer.status_code for answer in got] == [503]
        finally:
            for pid in everybody:
                os.kill(pid, signal.SIGCONT)
        until(lambda: app.test_client().get("/health").status_code == 200, 60, "recovery")


# --- away, and back --------------------


@contextmanager
def processes(environment: dict[str, str], folder: Path) -> Iterator[str]:
    """A real API and a worker; the API's address."""
    python = [sys.executable, "-m"]
    commands = {
        "api": [*python, "gunicorn", "--config", "api/gunicorn.conf.py", "api.app:create_app()"]
    }
    commands["worker"] = [*python, "flask", "--app", "api.app", "worker"]
    started = {}
    for name, command in commands.items():
        with (folder / f"{name}.log").open("w") as log:
            started[name] = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log)
    try:
        log = folder / "api.log"
        until(lambda: "Listening at" in log.read_text(), 60, "listening")
        yield re.findall(r"Listening at: (http://127\.0\.0\.1:\d+)", log.read_text())[0]
        assert [process.poll() for process in started.values()] == [None, None], (
            "one of them ended by itself"
        )
    finally:
        for process in started.values():
            process.terminate()
            process.wait(60)


def settings_for(
    server: PostgresServer, database: str, folder: Path, **more: str
) -> dict[str, str]:
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("EVARA_", "PROMETHEUS_"))
    }
    return kept | {
        "EVARA_DATABASE_URL": server.url(database),
        "EVARA_JOBS_URL": f"sqlite:///{folder}/jobs.db",
        "EVARA_LIMITER_URL": "memory://",
        "EVARA_LOG_LEVEL": "WARNING",
        "EVARA_BIND": "127.0.0.1:0",
        "EVARA_WORKERS": "2",
        **more,
    }


def is_away(api: str) -> bool:
    """Return whether readiness and requests both report a missing database as documented."""
    asked = httpx.get(
        f"{api}/api/v1/nodes", headers={"Authorization": f"Bearer {KEYS['read']}"}, timeout=30
    )
    ready = httpx.get(f"{api}/health/ready", timeout=30)
    assert httpx.get(f"{api}/health/live", timeout=30).status_code == 200
    if (asked.status_code, ready.status_code) != (503, 503):
        return False
    assert (asked.headers["Content-Type"], asked.headers["Retry-After"]) == (
        "application/problem+json",
        "5",
    )
    assert (ready.headers["Retry-After"], ready.json()["status"]) == ("5", "unavailable")
    return True


def test_api_and_worker_outlive_their_database(tmp_path: Path, replay: ThingSpeakStub) -> None:
    """They start without it, say so, and work as soon as it is there.

    The same when it goes and comes back. Nobody is restarted.
    """
    with PostgresServer("fsync=off") as server:
        server.execute("CREATE DATABASE evara")
        given = {
            "EVARA_THINGSPEAK_URL": f"http://127.0.0.1:{replay.server_port}",
            "EVARA_SYNC_EVERY": "1",
            "EVARA_LEASE_SECONDS": "2",
        }
        environment = settings_for(server, "evara", tmp_path, **given)
        server.stop()

        def syncs() -> list[Any]:
            return server.execute(
                "SELECT finished_at FROM sync_states"
                " WHERE finished_at IS NOT NULL ORDER BY node_id",
                "evara",
            )

        def synced_since(before: list[Any]) -> bool:
            return all(now > then for now, then in zip(syncs(), before, strict=True))

        with processes(environment, tmp_path) as api:
            until(lambda: is_away(api), 30, "an API that says that its database is away")
            server.start()
            key = seeded(environment)
            until(lambda: answers(f"{api}/health/ready"), 30, "readiness")
            until(lambda: len(syncs()) == 3, 60, "the first sync of every node")
            for end in (server.stop, server.kill):
                end()
                until(lambda: is_away(api), 30, "an API that says that its database is away")
                server.start()
                until(lambda: answers(f"{api}/health/ready"), 30, "readiness")
                before = syncs()
                until(partial(synced_since, before), 60, "another sync of every node")
            asked = httpx.get(
                f"{api}/api/v1/nodes", headers={"Authorization": f"Bearer {key}"}, timeout=30
            )
            assert asked.status_code == 200


def test_kills_of_the_database_lose_nothing_that_was_acknowledged(
    tmp_path: Path, shipped: Shipped
) -> None:
    """kill -9 of the postmaster under load, with the stack's settings.

    Every reading that was answered with 201 is there afterwards.
    """
    environment, key = settings_for(shipped, "evara", tmp_path), shipped.key
    first, stop = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=12), threading.Event()
    taken: list[list[datetime]] = [[] for _ in range(CLIENTS)]
    statuses: list[set[int]] = [set() for _ in range(CLIENTS)]

    def send(client: int) -> None:
        url = f"{api}/api/v1/nodes/{('main-branch', 'north-well', 'hill-tank')[client]}/readings"
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
            for number in range(MOST):
                if stop.wait(0.005):
                    return
                moment = first + timedelta(seconds=number)
                answer = http.post(
                    url,
                    json={
                        "readings": [
                            {"metric": "level_m", "time": moment.isoformat(), "value": 1.0}
                        ]
                    },
                )
                statuses[client].add(answer.status_code)
                if answer.status_code == 201:
                    taken[client].append(moment)

    with processes(environment, tmp_path) as api:
        until(lambda: answers(f"{api}/health/ready"), 60, "readiness")
        threads = [threading.Thread(target=send, args=(client,)) for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(KILLS):
                before = [len(moments) for moments in taken]
                until(
                    lambda: all(
                        len(now) > then + 5
                        for now, then in zip(taken, before, strict=True)  # noqa: B023
                    ),
                    60,
                    "load",
                )
                shipped.kill()
                shipped.start()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert set().union(*statuses) <= {201, 503, 429}
    with shipped.connect("evara") as connection:
        for node, moments in zip(("main-branch", "north-well", "hill-tank"), taken, strict=True):
            rows = connection.execute(
                "SELECT time FROM readings WHERE metric = 'level_m' AND node_id = %s", [node]
            )
            kept = {moment for (moment,) in rows}
            assert set(moments) <= kept
            assert len(moments) > 5 * KILLS


# --- the compose stack's settings and roles --------------------


def test_roles_may_what_they_need_and_no_more(shipped: Shipped) -> None:
    """The API's role is no superuser, the exporter's is read-only, and commits are on disk.

    No role reaches a database that it does not need, the superuser none over the network.
    """
    with pytest.raises(psycopg.OperationalError, match="rejects connection"):
        shipped.connect("postgres", "postgres")
    for user, database in (
        ("evara", "postgres"),
        ("exporter", "postgres"),
        ("replication", "evara"),
    ):
        with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
            shipped.connect(user, database)
    with shipped.connect("evara") as connection:
        assert connection.execute(
            "SELECT usesuper FROM pg_user WHERE usename = current_user"
        ).fetchone() == (False,)
        found = {
            name: connection.execute(f"SHOW {name}").fetchone()
            for name in ("fsync", "synchronous_commit", "password_encryption")
        }
        assert found == {
            "fsync": ("on",),
            "synchronous_commit": ("on",),
            "password_encryption": ("scram-sha-256",),
        }
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("COPY (SELECT 1) TO PROGRAM 'true'")
    with (
        shipped.connect("exporter") as connection,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        connection.execute("DELETE FROM operations.backups")
    assert "-word" not in shipped.log()


def test_every_question_of_the_exporter_has_its_columns(shipped: Shipped) -> None:
    """Each query works as the exporter's role and returns the declared columns.

    Alerts use only names that are exposed.
    """
    shipped.execute("INSERT INTO operations.backups (name, bytes) VALUES ('x', 1)", "evara")
    shipped.execute("SELECT pg_create_physical_replication_slot('replica', true)")
    for prefix, question in questions().items():
        columns = [name for metric in question["metrics"] for name in metric]
        assert list(shipped.series(prefix)) == columns, prefix
    exposed = {
        f"{prefix}_{name}" for prefix, q in questions().items() for m in q["metrics"] for name in m
    }
    assert {name for name in names.FOREIGN if name.startswith("evara_postgres_")} <= exposed


# --- replica --------------------


@contextmanager
def following(shipped: Shipped, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """The stack's replica."""
    folder = shipped.folder / "replica"
    settings = {
        "PGDATA": str(folder),
        "EVARA_PRIMARY_HOST": "127.0.0.1",
        "EVARA_PRIMARY_PORT": str(shipped.port),
    }
    settings["EVARA_POSTGRES_CONFIG"] = f"{shipped.files}/postgresql.conf"
    options = [
        "-c",
        f"hba_file={shipped.files}/pg_hba.conf",
        "-c",
        f"port={port}",
        "-c",
        "listen_addresses=127.0.0.1",
    ]
    command = [
        "bash",
        str(shipped.files / "replica.sh"),
        *options,
        "-c",
        f"unix_socket_directories={shipped.folder}",
    ]
    with (shipped.folder / "replica.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            env=shipped.environment | settings,
            stdout=log,
            stderr=log,
            cwd=shipped.folder,
            **OTHER,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def count(shipped: Shipped, port: int) -> int:
    """Nodes that this server shows; -1 when it does not answer."""
    try:
        with shipped.connect("evara", port=port) as connection:
            row = connection.execute("SELECT count(*) FROM nodes").fetchone()
            return int(row[0]) if row else -1
    except psycopg.OperationalError:
        return -1


def test_a_replica_follows_shows_its_lag_and_can_be_promoted(shipped: Shipped) -> None:
    """A replica copies once, follows, is missed while away, and catches up.

    Promoted, it stays a primary.
    """
    port = free_port()
    with following(shipped, port):
        until(lambda: count(shipped, port) == 3, 60, "the copy")
        shipped.execute(
            "INSERT INTO nodes SELECT 'n4', name, kind, 1, null, fields, created_at, updated_at"
            " FROM nodes LIMIT 1",
            "evara",
        )
        until(lambda: count(shipped, port) == 4, 30, "a row of the primary")
        until(
            lambda: shipped.series("evara_postgres_replication")["lag_seconds"] == 0,
            30,
            "a replica that has everything",
        )
        with (
            shipped.connect("evara", port=port) as connection,
            pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        ):
            connection.execute("DELETE FROM nodes")
    assert shipped.series("evara_postgres_replication")["connected"] == 0
    shipped.execute("DELETE FROM nodes WHERE id = 'n4'", "evara")
    assert shipped.series("evara_postgres_replication")["lag_bytes"] > 0
    with following(shipped, port):
        until(lambda: count(shipped, port) == 3, 60, "what happened meanwhile")
        assert (shipped.folder / "replica.log").read_text().count("replica: copied") == 1
        shipped.kill()
        shipped.run("pg_ctl", "promote", "-w", "-D", str(shipped.folder / "replica"))
        with shipped.connect("evara", port=port) as connection:
            connection.execute("DELETE FROM nodes WHERE id = 'hill-tank'")
    with following(shipped, port):
        until(lambda: count(shipped, port) == 2, 60, "the new primary")
        with shipped.connect("evara", port=port) as connection:
            connection.execute("DELETE FROM nodes WHERE id = 'north-well'")
        assert count(shipped, port) == 1


# --- backups --------------------


@pytest.fixture
def stocked(shipped: Shipped) -> Shipped:
    """With nodes, keys and readings."""
    shipped.execute(
        "INSERT INTO readings SELECT 'main-branch', 'flow_lps', now() - n * interval '1 minute', n"
        " FROM generate_series(0, 999) n",
        "evara",
    )
    shipped.execute(
        "INSERT INTO latest SELECT node_id, metric, max(time), 1 FROM readings GROUP BY 1, 2",
        "evara",
    )
    (shipped.folder / "backups").mkdir()
    os.chown(shipped.folder / "backups", OTHER.get("user", -1), OTHER.get("group", -1))
    return shipped


def await_next_second() -> None:
    """Wait until the name of a dump, which is its second, is another."""
    time.sleep(1 - time.time() % 1)


def dumps(shipped: Shipped) -> list[Path]:
    return sorted((shipped.folder / "backups").glob("evara-*.dump"))


def test_a_backup_is_checked_noted_and_can_be_restored_over_a_loss(stocked: Shipped) -> None:
    """The restore of docs/operations.md brings back everything, with the audit log's triggers.

    Old dumps are removed.
    """
    before = stocked.execute(
        "SELECT md5(string_agg(r::text, ',' ORDER BY r)) FROM readings r", "evara"
    )
    kept = [stocked.script("backup.sh", "once", EVARA_BACKUP_KEEP="2").stdout for _ in range(1)]
    assert "restored and compared" in kept[0]
    assert "readings|1000" in kept[0]
    assert stocked.series("evara_postgres_backup")["size_bytes"] == dumps(stocked)[0].stat().st_size
    stocked.execute("DROP TABLE latest; DELETE FROM readings; DELETE FROM nodes", "evara")
    commands = re.findall(
        r"PGPASSWORD=\$\(cat \S+\) (pg_restore .*)'",
        (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"),
    )
    assert len(commands) == 1
    words = (
        commands[0]
        .replace("-U postgres", f"-U postgres -h {stocked.folder} -p {stocked.port}")
        .split()[1:]
    )
    stocked.run(
        "pg_restore",
        *words,
        str(dumps(stocked)[0]),
        env=stocked.environment | {"PGPASSWORD": "secret"},
    )
    assert (
        stocked.execute("SELECT md5(string_agg(r::text, ',' ORDER BY r)) FROM readings r", "evara")
        == before
    )
    with app_on(stocked.url()) as app:
        assert app.test_client().get("/health/ready").status_code == 200
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            stocked.execute("DELETE FROM audit", "evara")
    for _ in range(3):
        await_next_second()
        stocked.script("backup.sh", "once", EVARA_BACKUP_KEEP="2")
    assert len(dumps(stocked)) == 2
    assert stocked.script("backup.sh", "check", dumps(stocked)[0].name).returncode == 0
    assert not list((stocked.folder / "backups").glob(".scratch*"))


def test_a_broken_dump_is_noticed(stocked: Shipped) -> None:
    """One that was damaged on disk, and one whose noted contents are others."""
    stocked.script("backup.sh", "once")
    (dump,) = dumps(stocked)
    summary = dump.with_name(f"{dump.name}.summary")
    summary.write_text(summary.read_text().replace("readings|1000", "readings|1001"))
    other = stocked.script("backup.sh", "check", dump.name, check=False)
    assert (other.returncode, "> readings|1000" in other.stderr) == (1, True)
    damaged = bytearray(dump.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    dump.write_bytes(damaged)
    assert stocked.script("backup.sh", "check", dump.name, check=False).returncode == 1


@pytest.mark.parametrize(
    "broken",
    [
        '"$real" "$@" && truncate --size 2000 "$file"',
        '"$real" "$@" --exclude-table-data readings',
        "exit 1",
        'kill -9 "$PPID"',
    ],
    ids=["cut off", "rows missing", "refused", "killed"],
)
def test_a_dump_that_cannot_be_trusted_does_not_count(stocked: Shipped, broken: str) -> None:
    """A bad dump is removed, says so, leaves no transaction, and does not count as a backup."""
    bin_ = stocked.folder / "bin"
    bin_.mkdir()
    fake = bin_ / "pg_dump"
    fake.write_text(f'#!/bin/bash\nreal={programs()}/pg_dump\nfile="${{@: -1}}"\n{broken}\n')
    for path in (bin_, fake):
        path.chmod(0o755)
    result = stocked.script(
        "backup.sh", "once", check=False, PATH=f"{bin_}:{stocked.environment['PATH']}"
    )
    assert result.returncode != 0
    assert stocked.series("evara_postgres_backup") == {}
    until(
        lambda: (
            stocked.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'evara'")
            == [(0,)]
        ),
        30,
        "no session of it",
    )
    if "PPID" not in broken:
        assert "FAILED" in result.stderr
        assert dumps(stocked) == []
    await_next_second()
    assert stocked.script("backup.sh", "once").returncode == 0


def test_the_service_makes_the_first_backup_at_once_and_owes_the_next(
    stocked: Shipped, tmp_path: Path
) -> None:
    """The service waits for the database, notes that a backup is owed, and makes it.

    A restart makes none before it is due.
    """
    stocked.stop()
    command, log = ["bash", str(stocked.files / "backup.sh"), "run"], tmp_path / "backup.log"
    for start in range(2):
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                env=stocked.environment,
                cwd=stocked.folder,
                stderr=output,
                start_new_session=True,
                **OTHER,
            )
        try:
            if start == 0:
                stocked.start()
                until(
                    lambda: (
                        len(stocked.execute("SELECT name FROM operations.backups", "evara")) == 2
                    ),
                    60,
                    "owed, and made",
                )
            else:
                until(lambda: "sleep" in child_names(psutil.Process(process.pid)), 30, "rest")  # noqa: B023
        finally:
            process.terminate()
            status = process.wait(30)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its sleep, as the container's end would
        assert status == 0, log.read_text()
    assert len(dumps(stocked)) == 1
    assert stocked.execute(
        "SELECT name FROM operations.backups ORDER BY checked_at LIMIT 1", "evara"
    ) == [("scheduled",)]
