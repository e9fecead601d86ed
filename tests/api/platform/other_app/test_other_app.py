"""An app with its own routes, table, migrations and catalogue on the platform."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.platform.db import database
from api.platform.jobs.worker import Jobs
from api.platform.state import app_state
from api.platform.tables import AuditEntry
from api.platform.telemetry import metrics
from observability.spec import names
from tests.api.conftest import MakeApp
from tests.api.platform.helpers import KEYS, bearer, dead_letters, is_problem, sample
from tests.api.platform.other_app.orders import LARGE, LOST, NOTIFY, SHIP, SHIPPED
from tests.receiver import receiving

PATH = "/api/v1/orders"
ORDER = {"id": "a-1", "amount": 9.5}


def registry(app: Flask) -> Any:
    return app_state(app).registry


def run_jobs(jobs: Jobs) -> None:
    """Queue what is due, and run the tasks until the queue is empty."""
    jobs.tick()
    while jobs.huey.pending_count() or jobs.huey.scheduled_count():
        for task in jobs.huey.read_schedule():
            jobs.huey.enqueue(task)
        if task := jobs.huey.dequeue():
            jobs.huey.execute(task)


def test_routes_have_metrics_and_zero_series(app: Flask) -> None:
    """Each route of its catalogue has its series before the first request."""
    for route in ("orders.list", "v1.orders.create-one"):
        for status in names.STATUS_CLASSES:
            count = f"{names.HTTP_DURATION}_count"
            assert sample(registry(app), count, route=route, status=status) == 0
    assert app.test_client().get(PATH).status_code == 200
    requests = f"{names.HTTP_REQUESTS}_total"
    assert sample(registry(app), requests, route="orders.list", code="200") == 1
    edges = {float(edge) for edge in registry(app).by_name[names.HTTP_DURATION]._kwargs["buckets"]}
    assert 0.25 in edges


def test_limit_of_its_catalogue_is_enforced(app: Flask) -> None:
    """The sixth order of a minute is refused; the other route is not."""
    client = app.test_client()
    statuses = [
        client.post(PATH, json=ORDER | {"id": f"a-{number}"}).status_code for number in range(6)
    ]
    assert statuses == [201] * 5 + [429]
    assert client.get(PATH).status_code == 200


def test_errors_are_problem_documents(client: FlaskClient) -> None:
    """Conflicts, invalid bodies and unknown URLs."""
    assert client.post(PATH, json=ORDER).status_code == 201
    assert "already exists" in is_problem(client.post(PATH, json=ORDER), 409)["detail"]
    assert "amount" in is_problem(client.post(PATH, json={"id": "b"}), 422)["errors"]["json"]
    is_problem(client.get("/api/v1/parcels"), 404)


def test_scopes_are_enforced(app: Flask) -> None:
    """A key of scope read cannot create an order."""
    refused = app.test_client().post(PATH, json=ORDER, headers=bearer(KEYS["read"]))
    is_problem(refused, 403)


def test_request_has_ids_and_a_log_line(
    make_app: MakeApp, migrated: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both have the caller's id; the line names the service and the route."""
    assert migrated
    response = make_app().test_client().get(PATH, headers={"X-Request-ID": "order-0001"})
    assert response.headers["X-Request-ID"] == "order-0001"
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (line["request_id"], line["route"], line["service"]) == (
        "order-0001",
        "orders.list",
        "orders-api",
    )


def test_health_compares_the_migrations_of_the_app(app: Flask) -> None:
    """It is ready at its own newest migration."""
    checks = app.test_client().get("/health").get_json()["checks"]
    assert checks["database"]["detail"] == "responds, at migration 0001"
    assert app.test_client().get("/health/ready").status_code == 200


def test_an_empty_database_is_not_ready(make_app: MakeApp) -> None:
    """Requests cannot be served before the migrations."""
    assert make_app().test_client().get("/health/ready").status_code == 503


def test_openapi_document_has_title_and_routes_of_the_app(client: FlaskClient) -> None:
    """It describes this app only."""
    document = client.get("/openapi.json").get_json()
    assert document["info"]["title"] == "Orders"
    operation = document["paths"][PATH]["post"]
    assert operation["operationId"] == "v1.orders.create-one"
    assert {"201", "409", "429", "500", "503"} <= operation["responses"].keys()


def test_change_of_an_order_is_audited(app: Flask, client: FlaskClient) -> None:
    """The entry names the route."""
    client.post(PATH, json=ORDER)
    with app.app_context(), database().read() as session:
        [entry] = session.query(AuditEntry)
    assert (entry.action, entry.subject) == ("v1.orders.create-one", "orders/a-1")


def test_jobs_ship_and_deliver(make_app: MakeApp, migrated: str, tmp_path: Path) -> None:
    """A job runs per order, resumes unfinished work, and its deliveries reach the receiver."""
    assert migrated
    with receiving() as receiver:
        app = make_app(
            jobs_url=f"sqlite:///{tmp_path}/jobs.db", webhook_url=receiver.url, retry_seconds=0.01
        )
        client = app.test_client()
        for order in (ORDER, {"id": "large", "amount": LARGE}, {"id": LOST, "amount": 1.0}):
            assert client.post(PATH, json=order).status_code == 201
        jobs = Jobs(app)
        before = sample(metrics.REGISTRY, f"{SHIPPED}_total", task=SHIP)
        run_jobs(jobs)
        assert sample(metrics.REGISTRY, f"{SHIPPED}_total", task=SHIP) == before + 2
        [letter] = dead_letters(app)
        assert (letter.task, letter.subject, letter.error) == (SHIP, LOST, "the parcel is lost")
        run_jobs(jobs)
        assert {sent.json["order"] for sent in receiver.sent} == {"a-1", "large"}
        assert sample(metrics.REGISTRY, f"{names.JOB_RUNS}_total", task=NOTIFY, outcome="ok") >= 2
        with app.app_context():
            jobs.leadership.release()


def test_seed_migrates_and_stores_its_data(make_app: MakeApp, tmp_path: Path) -> None:
    """The platform's command runs its migrations, stores its data and keeps keys."""
    app = make_app()
    result = app.test_cli_runner().invoke(args=["seed", "--migrate", "--keys", str(tmp_path)])
    assert result.exit_code == 0, result.output
    token = (tmp_path / "prober").read_text(encoding="utf-8")
    orders = app.test_client().get(PATH, headers=bearer(token)).get_json()["items"]
    assert [order["id"] for order in orders] == ["first"]
