"""PostgreSQL that is stopped, hangs, is killed, copied and restored.

Covers the API's behaviour and the scripts of the compose stack.
"""

import fcntl
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
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from api.app import create_app
from api.config import Settings
from api.platform.revisions import known_revisions, stored_revision
from api.platform.state import app_state
from api.services import nodes
from loadtests.thingspeak_stub import ThingSpeakStub
from observability.lib.bound_process import bind
from observability.spec import names
from tests.api.helpers import NODES
from tests.api.platform.helpers import KEYS, KeyedClient, is_problem, store_keys
from tests.compose_server import ComposeServer, read_queries, run_replica
from tests.e2e.test_workers import ROOT, free_port, responds, seed_database, until
from tests.migration_lint import add_migration
from tests.postgres_server import OTHER, PostgresServer, programs
from tests.processes import child_names

FULL_BYTES = 16_384  # of a file system that holds no dump
KILLS = 3
CLIENTS = 3
MOST = 5_000  # requests per client at most


class ComposePostgres(ComposeServer):
    """A PostgreSQL of the compose stack with seeded data, copied from another one if possible."""

    def __init__(self, model: "ComposePostgres | None" = None) -> None:
        super().__init__()
        self.model = model
        self.key = model.key if model else ""  # of the API

    def make(self) -> None:
        """Copy the model's data; without a model do as the image's entrypoint, and seed."""
        if self.model:
            subprocess.run(["cp", "-a", self.model.data, self.data], check=True, **OTHER)
            return
        super().make()
        self.start()
        self.key = seed_database(build_environment(self, "evara", self.folder))
        self.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Yield a running server with default settings."""
    with PostgresServer("fsync=off") as running:
        yield running


@pytest.fixture(scope="module")
def model() -> Iterator[ComposePostgres]:
    """Yield a stopped server whose seeded data the servers of the tests begin with."""
    with ComposePostgres() as server:
        server.stop()
        yield server


@pytest.fixture
def postgres(model: ComposePostgres) -> Iterator[ComposePostgres]:
    """Yield a running server of the compose stack with seeded data."""
    with ComposePostgres(model) as server:
        yield server


@contextmanager
def create_app_on(url: str, **settings: Any) -> Iterator[Flask]:
    """Yield an app on the database at this URL, and close its connections afterwards."""
    app = create_app(
        Settings(_env_file=None, env="test", database_url=url, log_level="WARNING", **settings)
    )
    app.test_client_class = KeyedClient
    yield app
    app_state(app).database.engine.dispose()


@contextmanager
def create_migrated_app(server: PostgresServer, **settings: Any) -> Iterator[Flask]:
    """Yield an app with tables and keys in a database of its own."""
    name = f"t{time.monotonic_ns()}"
    server.execute(f"CREATE DATABASE {name}")
    with create_app_on(server.url(name)) as app:  # no time-out of a test interrupts this
        with app.app_context():
            upgrade()
        with app_state(app).database.write() as session:
            store_keys(session)
    with create_app_on(server.url(name), **settings) as app:
        yield app


# --- slow, exhausted, unresponsive --------------------


def test_slow_statement_times_out_with_503(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with Retry-After and the reason; the connection remains usable."""
    with create_migrated_app(server, database_statement_timeout=0.2) as app:

        def slow(*_: Any, **__: Any) -> None:
            with app_state(app).database.read() as session:
                session.execute(text("SELECT pg_sleep(60)"))

        with monkeypatch.context() as patched:
            patched.setattr(nodes, "page", slow)
            answer = app.test_client().get(NODES)
        assert "took too long" in is_problem(answer, 503)["detail"]
        assert answer.headers["Retry-After"] == "5"
        # On a busy machine another statement may take that long, too.
        until(lambda: app.test_client().get(NODES).status_code == 200, 30, "a quick statement")


def test_migrations_have_no_statement_timeout(server: PostgresServer, tmp_path: Path) -> None:
    """A migration may take longer than the statement timeout of requests."""
    folder = Path(shutil.copytree(ROOT / "migrations", tmp_path / "migrations"))
    head = ScriptDirectory(str(folder)).get_current_head()
    slow = f"""from alembic import op

revision, down_revision = "9999", "{head}"


def upgrade():
    op.execute("SELECT pg_sleep(1)")
"""
    (folder / "versions" / "9999_slow.py").write_text(slow)
    with create_migrated_app(server, database_statement_timeout=0.2) as app, app.app_context():
        upgrade(directory=str(folder))
        database = app_state(app).database.engine.url.database
        assert database
        assert server.execute("SELECT version_num FROM alembic_version", database) == [("9999",)]


def test_exhausted_pool_gives_503(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request without a free connection waits, then gets 503 with Retry-After.

    The next request is served as soon as a connection is returned.
    """
    monkeypatch.setattr("api.platform.db.BUSY_SECONDS", 0.2)
    with create_migrated_app(server) as app:
        assert app.test_client().get(NODES).status_code == 200  # the key is cached from now on
        engine = app_state(app).database.engine
        connections = [engine.connect() for _ in range(10)]
        answer = app.test_client().get(NODES)
        is_problem(answer, 503)
        assert answer.headers["Retry-After"] == "5"
        for connection in connections:
            connection.close()
        assert app.test_client().get(NODES).status_code == 200


def test_unresponsive_server_gives_503() -> None:
    """A server that accepts connections and never responds gives 503 instead of a hang."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        create_app_on(f"postgresql+psycopg://a@127.0.0.1:{silent.getsockname()[1]}/a") as app,
    ):
        responses: dict[str, Any] = {}
        paths = (NODES, "/health/ready", "/health")

        def ask(path: str) -> None:
            responses[path] = app.test_client().get(path)

        threads = [threading.Thread(target=ask, args=(path,), daemon=True) for path in paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert {path: responses[path].status_code for path in responses} == dict.fromkeys(
            paths, 503
        )
        assert {responses[path].headers["Retry-After"] for path in paths} == {"5"}
        checks = responses["/health"].get_json()["checks"]
        assert checks["database"] == {"ok": False}
        assert checks["disk"] == {"ok": True}  # nobody can tell
        assert app.test_client().get("/health/live").status_code == 200


def test_health_responds_while_the_server_is_frozen(server: PostgresServer) -> None:
    """Readiness and /health respond 503 while connections hang, for an uncached key too."""
    with create_migrated_app(server) as app:
        assert app.test_client().get("/health").status_code == 200
        backend = server.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname LIKE 't%' AND backend_type = 'client backend'"
        )
        pids = [pid for (pid,) in backend] + [server.pid]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            until(lambda: app.test_client().get("/health/ready").status_code == 503, 30, "noticing")
            responses: list[Any] = []
            headers = {"Authorization": f"Bearer {KEYS['read']}"}  # not cached yet
            thread = threading.Thread(
                target=lambda: responses.append(app.test_client().get("/health", headers=headers)),
                daemon=True,
            )
            thread.start()
            thread.join(60)
            assert [answer.status_code for answer in responses] == [503]
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        until(lambda: app.test_client().get("/health").status_code == 200, 60, "recovery")


# --- outages --------------------


@contextmanager
def run_api_and_worker(environment: dict[str, str], folder: Path) -> Iterator[str]:
    """Run an API and a worker; yield the API's address."""
    python = [sys.executable, "-m"]
    commands = {
        "api": [*python, "gunicorn", "--config", "api/gunicorn.conf.py", "api.app:create_app()"]
    }
    commands["worker"] = [*python, "flask", "--app", "api.app", "worker"]
    started = {}
    for name, command in commands.items():
        with (folder / f"{name}.log").open("w") as log:
            started[name] = subprocess.Popen(
                bind(command, "TERM"), cwd=ROOT, env=environment, stderr=log
            )
    try:
        log = folder / "api.log"
        until(lambda: "Listening at" in log.read_text(), 60, "listening")
        yield re.findall(r"Listening at: (http://127\.0\.0\.1:\d+)", log.read_text())[0]
        assert [process.poll() for process in started.values()] == [None, None], (
            "a process ended unexpectedly"
        )
    finally:
        for process in started.values():
            process.terminate()
            process.wait(60)


def build_environment(
    server: PostgresServer, database: str, folder: Path, **overrides: str
) -> dict[str, str]:
    """Return the environment of an API on a database of the server."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("EVARA_", "PROMETHEUS_"))
    }
    return inherited | {
        "EVARA_DATABASE_URL": server.url(database),
        "EVARA_JOBS_URL": f"sqlite:///{folder}/jobs.db",
        "EVARA_LIMITER_URL": "memory://",
        "EVARA_LOG_LEVEL": "WARNING",
        "EVARA_BIND": "127.0.0.1:0",
        "EVARA_WORKERS": "2",
        **overrides,
    }


def reports_outage(api: str) -> bool:
    """Return whether readiness and requests both report a missing database as documented."""
    answer = httpx.get(
        f"{api}/api/v1/nodes", headers={"Authorization": f"Bearer {KEYS['read']}"}, timeout=30
    )
    ready = httpx.get(f"{api}/health/ready", timeout=30)
    assert httpx.get(f"{api}/health/live", timeout=30).status_code == 200
    if (answer.status_code, ready.status_code) != (503, 503):
        return False
    assert (answer.headers["Content-Type"], answer.headers["Retry-After"]) == (
        "application/problem+json",
        "5",
    )
    assert (ready.headers["Retry-After"], ready.json()["status"]) == ("5", "unavailable")
    return True


def test_api_and_worker_survive_database_outages(tmp_path: Path, replay: ThingSpeakStub) -> None:
    """API and worker start without a database, report it, and recover without a restart."""
    with PostgresServer("fsync=off") as server:
        server.execute("CREATE DATABASE evara")
        overrides = {
            "EVARA_THINGSPEAK_URL": f"http://127.0.0.1:{replay.server_port}",
            "EVARA_SYNC_EVERY": "1",
            "EVARA_LEASE_SECONDS": "2",
        }
        environment = build_environment(server, "evara", tmp_path, **overrides)
        server.stop()

        def finished_syncs() -> list[Any]:
            """Return the time of the last sync of each node."""
            return server.execute(
                "SELECT finished_at FROM sync_states"
                " WHERE finished_at IS NOT NULL ORDER BY node_id",
                "evara",
            )

        def synced_since(before: list[Any]) -> bool:
            return all(now > then for now, then in zip(finished_syncs(), before, strict=True))

        with run_api_and_worker(environment, tmp_path) as api:
            until(lambda: reports_outage(api), 30, "an API that reports the outage")
            server.start()
            key = seed_database(environment)
            until(lambda: responds(f"{api}/health/ready"), 30, "readiness")
            until(lambda: len(finished_syncs()) == 3, 60, "the first sync of every node")
            for end in (server.stop, server.kill):
                end()
                until(lambda: reports_outage(api), 30, "an API that reports the outage")
                server.start()
                until(lambda: responds(f"{api}/health/ready"), 30, "readiness")
                before = finished_syncs()
                until(partial(synced_since, before), 60, "another sync of every node")
            answer = httpx.get(
                f"{api}/api/v1/nodes", headers={"Authorization": f"Bearer {key}"}, timeout=30
            )
            assert answer.status_code == 200


def test_database_kills_lose_no_acknowledged_reading(
    tmp_path: Path, postgres: ComposePostgres
) -> None:
    """After kill -9 of the postmaster under load every reading with a 201 is stored."""
    environment, key = build_environment(postgres, "evara", tmp_path), postgres.key
    first, stop = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=12), threading.Event()
    acknowledged: list[list[datetime]] = [[] for _ in range(CLIENTS)]
    statuses: list[set[int]] = [set() for _ in range(CLIENTS)]

    def send_readings(client: int) -> None:
        """Send readings of one node until the test stops."""
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
                    acknowledged[client].append(moment)

    with run_api_and_worker(environment, tmp_path) as api:
        until(lambda: responds(f"{api}/health/ready"), 60, "readiness")
        threads = [
            threading.Thread(target=send_readings, args=(client,)) for client in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in range(KILLS):
                before = [len(moments) for moments in acknowledged]
                until(
                    lambda: all(
                        len(now) > then + 5
                        for now, then in zip(acknowledged, before, strict=True)  # noqa: B023
                    ),
                    60,
                    "load",
                )
                postgres.kill()
                postgres.start()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert set().union(*statuses) <= {201, 503, 429}
    with postgres.connect("evara") as connection:
        for node, moments in zip(
            ("main-branch", "north-well", "hill-tank"), acknowledged, strict=True
        ):
            rows = connection.execute(
                "SELECT time FROM readings WHERE metric = 'level_m' AND node_id = %s", [node]
            )
            stored = {moment for (moment,) in rows}
            assert set(moments) <= stored
            assert len(moments) > 5 * KILLS


# --- the compose stack's settings and roles --------------------


def test_migration_does_not_hold_up_requests(server: PostgresServer, tmp_path: Path) -> None:
    """One that waits for a table gives up; requests for the table would wait behind it."""
    change = "op.add_column('nodes', sa.Column('site', sa.String(9)))"
    with create_migrated_app(server) as app, app.app_context():
        with app_state(app).database.read() as session:
            session.execute(text("SELECT id FROM nodes"))
            with pytest.raises(DBAPIError, match="lock timeout"):
                upgrade(directory=str(add_migration(tmp_path, change)))
        with app_state(app).database.read() as session:
            assert stored_revision(session) == known_revisions()[0]


def test_roles_have_least_privileges(postgres: ComposePostgres) -> None:
    """The API's role is no superuser, the exporter's is read-only, and commits are on disk.

    Roles reach only the databases that they need, the superuser none over the network.
    """
    with pytest.raises(psycopg.OperationalError, match="rejects connection"):
        postgres.connect("postgres", "postgres")
    for user, database in (
        ("evara", "postgres"),
        ("exporter", "postgres"),
        ("replication", "evara"),
    ):
        with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
            postgres.connect(user, database)
    with postgres.connect("evara") as connection:
        assert connection.execute(
            "SELECT usesuper FROM pg_user WHERE usename = current_user"
        ).fetchone() == (False,)
        settings = {
            name: connection.execute(f"SHOW {name}").fetchone()
            for name in ("fsync", "synchronous_commit", "password_encryption")
        }
        assert settings == {
            "fsync": ("on",),
            "synchronous_commit": ("on",),
            "password_encryption": ("scram-sha-256",),
        }
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("COPY (SELECT 1) TO PROGRAM 'true'")
    with (
        postgres.connect("exporter") as connection,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        connection.execute("DELETE FROM operations.backups")
    assert "-word" not in postgres.log()


def test_exporter_queries_return_the_declared_columns(postgres: ComposePostgres) -> None:
    """Each query works with the exporter's role; alerts use only exposed names."""
    postgres.execute("INSERT INTO operations.backups (name, bytes) VALUES ('x', 1)", "evara")
    postgres.execute("SELECT pg_create_physical_replication_slot('replica', true)")
    for prefix, query in read_queries().items():
        columns = [name for metric in query["metrics"] for name in metric]
        assert list(postgres.query_exporter(prefix)) == columns, prefix
    exposed = {
        f"{prefix}_{name}"
        for prefix, q in read_queries().items()
        for m in q["metrics"]
        for name in m
    }
    assert {name for name in names.FOREIGN if name.startswith("evara_postgres_")} <= exposed


# --- replica --------------------


def count_nodes(postgres: ComposePostgres, port: int) -> int:
    """Return the number of nodes on the server at this port; -1 when it does not respond."""
    try:
        with postgres.connect("evara", port=port) as connection:
            row = connection.execute("SELECT count(*) FROM nodes").fetchone()
            return int(row[0]) if row else -1
    except psycopg.OperationalError:
        return -1


def test_replica_follows_and_can_be_promoted(postgres: ComposePostgres) -> None:
    """A replica copies the data once, reports its lag, catches up, and can become the primary."""
    port = free_port()
    with run_replica(postgres, port):
        until(lambda: count_nodes(postgres, port) == 3, 60, "the copy")
        postgres.execute(
            "INSERT INTO nodes SELECT 'n4', name, kind, 1, null, fields, created_at, updated_at"
            " FROM nodes LIMIT 1",
            "evara",
        )
        until(lambda: count_nodes(postgres, port) == 4, 30, "a row of the primary")
        until(
            lambda: postgres.query_exporter("evara_postgres_replication")["lag_seconds"] == 0,
            30,
            "a replica without lag",
        )
        with (
            postgres.connect("evara", port=port) as connection,
            pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        ):
            connection.execute("DELETE FROM nodes")
    until(
        lambda: postgres.query_exporter("evara_postgres_replication")["connected"] == 0,
        30,
        "a primary that notices the end of its replica",
    )
    postgres.execute("DELETE FROM nodes WHERE id = 'n4'", "evara")
    assert postgres.query_exporter("evara_postgres_replication")["lag_bytes"] > 0
    with run_replica(postgres, port):
        until(lambda: count_nodes(postgres, port) == 3, 60, "the missed changes")
        assert (postgres.folder / "replica.log").read_text().count("replica: copied") == 1
        postgres.kill()
        postgres.run("pg_ctl", "promote", "-w", "-D", str(postgres.folder / "replica"))
        with postgres.connect("evara", port=port) as connection:
            connection.execute("DELETE FROM nodes WHERE id = 'hill-tank'")
    with run_replica(postgres, port):
        until(lambda: count_nodes(postgres, port) == 2, 60, "the new primary")
        with postgres.connect("evara", port=port) as connection:
            connection.execute("DELETE FROM nodes WHERE id = 'north-well'")
        assert count_nodes(postgres, port) == 1


# --- backups --------------------


@pytest.fixture
def filled_postgres(postgres: ComposePostgres) -> ComposePostgres:
    """Return a server of the compose stack with nodes, keys and readings."""
    postgres.execute(
        "INSERT INTO readings SELECT 'main-branch', 'flow_lps', now() - n * interval '1 minute', n"
        " FROM generate_series(0, 999) n",
        "evara",
    )
    postgres.execute(
        "INSERT INTO latest SELECT node_id, metric, max(time), 1 FROM readings GROUP BY 1, 2",
        "evara",
    )
    (postgres.folder / "backups").mkdir()
    os.chown(postgres.folder / "backups", OTHER.get("user", -1), OTHER.get("group", -1))
    return postgres


def await_next_second() -> None:
    """Wait for the next second, which gives the next dump another name."""
    time.sleep(1 - time.time() % 1)


def list_dumps(postgres: ComposePostgres) -> list[Path]:
    """Return the dumps, oldest first."""
    return sorted((postgres.folder / "backups").glob("evara-*.dump"))


def run_restore(
    postgres: ComposePostgres, command: str, dump: Path | None = None, **settings: str
) -> "subprocess.CompletedProcess[str]":
    """Return the result of a command of restore.sh, which runs beside the server."""
    with (dump or Path(os.devnull)).open("rb") as source:
        return subprocess.run(
            ["bash", str(postgres.files / "restore.sh"), command],
            env=postgres.environment | {"PGHOST": str(postgres.folder)} | settings,
            stdin=source,
            capture_output=True,
            text=True,
            check=False,
            **OTHER,
        )


def restore(postgres: ComposePostgres, dump: Path) -> None:
    """Restore a dump with all steps."""
    for command in ("fill", "switch", "finish"):
        result = run_restore(postgres, command, dump)
        assert result.returncode == 0, result.stderr


def list_databases(postgres: ComposePostgres) -> list[str]:
    """Return the names of the databases of the API, restored and former ones included."""
    rows = postgres.execute("SELECT datname FROM pg_database WHERE datname LIKE 'evara%'")
    return sorted(name for (name,) in rows)


def test_backup_can_be_restored(filled_postgres: ComposePostgres) -> None:
    """The steps of `make restore` bring back everything, with the audit log's triggers.

    Old dumps are removed.
    """
    before = filled_postgres.execute(
        "SELECT md5(string_agg(r::text, ',' ORDER BY r)) FROM readings r", "evara"
    )
    output = filled_postgres.run_script("backup.sh", "once", EVARA_BACKUP_KEEP="2").stdout
    assert "restored and compared" in output
    assert "readings|1000" in output
    assert (
        filled_postgres.query_exporter("evara_postgres_backup")["size_bytes"]
        == list_dumps(filled_postgres)[0].stat().st_size
    )
    filled_postgres.execute("DROP TABLE latest; DELETE FROM readings; DELETE FROM nodes", "evara")
    restore(filled_postgres, list_dumps(filled_postgres)[0])
    assert (
        filled_postgres.execute(
            "SELECT md5(string_agg(r::text, ',' ORDER BY r)) FROM readings r", "evara"
        )
        == before
    )
    with create_app_on(filled_postgres.url()) as app:
        assert app.test_client().get("/health/ready").status_code == 200
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            filled_postgres.execute("DELETE FROM audit", "evara")
    for _ in range(3):
        await_next_second()
        filled_postgres.run_script("backup.sh", "once", EVARA_BACKUP_KEEP="2")
    assert len(list_dumps(filled_postgres)) == 2
    assert (
        filled_postgres.run_script(
            "backup.sh", "check", list_dumps(filled_postgres)[0].name
        ).returncode
        == 0
    )
    assert not list((filled_postgres.folder / "backups").glob(".scratch*"))


@contextmanager
def run_backups(postgres: ComposePostgres, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the service `backup` and yield its process; it ends with exit code 0."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            bind(["bash", str(postgres.files / "backup.sh"), "run"], "TERM"),
            env=postgres.environment,
            cwd=postgres.folder,
            stderr=output,
            start_new_session=True,
            **OTHER,
        )
    try:
        yield process
    finally:
        process.terminate()
        status = process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its child, which also ends with the container
    assert status == 0, log.read_text()


@pytest.mark.parametrize("kept", [0, 100, -100])
def test_a_damaged_dump_is_not_restored(filled_postgres: ComposePostgres, kept: int) -> None:
    """Nothing is left of it, and the present data stays in use."""
    filled_postgres.run_script("backup.sh", "once")
    [dump] = list_dumps(filled_postgres)
    dump.write_bytes(dump.read_bytes()[:kept])
    refused = run_restore(filled_postgres, "fill", dump)
    assert refused.returncode != 0
    assert "error" in refused.stderr
    assert list_databases(filled_postgres) == ["evara"]


def test_an_exchange_ends_sessions_and_can_be_undone(filled_postgres: ComposePostgres) -> None:
    """Clients of the former data are disconnected; undone, it is the API's again."""
    filled_postgres.run_script("backup.sh", "once")
    filled_postgres.execute("DELETE FROM readings", "evara")
    [dump] = list_dumps(filled_postgres)
    assert run_restore(filled_postgres, "fill", dump).returncode == 0
    with filled_postgres.connect("exporter") as connection:
        connection.execute("SELECT 1")
        assert run_restore(filled_postgres, "switch").returncode == 0
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert filled_postgres.execute("SELECT count(*) FROM readings", "evara") == [(1000,)]
    assert filled_postgres.execute("SELECT count(*) FROM operations.backups", "evara") == [(1,)]
    assert run_restore(filled_postgres, "undo").returncode == 0
    assert filled_postgres.execute("SELECT count(*) FROM readings", "evara") == [(0,)]
    assert run_restore(filled_postgres, "finish").returncode == 0
    assert list_databases(filled_postgres) == ["evara"]
    failed = run_restore(filled_postgres, "switch")
    assert (failed.returncode != 0, list_databases(filled_postgres)) == (True, ["evara"])
    assert run_restore(filled_postgres, "undo").returncode == 0  # there is nothing to undo
    assert list_databases(filled_postgres) == ["evara"]


def test_a_restore_keeps_the_only_copy_of_the_former_data(filled_postgres: ComposePostgres) -> None:
    """A second restore is refused until the first one is finished or undone."""
    filled_postgres.run_script("backup.sh", "once")
    filled_postgres.execute("DELETE FROM readings WHERE value >= 500", "evara")
    [dump] = list_dumps(filled_postgres)
    for command in ("fill", "switch"):
        assert run_restore(filled_postgres, command, dump).returncode == 0
    for command in ("fill", "switch"):
        refused = run_restore(filled_postgres, command, dump)
        assert refused.returncode == 1
        assert re.search(r"evara_before has.*fix: .*restore.sh finish,.* undo,", refused.stderr)
    assert list_databases(filled_postgres) == ["evara", "evara_before"]
    assert run_restore(filled_postgres, "undo").returncode == 0
    assert filled_postgres.execute("SELECT count(*) FROM readings", "evara") == [(500,)]
    assert run_restore(filled_postgres, "fill", dump).returncode == 0


def test_a_command_of_a_restore_waits_for_the_last(filled_postgres: ComposePostgres) -> None:
    """Ctrl-C leaves the script in the container running: `undo` comes after its exchange."""
    with (filled_postgres.files / "restore.sh").open("rb") as script:
        fcntl.flock(script, fcntl.LOCK_EX)
        refused = run_restore(filled_postgres, "undo", EVARA_RESTORE_WAIT="0")
    assert (refused.returncode, "another restore.sh is running" in refused.stderr) == (1, True)
    assert run_restore(filled_postgres, "undo", EVARA_RESTORE_WAIT="0").returncode == 0


def test_undo_without_a_server_is_no_success(filled_postgres: ComposePostgres) -> None:
    """A server that does not say whether there is former data is an error."""
    filled_postgres.stop()
    assert run_restore(filled_postgres, "undo").returncode != 0


def test_check_rejects_damaged_dumps(filled_postgres: ComposePostgres) -> None:
    """The check fails for a dump that is damaged or whose contents differ from its summary."""
    filled_postgres.run_script("backup.sh", "once")
    (dump,) = list_dumps(filled_postgres)
    summary = dump.with_name(f"{dump.name}.summary")
    summary.write_text(summary.read_text().replace("readings|1000", "readings|1001"))
    other = filled_postgres.run_script("backup.sh", "check", dump.name, check=False)
    assert (other.returncode, "> readings|1000" in other.stderr) == (1, True)
    damaged = bytearray(dump.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    dump.write_bytes(damaged)
    assert filled_postgres.run_script("backup.sh", "check", dump.name, check=False).returncode == 1


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
def test_failed_dumps_are_no_backups(filled_postgres: ComposePostgres, broken: str) -> None:
    """A failed dump is reported, removed and not recorded, and leaves no transaction open."""
    bin_ = filled_postgres.folder / "bin"
    bin_.mkdir()
    fake = bin_ / "pg_dump"
    fake.write_text(f'#!/bin/bash\nreal={programs()}/pg_dump\nfile="${{@: -1}}"\n{broken}\n')
    for path in (bin_, fake):
        path.chmod(0o755)
    result = filled_postgres.run_script(
        "backup.sh", "once", check=False, PATH=f"{bin_}:{filled_postgres.environment['PATH']}"
    )
    assert result.returncode != 0
    assert filled_postgres.query_exporter("evara_postgres_backup") == {}
    until(
        lambda: (
            filled_postgres.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'evara'")
            == [(0,)]
        ),
        30,
        "no session of the dump",
    )
    if "PPID" not in broken:
        assert "FAILED" in result.stderr
        assert list_dumps(filled_postgres) == []
    await_next_second()
    assert filled_postgres.run_script("backup.sh", "once").returncode == 0


def test_a_backup_on_a_full_disk_leaves_nothing(filled_postgres: ComposePostgres) -> None:
    """It is reported with the space that was left; older backups stay, and none is recorded."""
    folder = filled_postgres.folder / "backups"
    script = f"""
        mount -t tmpfs -o size={FULL_BYTES} none {folder} && touch {folder}/evara-older.dump
        bash {filled_postgres.files}/backup.sh once
        code=$?
        ls -A {folder}
        exit $code
    """
    result = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        env=filled_postgres.environment,
        cwd=filled_postgres.folder,
        capture_output=True,
        text=True,
        check=False,
        **OTHER,
    )
    assert result.returncode == 1
    assert result.stdout.split() == [".lock", "evara-older.dump"]
    assert "No space left on device" in result.stderr
    assert re.search(r"FAILED: .* \(free space: 0\); it is removed", result.stderr.splitlines()[-1])
    assert filled_postgres.query_exporter("evara_postgres_backup") == {}


def test_an_unrecorded_backup_is_none(filled_postgres: ComposePostgres, tmp_path: Path) -> None:
    """The service reports it, removes the dump, and lets `make backup` work while it waits."""
    folder = filled_postgres.folder / "backups"
    filled_postgres.execute(
        "INSERT INTO operations.backups VALUES ('scheduled', now(), 0);"
        " ALTER TABLE operations.backups ADD CHECK (bytes = 0)",
        "evara",
    )
    log = tmp_path / "backup.log"
    with run_backups(filled_postgres, log) as process:
        until(lambda: "sleep" in child_names(psutil.Process(process.pid)), 60, "rest")
        with (folder / ".lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            refused = filled_postgres.run_script(
                "backup.sh", "once", check=False, EVARA_BACKUP_WAIT="0"
            )
    assert (refused.returncode, "another backup is still" in refused.stderr) == (1, True)
    assert "FAILED" in log.read_text()
    assert list_dumps(filled_postgres) == []


def test_backup_service_starts_with_a_backup(
    filled_postgres: ComposePostgres, tmp_path: Path
) -> None:
    """The service waits for the database and makes the first backup; a restart makes none early."""
    filled_postgres.stop()
    log = tmp_path / "backup.log"

    def count_recorded() -> int:
        return len(filled_postgres.execute("SELECT name FROM operations.backups", "evara"))

    with run_backups(filled_postgres, log):
        filled_postgres.start()
        until(lambda: count_recorded() == 2, 60, "the first backup")
    with run_backups(filled_postgres, log) as process:
        until(lambda: "sleep" in child_names(psutil.Process(process.pid)), 30, "rest")
    assert len(list_dumps(filled_postgres)) == 1
    assert filled_postgres.execute(
        "SELECT name FROM operations.backups ORDER BY checked_at LIMIT 1", "evara"
    ) == [("scheduled",)]
