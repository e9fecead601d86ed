"""The app with everything on, the same views bare, and the app without one piece.

The API is loaded by its name, never imported. A piece is left out through Flask's public hook lists
and view functions, so that a new hook is a row of the table at once.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

from flask import Flask, Response, jsonify, request
from flask_migrate import upgrade
from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.orm import sessionmaker
from werkzeug.utils import import_string

from observability.spec import loading
from observability.spec.loading import CATALOGUE

NODE = {"id": "bench", "name": "Measured tank", "kind": "water_tank"}
NODE_URL = "/api/v1/nodes/bench"
NEVER_REACHED = "100000000/minute"  # the limiter counts and refuses nobody
NO_COLLECTOR = "http://127.0.0.1:9"  # spans are created and sent to a port where nothing listens
PRAGMAS = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
ALL = "all"
BARE = "bare"
LOG_LINE = "log line"
LOGS = "api.platform.telemetry.logs"
SAMPLED = "sampled trace"
SAMPLED_HEADERS = {"traceparent": "00-11111111111111111111111111111111-2222222222222222-01"}
STATE = "evara"  # the extension that holds the database and the measured dispatch


class Variant(NamedTuple):
    """An app, what holds while it works, and headers of its requests.

    `around` returns a context that is entered for each batch.
    """

    app: Flask
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    headers: Mapping[str, str] = {}


def set_environment(folder: Path) -> None:
    """Set the environment of a production stack in `folder`, before the API is loaded."""
    for name in list(os.environ):
        if name.startswith(("EVARA_", "PROMETHEUS_")):
            del os.environ[name]
    os.environ |= {
        "EVARA_ENV": "production",
        "EVARA_DATABASE_URL": f"sqlite:///{folder}/evara.db",
        "EVARA_LIMITER_URL": f"sqlite:///{folder}/limits.db",
        "EVARA_OTLP_ENDPOINT": NO_COLLECTOR,
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
    }


def create_full_app(factory: str) -> Flask:
    """Return the app of `factory` with everything on and limits that are never reached.

    The limits are edited in a copy of the catalogue, which the app loads instead.
    """
    declared = CATALOGUE.read_text(encoding="utf-8")
    unlimited = re.sub(r"(?<=rate_limit: )\d+/\w+", NEVER_REACHED, declared)
    with TemporaryDirectory() as folder:
        catalogue = Path(folder) / "catalogue.yaml"
        catalogue.write_text(unlimited, encoding="utf-8")
        plan = loading.load_plan(catalogue)
    with patch("observability.spec.loading.load_plan", return_value=plan):
        app: Flask = import_string(factory)()
    return app


def prepare(app: Flask) -> dict[str, str]:
    """Migrate, create the measured node and return the headers of authorized requests.

    Raise RuntimeError when the app refuses to create the node.
    """
    with app.app_context():
        upgrade()
    command = ["keys", "create", "bench", "--scope", "admin"]
    printed = app.test_cli_runner().invoke(args=command).output
    key = printed.split()[-1]
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    created = app.test_client().post("/api/v1/nodes/", json=NODE, headers=headers)
    if created.status_code != 201:
        reason = f"{created.status} {created.text}"
        raise RuntimeError(f"the node to measure with could not be created: {reason}")
    return headers


def create_plain_database(model: Engine) -> SimpleNamespace:
    """Return sessions over the same file with the same SQLite settings, without listeners.

    Other settings would make the bare app faster than the database allows.
    """
    settings = {}
    with model.connect() as connection:
        for name in PRAGMAS:
            settings[name] = connection.exec_driver_sql(f"PRAGMA {name}").scalar()
    engine = create_engine(model.url)

    @event.listens_for(engine, "connect")
    def apply_settings(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
        for name, value in settings.items():
            connection.execute(f"PRAGMA {name}={value}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        statement = connection.get_execution_options().get("begin", "BEGIN")
        connection.exec_driver_sql(statement)

    writer = engine.execution_options(begin="BEGIN IMMEDIATE")
    read = sessionmaker(engine, expire_on_commit=False)
    write = sessionmaker(writer, expire_on_commit=False)
    return SimpleNamespace(engine=engine, read=read, write=write.begin)


def create_plain_views() -> dict[str, Callable[..., Any]]:
    """Return endpoint → the same work around the same service call, in plain Flask.

    Their answers equal those of the app: reading and writing JSON is part of both.
    """
    nodes = import_string("api.services.nodes")
    readings = import_string("api.services.readings")
    columns = inspect(import_string("api.models:Node")).columns.keys()

    def get(node_id: str) -> Response:
        node = nodes.get(node_id)
        fields = {key: getattr(node, key) for key in columns if key != "channel_key"}
        fields["created_at"] = node.created_at.isoformat()
        fields["updated_at"] = node.updated_at.isoformat()
        return jsonify(fields)

    def ingest(node_id: str) -> tuple[Response, int]:
        rows = []
        for row in request.get_json()["readings"]:
            time = datetime.fromisoformat(row["time"])
            rows.append(row | {"time": time})
        return jsonify(readings.store(node_id, rows)), 201

    return {"nodes.get": get, "readings.ingest": ingest}


def create_bare_app(full_app: Flask) -> Flask:
    """Return a plain Flask app with the measured URLs of the full one.

    It shares the services and the database file, and has no hook at all.
    """
    app = Flask(BARE, static_folder=None)
    database = create_plain_database(full_app.extensions[STATE].database.engine)
    app.extensions[STATE] = SimpleNamespace(database=database)
    views = create_plain_views()
    for rule in full_app.url_map.iter_rules():
        if rule.endpoint in views:
            view = views[rule.endpoint]
            app.add_url_rule(rule.rule, rule.endpoint, view, methods=rule.methods)
    return app


def create_served_app(kind: str, factory: str) -> Flask:
    """Return the app that gunicorn serves, in the environment of set_environment()."""
    app = create_full_app(factory)
    if kind == BARE:
        return create_bare_app(app)
    return app


def without_log_lines() -> AbstractContextManager[object]:
    """Return a context in which requests write no log line."""
    return patch(f"{LOGS}.ACCESS_LOG.disabled", True)


def leave_out_completion(app: Flask) -> None:
    """Measure requests, but let nothing finish the response that a hook broke off.

    Completion gives such a response its security headers and its log line.
    """
    vars(app)["full_dispatch_request"] = app.extensions[STATE].timed_dispatch


def leave_out_measurement(app: Flask) -> None:
    """Dispatch requests as plain Flask does."""
    app.extensions[STATE].timed_dispatch = partial(Flask.full_dispatch_request, app)


def leave_out_timings(app: Flask) -> None:
    """Replace the database by one without listeners."""
    state = app.extensions[STATE]
    state.database = create_plain_database(state.database.engine)


def leave_out_schemas(app: Flask) -> None:
    """Replace the views by those that read and write plain JSON."""
    app.view_functions.update(create_plain_views())


LEAVE_OUT = {  # pieces that are no hook, or not only
    "schemas": leave_out_schemas,
    LOGS: leave_out_completion,
    "metrics": leave_out_measurement,
    "database timings": leave_out_timings,
}


def list_hooks(app: Flask) -> Iterator[list[Any]]:
    """Yield every list of hooks, as the app uses it."""
    for kind in (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs):
        yield from kind.values()


def find_source(hook: Any) -> str:
    """Return the module of ours or the package of others that a hook comes from."""
    module: str = getattr(hook, "func", hook).__module__  # `func`: behind a functools.partial
    if module.startswith("api."):
        return module
    return module.split(".")[0]


def create_app_without(piece: str, factory: str) -> Flask:
    """Return the full app without one piece."""
    app = create_full_app(factory)
    for hooks in list_hooks(app):
        hooks[:] = [hook for hook in hooks if find_source(hook) != piece]
    if piece in LEAVE_OUT:
        LEAVE_OUT[piece](app)
    return app


def build_variants(factory: str, *, pieces: bool = True) -> dict[str, Variant]:
    """Return `all`, `bare`, and by piece the app without it (`sampled trace`: with it).

    Without `pieces` there are only the first two.
    """
    full_app = create_full_app(factory)
    variants = {ALL: Variant(full_app), BARE: Variant(create_bare_app(full_app))}
    if not pieces:
        return variants
    sources = {find_source(hook) for hooks in list_hooks(full_app) for hook in hooks}
    for piece in sorted(sources | LEAVE_OUT.keys()):
        variants[piece] = Variant(create_app_without(piece, factory))
    variants[LOG_LINE] = Variant(full_app, without_log_lines)
    # The hooks of LOGS give a request its ids, too: without the log line, those are what is left.
    variants[LOGS] = variants[LOGS]._replace(around=without_log_lines)
    variants[SAMPLED] = Variant(full_app, headers=SAMPLED_HEADERS)
    return variants


def choose_variants(piece: str) -> tuple[str, str]:
    """Return the two variants whose difference is the cost of a piece.

    The first is the dearer one.
    """
    if piece == LOGS:
        return LOG_LINE, LOGS
    if piece == SAMPLED:
        return SAMPLED, ALL
    return ALL, piece
