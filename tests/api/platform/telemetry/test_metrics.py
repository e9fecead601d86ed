"""Metrics: declared by the catalogue, zero-initialised, and with bounded labels."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from api.platform.db import database
from api.platform.state import app_state
from api.platform.telemetry import metrics
from observability.spec import loading, names, plan
from tests.api.conftest import MakeApp
from tests.api.platform.helpers import ORDER, ORDERS, label_values, sample
from tests.api.platform.other_app import PLAN
from tests.api.platform.other_app import app as app_module
from tests.api.platform.other_app.app import FOLDER

ROUTES = {*PLAN.route_ids.values(), names.UNMATCHED}


def requests(app: Flask, route: str, status: str) -> float:
    return sample(
        app_state(app).registry, f"{names.HTTP_DURATION}_count", route=route, status=status
    )


def test_every_route_and_status_class_starts_at_zero(app: Flask) -> None:
    """The series exist before the first request, so that the first failure is an increase."""
    registry = app_state(app).registry
    exceptions = f"{names.HTTP_EXCEPTIONS}_total"
    for route in ROUTES:
        assert sample(registry, exceptions, route=route, type=names.NO_TYPE) == 0
        for status in names.STATUS_CLASSES:
            assert requests(app, route, status) == 0
    assert label_values(registry, names.ROUTE) == ROUTES


@pytest.mark.usefixtures("app")
def test_series_of_dependencies_and_jobs_start_at_zero() -> None:
    """Metrics outside requests have their series from the start, too."""
    for outcome in names.OUTCOMES:
        for dependency in PLAN.dependencies:
            sample(
                metrics.REGISTRY,
                f"{names.DEPENDENCY_DURATION}_count",
                dependency=dependency,
                outcome=outcome,
            )
        for job in PLAN.jobs:
            sample(metrics.REGISTRY, f"{names.JOB_RUNS}_total", task=job, outcome=outcome)
            sample(metrics.REGISTRY, "orders_shipped_total", task=job)


def test_bucket_edges_are_those_of_the_plan(app: Flask) -> None:
    """Every threshold of an SLO is an edge of the histogram."""
    edges = {float(edge) for edge in label_values(app_state(app).registry, "le")}
    assert edges == {float(edge) for edge in PLAN.buckets} | {float("inf")}
    assert {
        float(slo.threshold.seconds)
        for slo in PLAN.slos
        if slo.sli == plan.LATENCY and slo.threshold
    } <= edges
    # All apps of a process share this histogram; the first one decides about its edges.
    assert 1.0 in {float(edge) for edge in label_values(metrics.REGISTRY, "le")}


@pytest.mark.parametrize(
    ("method", "path", "body", "route", "code"),
    [
        ("GET", ORDERS, None, "orders.list", 200),
        ("GET", f"{ORDERS}/", None, "orders.list", 200),
        ("HEAD", ORDERS, None, "orders.list", 200),
        ("POST", ORDERS, ORDER, "v1.orders.create-one", 201),
        ("POST", ORDERS, {}, "v1.orders.create-one", 422),
        ("DELETE", "/api/v1/keys/nothing", None, "keys.revoke", 404),
        ("GET", "/health", None, "health.detail", 200),
        ("GET", "/health/live", None, "health.live", 200),
        ("GET", "/health/ready", None, "health.ready", 200),
        ("GET", "/docs", None, "docs.page", 200),
        ("GET", "/docs/start.js", None, "docs.file", 200),
        ("GET", "/openapi.json", None, "docs.openapi", 200),
        ("GET", "/favicon.ico", None, names.UNMATCHED, 404),
        ("GET", f"{ORDERS}/a/b/c", None, names.UNMATCHED, 404),
        ("PUT", ORDERS, None, names.UNMATCHED, 405),
        ("BREW", "/health", None, names.UNMATCHED, 405),
        ("OPTIONS", ORDERS, None, names.UNMATCHED, 200),
    ],
)
def test_request_is_counted_once_under_its_route(
    client: FlaskClient, app: Flask, method: str, path: str, body: object, route: str, code: int
) -> None:
    """The histogram has the status class, the counter the exact code; no other route changes."""
    status = f"{code // 100}xx"
    before = requests(app, route, status)
    assert client.open(path, method=method, json=body).status_code == code
    assert requests(app, route, status) == before + 1
    registry = app_state(app).registry
    assert sample(registry, f"{names.HTTP_REQUESTS}_total", route=route, code=str(code)) >= 1
    assert label_values(registry, names.ROUTE) == ROUTES


def test_unknown_urls_share_one_series(client: FlaskClient, app: Flask) -> None:
    """Every URL and method that matches no route counts as `unmatched`."""
    size = len(label_values(app_state(app).registry, names.ROUTE))
    for number in range(20):
        client.open(f"/wp-{number}/x.php", method=f"M{number}")
    assert requests(app, names.UNMATCHED, "4xx") == 20
    assert len(label_values(app_state(app).registry, names.ROUTE)) == size


def changed(tmp_path: Path, change: str) -> plan.Plan:
    data = yaml.safe_load((FOLDER / "catalogue.yaml").read_text(encoding="utf-8"))
    if change == "absent":
        data["exempt"]["docs.ghost"] = "GET /ghost"
    else:
        del data["exempt"]["docs.openapi"]
    path = tmp_path / "catalogue.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return loading.load_plan(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "absent",
            [
                "GET /ghost (docs.ghost) is in the catalogue, but not served",
                "add its view and its blueprint, or correct `http:`",
            ],
        ),
        (
            "unknown",
            [
                "GET /openapi.json is served, but not in the catalogue",
                "declare it under routes or exempt",
            ],
        ),
    ],
)
def test_routes_must_match_the_catalogue(
    make_app: MakeApp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    words: list[str],
) -> None:
    """Otherwise the app does not start; the error names the route and the fix."""
    wrong = changed(tmp_path, change)
    monkeypatch.setattr(app_module.loading, "load_plan", lambda *_: wrong)
    with pytest.raises(RuntimeError) as caught:
        make_app()
    assert all(word in str(caught.value) for word in words)


def test_changed_threshold_changes_the_bucket_edge(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No edge is typed in the app."""
    other = replace(PLAN, buckets=(PLAN.buckets[0], PLAN.buckets[-1] + 1))
    monkeypatch.setattr(app_module.loading, "load_plan", lambda *_: other)
    edges = label_values(app_state(make_app()).registry, "le")
    expected = {*other.buckets, "inf"}
    assert {float(edge) for edge in edges} == {float(edge) for edge in expected}


def database_calls() -> tuple[float, float]:
    """Return the numbers of successful and failed calls."""
    name = f"{names.DEPENDENCY_DURATION}_count"
    ok = sample(metrics.REGISTRY, name, dependency="database", outcome="ok")
    error = sample(metrics.REGISTRY, name, dependency="database", outcome="error")
    return ok, error


def test_statements_are_counted_by_outcome(app: Flask) -> None:
    """Successful statements and commits are ok, a failed one is error; each counts once."""
    with app.app_context():
        before = database_calls()
        with database().read() as session:
            session.execute(text("SELECT 1"))
        # PostgreSQL's driver sends BEGIN with the first statement.
        begins = 1 if database().engine.name == "sqlite" else 0
        assert database_calls() == (before[0] + 1 + begins, before[1])
        with pytest.raises(DatabaseError, match="nowhere"), database().read() as session:
            session.execute(text("SELECT * FROM nowhere"))
        assert database_calls() == (before[0] + 1 + 2 * begins, before[1] + 1)


def test_refused_row_is_no_database_error(app: Flask) -> None:
    """The caller made a mistake; the database works."""
    with app.app_context():
        write("INSERT INTO orders VALUES ('a-1', 1, '2026-01-01 00:00:00.000000', NULL)")
        errors = database_calls()[1]
        with pytest.raises(IntegrityError), database().write() as session:
            session.execute(text("INSERT INTO orders SELECT * FROM orders"))
        assert database_calls()[1] == errors


def write(*statements: str) -> None:
    with database().write() as session:
        for statement in statements:
            session.execute(text(statement))


@pytest.mark.sqlite_only("commits without a transaction fail")
def test_failed_commit_is_one_error(app: Flask) -> None:
    """A commit that violates a constraint is none."""
    with app.app_context():
        write("CREATE TABLE parcels (id TEXT REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED)")
        errors = database_calls()[1]
        with pytest.raises(IntegrityError):
            write("INSERT INTO parcels VALUES ('nobody')")
        assert database_calls()[1] == errors
        with pytest.raises(OperationalError):
            write("ROLLBACK")  # behind the session's back: its own commit finds no transaction
        assert database_calls()[1] == errors + 1


def test_exception_in_a_call_counts_as_its_error() -> None:
    """It is counted against the dependency and raised again."""
    metrics.init_process(PLAN)
    before = database_calls()
    with pytest.raises(ZeroDivisionError), metrics.dependency_call("database"):
        raise ZeroDivisionError
    with metrics.dependency_call("database"):
        pass
    assert database_calls() == (before[0] + 1, before[1] + 1)


def connections(state: str) -> float:
    return metrics.REGISTRY.get_sample_value(names.POOL, {names.STATE: state}) or 0.0


def test_connections_are_counted_while_they_are_used(app: Flask) -> None:
    """In use while a session holds the connection; open until the pool closes it."""
    with app.app_context():
        engine = database().engine
        engine.dispose()
        before = connections("open"), connections("in_use")
        with engine.connect():
            assert (connections("open"), connections("in_use")) == (before[0] + 1, before[1] + 1)
        assert (connections("open"), connections("in_use")) == (before[0] + 1, before[1])
        engine.dispose()
        assert (connections("open"), connections("in_use")) == before
