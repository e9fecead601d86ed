"""What a release does with its database: the statements it sends, and the answers of its API.

`python -m tests.release_recording` (`make record`) writes tests/previous_release/*.json from the
present code, at each tag. Until the next tag, tests/api/test_previous_release.py migrates a
database that this release has filled, sends its statements again, and compares the answers.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from psycopg.types.json import Json as PostgresJson
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

from api.app import create_app
from api.config import Settings
from api.platform.db import database
from api.platform.jobs.worker import Jobs
from api.platform.revisions import known_revisions
from loadtests.thingspeak_stub import ThingSpeakStub
from tests.api.helpers import NODE, NODES
from tests.api.platform.helpers import UNLIMITED, KeyedClient, bearer, store_keys
from tests.postgres_server import UNSAFE, PostgresServer
from tests.receiver import receiving
from tests.serving import serving

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "previous_release"
ENGINES = ("sqlite", "postgresql")
HISTORY_SECONDS = 600  # of the channels: ten readings each
# Statements of drivers and of SQLAlchemy, and one whose answer every migration changes.
NOT_RECORDED = ("BEGIN", "PRAGMA", "SELECT pg_catalog.", "SELECT alembic_version")
CHANNEL = {"channel_id": 1001, "fields": {"field1": "flow_lps"}}
ALARMS = {"level_m": {"below": 0.5, "above": 3.0}}
READINGS = f"{NODES}/tank-01/readings"
FIRST, SECOND = "2026-03-01T12:00:00+00:00", "2026-03-01T12:01:00+00:00"

Request = tuple[str, str, Any]  # method, path, body
Row = list[Any]

# The data that the migration finds. The last reading raises an alarm, which stays in the outbox.
BEFORE: tuple[Request, ...] = (
    ("POST", NODES, NODE | {"alarms": ALARMS}),
    ("POST", NODES, {"id": "well-01", "name": "Well", "kind": "bore_well"} | CHANNEL),
    ("POST", NODES, {"id": "old-01", "name": "Old", "kind": "flow_meter"}),
    ("POST", READINGS, {"readings": [{"metric": "level_m", "time": FIRST, "value": 9.0}]}),
    ("POST", "/api/v1/keys", {"name": "dashboard", "scope": "read"}),
    ("DELETE", "/api/v1/keys/read", None),
)
# Every route that uses the database; failures too, because they have statements of their own.
CASES: tuple[Request, ...] = (
    ("GET", "/health/ready", None),
    ("GET", NODES, None),
    ("GET", f"{NODES}?kind=bore_well&page=1&page_size=1", None),
    ("GET", f"{NODES}/tank-01", None),
    ("GET", f"{NODES}/nobody", None),
    ("GET", f"{NODES}/tank-01/latest", None),
    ("GET", f"{READINGS}?metric=level_m&from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z", None),
    ("GET", f"{NODES}/well-01/live", None),
    ("POST", NODES, {"id": "new-01", "name": "New", "kind": "water_tank", "alarms": ALARMS}),
    ("POST", NODES, NODE),
    ("PATCH", f"{NODES}/tank-01", {"name": "Roof tank, west block"}),
    ("PATCH", f"{NODES}/well-01", {"channel_id": 1002, "channel_key": "ABCDEFGH12345678"}),
    (
        "POST",
        READINGS,
        {
            "readings": [
                {"metric": "level_m", "time": FIRST, "value": 9.0},
                {"metric": "level_m", "time": SECOND, "value": 1.5},
                {"metric": "flow_lps", "time": FIRST, "value": 0.25},
            ]
        },
    ),
    ("POST", READINGS, {"readings": [{"metric": "level_m", "time": FIRST, "value": 8.0}]}),
    ("GET", "/api/v1/keys", None),
    ("POST", "/api/v1/keys", {"name": "gateway", "scope": "write", "unlimited": True}),
    ("DELETE", "/api/v1/keys/write", None),
    ("DELETE", f"{NODES}/old-01", None),
    ("DELETE", f"{NODES}/nobody", None),
)
# Of answers: they depend on the time or on chance; `live` has more of them.
VOLATILE = {"request_id", "id", "key", "created_at", "updated_at", "revoked_at", "last_used_at"}
LIVE = {"age_seconds", "time", "value"}


@dataclass
class Recorder:
    """The transactions of an engine, in the order in which they end."""

    transactions: list[dict[str, Any]] = field(default_factory=list)
    open: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    def start(self, connection: Connection, *_: Any) -> None:
        self.open[id(connection.connection.driver_connection)] = []

    def add(self, connection: Connection, _: Any, sql: str, values: Any, *__: Any) -> None:
        if not sql.startswith(NOT_RECORDED):
            statements = self.open[id(connection.connection.driver_connection)]
            statements.append({"sql": sql, "values": encode(values)})

    def fail(self, context: Any) -> None:
        statements = self.open[id(context.connection.connection.driver_connection)]
        statements[-1]["error"] = type(context.original_exception).__name__

    def end(self, connection: Connection, committed: bool) -> None:
        statements = self.open.pop(id(connection.connection.driver_connection), [])
        if statements:
            self.transactions.append({"statements": statements, "committed": committed})

    @contextmanager
    def listen(self, engine: Engine) -> Iterator[None]:
        """Record what the engine does during the block."""
        listeners = {
            "begin": self.start,
            "before_cursor_execute": self.add,
            "handle_error": self.fail,
            "commit": partial(self.end, committed=True),
            "rollback": partial(self.end, committed=False),
        }
        for name, listener in listeners.items():
            event.listen(engine, name, listener)
        yield
        for name, listener in listeners.items():
            event.remove(engine, name, listener)


def encode(value: Any) -> Any:
    """Return a value of a statement or a row as JSON that decode() reverts."""
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    if isinstance(value, PostgresJson):
        return {"json": value.obj}
    if isinstance(value, dict):
        return {"dict": {name: encode(part) for name, part in value.items()}}
    if isinstance(value, list):
        return {"list": [encode(part) for part in value]}
    if isinstance(value, tuple):
        return {"tuple": [encode(part) for part in value]}
    return value


def decode(value: Any) -> Any:
    """Return the value that encode() was given."""
    if not isinstance(value, dict):
        return value
    [(kind, content)] = value.items()
    if kind == "time":
        return datetime.fromisoformat(content)
    if kind == "json":
        return PostgresJson(content)
    if kind == "dict":
        return {name: decode(part) for name, part in content.items()}
    parts = [decode(part) for part in content]
    return tuple(parts) if kind == "tuple" else parts


def replay(engine: Engine, transactions: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Send recorded statements again; yield each with its rows, their number, or its error."""
    for transaction in transactions:
        with engine.connect() as connection:
            for statement in transaction["statements"]:
                yield statement["sql"], send(connection, statement)
            if transaction["committed"]:
                connection.commit()


def send(connection: Connection, statement: dict[str, Any]) -> Any:
    """Return the sorted rows of a recorded statement, their number, or the class of its error."""
    try:
        result = connection.exec_driver_sql(statement["sql"], decode(statement["values"]))
    except DBAPIError as error:
        return type(error.orig).__name__
    if not result.returns_rows:
        return result.rowcount
    rows = [encode(list(row))["list"] for row in result.fetchall()]
    return sorted(rows, key=json.dumps)


def recording_app(url: str, channels: str, webhook: str) -> Flask:
    """Return an app over a database that calls these servers."""
    settings = Settings(
        _env_file=None,
        env="test",
        database_url=url,
        thingspeak_url=channels,
        webhook_url=webhook,
        jobs_url=f"sqlite:///{tempfile.mkdtemp()}/jobs.db",
        log_level="ERROR",
    )
    app = create_app(settings)
    app.test_client_class = KeyedClient
    return app


@contextmanager
def app_over(url: str) -> Iterator[Flask]:
    """Yield an app over a database, beside channels and a webhook that respond."""
    with serving(ThingSpeakStub(("127.0.0.1", 0), HISTORY_SECONDS)) as stub, receiving() as webhook:
        app = recording_app(url, f"http://127.0.0.1:{stub.server_port}", webhook.url)
        with app.app_context():
            yield app
            database().engine.dispose()


def send_requests(client: FlaskClient, requests: tuple[Request, ...]) -> list[dict[str, Any]]:
    """Send requests and return them with their answers."""
    answers = []
    for method, path, body in requests:
        answer = client.open(path, method=method, json=body, headers=bearer(UNLIMITED))
        names = VOLATILE | LIVE if path.endswith("/live") else VOLATILE
        content = without(answer.get_json(silent=True), names)
        request = {"method": method, "path": path, "body": body}
        answers.append(request | {"status": answer.status_code, "answer": content})
    return answers


def without(content: Any, names: set[str]) -> Any:
    """Return the content of an answer without the members that have these names."""
    if isinstance(content, dict):
        return {name: without(part, names) for name, part in content.items() if name not in names}
    if isinstance(content, list):
        return [without(part, names) for part in content]
    return content


def run_jobs(app: Flask) -> None:
    """Do what a worker does: lead, sync, deliver, measure, and end."""
    jobs = Jobs(app)
    jobs.tick()
    for runner in jobs.runners.values():
        runner.run_all()
    jobs.deliver.call_local({})
    jobs.leadership.release()


def record(url: str, engine: str) -> dict[str, Any]:
    """Return the recording of the present code over an empty database."""
    before, after = Recorder(), Recorder()
    with app_over(url) as app:
        upgrade()
        client = app.test_client()
        with before.listen(database().engine):
            with database().write() as session:
                store_keys(session)
            send_requests(client, BEFORE)
            next(iter(Jobs(app).runners.values())).run_all()
        with after.listen(database().engine):
            cases = send_requests(client, CASES)
            run_jobs(app)
            app.test_cli_runner().invoke(args=["seed"])
        revision = known_revisions()[0]
    describe = ["git", "describe", "--tags", "--always"]
    release = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=True)
    return {
        "release": release.stdout.strip(),
        "revision": revision,
        "engine": engine,
        "before": before.transactions,
        "after": after.transactions,
        "cases": cases,
    }


def add_results(recording: dict[str, Any], url: str) -> None:
    """Add to each recorded statement what it returns on an empty database of the same release."""
    with app_over(url):
        upgrade()
        for part in ("before", "after"):
            results = [result for _, result in replay(database().engine, recording[part])]
            for transaction in recording[part]:
                for statement in transaction["statements"]:
                    statement["result"] = results.pop(0)


def main() -> None:
    """Write the recordings of the present code, one for each engine."""
    FOLDER.mkdir(exist_ok=True)
    with PostgresServer(*UNSAFE) as server:
        folder = Path(tempfile.mkdtemp())
        for engine in ENGINES:
            urls = [f"sqlite:///{folder}/{number}.db" for number in range(2)]
            if engine == "postgresql":
                for number in range(2):
                    server.execute(f"CREATE DATABASE recording_{number}")
                urls = [server.url(f"recording_{number}") for number in range(2)]
            recording = record(urls[0], engine)
            add_results(recording, urls[1])
            text = json.dumps(recording, indent=1, ensure_ascii=False)
            (FOLDER / f"{engine}.json").write_text(text + "\n", encoding="utf-8")
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
