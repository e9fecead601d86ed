"""Alerts about PostgreSQL and Valkey, which drills do not run.

Real servers of the compose stack are broken, and a real Prometheus evaluates the shipped rules on
the drill's clock. The exporters alone are imitated: they run the shipped queries.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from redis import Redis
from redis.exceptions import RedisError

from observability.devstack.layout import ROOT
from observability.lib.prometheus import Prometheus
from observability.spec.loading import load_plan
from tests.alerting import alerting, exporting
from tests.api.platform.outbound.test_valkey import CONFIG, USERS
from tests.compose_server import ComposeServer, read_queries, run_replica
from tests.postgres_server import OTHER
from tests.raised_alerts import RaisedAlerts
from tests.redis_server import RedisServer
from tests.serving import free_port
from tests.waiting import until


@pytest.fixture(scope="module")
def postgres() -> Iterator[ComposeServer]:
    """Yield a running server of the compose stack with empty tables and a folder for backups."""
    with ComposeServer() as server:
        upgrade = [sys.executable, "-m", "flask", "--app", "api.app", "db", "upgrade"]
        environment = os.environ | {"EVARA_DATABASE_URL": server.url()}
        subprocess.run(upgrade, cwd=ROOT, env=environment, check=True, capture_output=True)
        backups = server.folder / "backups"
        backups.mkdir()
        os.chown(backups, OTHER.get("user", -1), OTHER.get("group", -1))
        yield server


def expose_postgres(server: ComposeServer) -> str:
    """Return what postgres_exporter exposes: whether it can connect, and the shipped queries."""
    try:
        with server.connect("exporter") as connection:
            lines = ["pg_up 1"]
            for prefix, entry in read_queries().items():
                lines += expose_query(connection, prefix, entry)
    except psycopg.OperationalError:
        lines = ["pg_up 0"]
    return "\n".join(lines) + "\n"


def expose_query(
    connection: "psycopg.Connection[Any]", prefix: str, entry: dict[str, Any]
) -> Iterator[str]:
    """Yield the samples of a query of queries.yaml; its metrics say which columns are labels."""
    usages = {name: text["usage"] for metric in entry["metrics"] for name, text in metric.items()}
    cursor = connection.execute(entry["query"])
    columns = [column.name for column in cursor.description or ()]
    for row in cursor:
        values = dict(zip(columns, row, strict=True))
        labels = ",".join(f'{name}="{values[name]}"' for name in columns if is_label(usages[name]))
        for name in columns:
            if not is_label(usages[name]) and values[name] is not None:
                yield f"{prefix}_{name}{{{labels}}} {values[name]}"


def is_label(usage: str) -> bool:
    return usage == "LABEL"


@contextmanager
def watched(server: ComposeServer, folder: Path) -> Iterator[Prometheus]:
    """Yield a Prometheus that scrapes a PostgreSQL and evaluates the shipped rules."""
    with (
        exporting(lambda: expose_postgres(server)) as port,
        alerting(load_plan(), folder / "prometheus", {"postgres": port}) as prometheus,
    ):
        yield prometheus


@pytest.mark.raises_alert("DatabaseDown")
def test_stopped_database_raises_its_alert(
    postgres: ComposeServer, tmp_path: Path, raised_alerts: RaisedAlerts
) -> None:
    """It fires while PostgreSQL is stopped, and resolves afterwards."""
    with watched(postgres, tmp_path) as prometheus:
        assert not raised_alerts.are_firing(prometheus, "DatabaseDown")
        postgres.stop()
        until(lambda: raised_alerts.are_firing(prometheus, "DatabaseDown"))
        postgres.start()
        until(lambda: not raised_alerts.are_firing(prometheus, "DatabaseDown"))


def answers(postgres: ComposeServer, port: int) -> bool:
    """Return whether a server with the data of this one answers at a port."""
    try:
        postgres.connect("evara", port=port).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.raises_alert("ReplicationLagging")
def test_missing_replica_raises_its_alert(
    postgres: ComposeServer, tmp_path: Path, raised_alerts: RaisedAlerts
) -> None:
    """It fires while the replica is gone, and resolves when it is back."""
    port = free_port()
    connected = "evara_postgres_replication_connected == 1"
    with watched(postgres, tmp_path) as prometheus:
        with run_replica(postgres, port):
            until(lambda: answers(postgres, port), what="a replica that answers")
            until(lambda: prometheus.query(connected), what="a replica in the metrics")
        until(lambda: raised_alerts.are_firing(prometheus, "ReplicationLagging"))
        with run_replica(postgres, port):
            until(lambda: not raised_alerts.are_firing(prometheus, "ReplicationLagging"))


@pytest.mark.raises_alert("BackupMissing")
def test_old_backup_raises_its_alert(
    postgres: ComposeServer, tmp_path: Path, raised_alerts: RaisedAlerts
) -> None:
    """It fires when the last verified backup is 27 hours old, and resolves with the next one."""
    postgres.run_script("backup.sh", "once")
    with watched(postgres, tmp_path) as prometheus:
        assert not raised_alerts.are_firing(prometheus, "BackupMissing")
        made_earlier = "UPDATE operations.backups SET checked_at = now() - interval '27 hours'"
        postgres.execute(made_earlier, "evara")
        until(lambda: raised_alerts.are_firing(prometheus, "BackupMissing"))
        postgres.run_script("backup.sh", "once")
        until(lambda: not raised_alerts.are_firing(prometheus, "BackupMissing"))


def expose_valkey(server: RedisServer) -> str:
    """Return what redis_exporter exposes: whether it can connect."""
    try:
        with Redis.from_url(server.url) as client:
            return f"redis_up {int(client.ping())}\n"
    except RedisError:
        return "redis_up 0\n"


@pytest.mark.raises_alert("ValkeyDown")
def test_stopped_valkey_raises_its_alert(tmp_path: Path, raised_alerts: RaisedAlerts) -> None:
    """It fires while the server with the shipped settings is gone, and resolves afterwards."""
    users = tmp_path / "users.acl"
    users.write_text(USERS)
    with (
        RedisServer(str(CONFIG), "--aclfile", str(users)) as server,
        exporting(lambda: expose_valkey(server)) as port,
        alerting(load_plan(), tmp_path / "prometheus", {"valkey": port}) as prometheus,
    ):
        assert not raised_alerts.are_firing(prometheus, "ValkeyDown")
        server.kill()
        until(lambda: raised_alerts.are_firing(prometheus, "ValkeyDown"))
        server.start()
        until(lambda: not raised_alerts.are_firing(prometheus, "ValkeyDown"))
