"""The app with everything on, the same views bare, and the app without one piece.

The API is loaded by its name, never imported. A piece is left out through Flask's public hook lists
and view functions, so that a new hook is a row of the table at once.
"""

import logging
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
NODES, URL = "/api/v1/nodes/", "/api/v1/nodes/bench"
NEVER_REACHED = "100000000/minute"  # the limiter counts and refuses nobody
NOBODY = "http://127.0.0.1:9"  # spans are made and sent to where nobody listens
PRAGMAS = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
ALL, BARE, LOG_LINE, LOGS, TRACING, SAMPLED = (
    "all",
    "bare",
    "log line",
    "api.platform.telemetry.logs",
    "api.platform.telemetry.tracing",
    "sampled trace",
)
CALLER_SAMPLES = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
STATE = "evara"  # the extension that holds the database and the measured dispatch


class Variant(NamedTuple):
    """An app, what holds while it works, and headers of its requests."""

    app: Flask
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    headers: Mapping[str, str] = {}


def settle(folder: Path) -> None:
    """Set the environment of a production stack in `folder`, before the API is loaded."""
    for name in [name for name in os.environ if name.startswith(("EVARA_", "PROMETHEUS_"))]:
        del os.environ[name]
    os.environ |= {
        "EVARA_ENV": "production",
        "EVARA_DATABASE_URL": f"sqlite:///{folder}/evara.db",
        "EVARA_LIMITER_URL": f"sqlite:///{folder}/limits.db",
        "EVARA_OTLP_ENDPOINT": NOBODY,
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
    }


def full(factory: str) -> Flask:
    """Return the app of `factory` with everything on and limits that are never reached."""
    with TemporaryDirectory() as folder:
        generous = Path(folder) / "catalogue.yaml"
        generous.write_text(
            re.sub(
                r"(?<=rate_limit: )\d+/\w+", NEVER_REACHED, CATALOGUE.read_text(encoding="utf-8")
            ),
            encoding="utf-8",
        )
        declared = loading.load_plan(generous)
    with patch("observability.spec.loading.load_plan", return_value=declared):
        app: Flask = import_string(factory)()
    return app


def prepare(app: Flask) -> dict[str, str]:
    """Migrate, create the measured node and return the headers of authorized requests."""
    headers = {"Content-Type": "application/json"}
    with app.app_context():
        upgrade()
    if "keys" in app.cli.commands:
        printed = (
            app.test_cli_runner()
            .invoke(args=["keys", "create", "bench", "--scope", "admin"])
            .output
        )
        headers["Authorization"] = f"Bearer {printed.split()[-1]}"
    made = app.test_client().post(NODES, json=NODE, headers=headers)
    if made.status_code != 201:
        raise RuntimeError(f"the node to measure with could not be made: {made.status} {made.text}")
    return headers


def plain_database(like: Engine) -> SimpleNamespace:
    """Return sessions over the same file with the same SQLite settings, without listeners."""
    with like.connect() as connection:
        settings = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS}
    engine = create_engine(like.url)

    @event.listens_for(engine, "connect")
    def tune(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
        for name, value in settings.items():
            connection.execute(f"PRAGMA {name}={value}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    writer = engine.execution_options(begin="BEGIN IMMEDIATE")
    read, write = (sessionmaker(bind, expire_on_commit=False) for bind in (engine, writer))
    return SimpleNamespace(engine=engine, read=read, write=write.begin)


def plain_views() -> dict[str, Callable[..., Any]]:
    """Endpoint → the same work around the same service call, in plain Flask."""
    nodes, readings = import_string("api.services.nodes"), import_string("api.services.readings")
    shown = inspect(import_string("api.models:Node")).columns.keys()

    def get(node_id: str) -> Response:
        node = nodes.get(node_id)
        values = {key: getattr(node, key) for key in shown if key != "channel_key"}
        return jsonify(
            {
                key: value.isoformat() if isinstance(value, datetime) else value
                for key, value in values.items()
            }
        )

    def ingest(node_id: str) -> tuple[Response, int]:
        rows = [
            row | {"time": datetime.fromisoformat(row["time"])}
            for row in request.get_json()["readings"]
        ]
        return jsonify(readings.store(node_id, rows)), 201

    return {"nodes.get": get, "readings.ingest": ingest}


def bare(like: Flask) -> Flask:
    """A plain Flask app with the measured URLs of `like`."""
    app, views = Flask(BARE, static_folder=None), plain_views()
    database = plain_database(like.extensions[STATE].database.engine)
    app.extensions[STATE] = SimpleNamespace(database=database)
    for rule in like.url_map.iter_rules():
        if rule.endpoint in views:
            app.add_url_rule(rule.rule, rule.endpoint, views[rule.endpoint], methods=rule.methods)
    return app


def served(kind: str, factory: str) -> Flask:
    """For gunicorn, in the environment that settle() made."""
    app = full(factory)
    return bare(app) if kind == BARE else app


def silent() -> AbstractContextManager[object]:
    """No line per request meanwhile."""
    return patch.object(logging.getLogger("evara.access"), "disabled", True)


def leave_out_completion(app: Flask) -> None:
    """Measure requests, but let nothing finish the response that a hook broke off."""
    vars(app)["full_dispatch_request"] = app.extensions[STATE].timed_dispatch


def leave_out_measurement(app: Flask) -> None:
    """Dispatch requests as plain Flask does."""
    app.extensions[STATE].timed_dispatch = partial(Flask.full_dispatch_request, app)


def leave_out_timings(app: Flask) -> None:
    """Replace the database by one without listeners."""
    state = app.extensions[STATE]
    state.database = plain_database(state.database.engine)


LEFT_OUT: dict[str, Callable[[Flask], object]] = {  # what no hook does
    "schemas": lambda app: app.view_functions.update(plain_views()),
    LOGS: leave_out_completion,
    "metrics": leave_out_measurement,
    "database timings": leave_out_timings,
}


def hooks(app: Flask) -> Iterator[list[Any]]:
    """Every list of hooks, as the app uses it."""
    for kind in (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs):
        yield from kind.values()


def source(hook: Any) -> str:
    """The module of ours or the package of others that a hook comes from."""
    module: str = getattr(hook, "func", hook).__module__  # `func`: behind a functools.partial
    return module if module.startswith("api.") else module.split(".")[0]


def without(app: Flask, piece: str) -> Flask:
    """The app, after `piece` was taken out of it."""
    for found in hooks(app):
        found[:] = [hook for hook in found if source(hook) != piece]
    if piece in LEFT_OUT:
        LEFT_OUT[piece](app)
    return app


def variants(factory: str, *, pieces: bool = True) -> dict[str, Variant]:
    """Return `all`, `bare`, and by piece the app without it (`sampled trace`: with it)."""
    everything = full(factory)
    made = {ALL: Variant(everything), BARE: Variant(bare(everything))}
    if pieces:
        found = {source(hook) for hooked in hooks(everything) for hook in hooked}
        made |= {
            piece: Variant(without(full(factory), piece))
            for piece in sorted(found | LEFT_OUT.keys())
        }
        made[LOG_LINE] = Variant(everything, silent)
        made[LOGS] = made[LOGS]._replace(
            around=silent
        )  # its hooks give a request its ids, too: those are what is left
        if TRACING in found:
            made[SAMPLED] = Variant(everything, headers=CALLER_SAMPLES)
    return made


def pair(piece: str) -> tuple[str, str]:
    """Which variant minus which variant a piece costs."""
    return {LOGS: (LOG_LINE, LOGS), SAMPLED: (SAMPLED, ALL)}.get(piece, (ALL, piece))
