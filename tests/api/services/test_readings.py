"""The storage of readings, compared with a model, and from several threads."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert, text

from api.models import Latest, Node, Reading
from api.platform.db import database
from api.services import nodes, readings
from tests.api.helpers import BASE, NODE

rows = st.lists(
    st.fixed_dictionaries(
        {
            "metric": st.sampled_from("ab"),
            "time": st.integers(0, 4).map(lambda second: BASE + timedelta(seconds=second)),
            "value": st.sampled_from([0.0, 1.0, 2.0]),
        }
    ),
    min_size=1,
    max_size=12,
)


@given(batches=st.lists(rows, min_size=1, max_size=4))
@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_stored_readings_equal_those_of_a_dictionary(
    app: Flask, batches: list[list[dict[str, Any]]]
) -> None:
    """Receipts, stored and latest values are those of a dictionary that is filled row by row."""
    with app.app_context():
        nodes.create({"id": "model", "name": "Model", "kind": "bore_well"})
        try:
            model: dict[tuple[str, Any], float] = {}
            for batch in batches:
                expected = {"stored": 0, "duplicates": 0, "conflicts": 0}
                for row in batch:
                    key = row["metric"], row["time"]
                    if key not in model:
                        model[key] = row["value"]
                        expected["stored"] += 1
                    elif model[key] == row["value"]:
                        expected["duplicates"] += 1
                    else:
                        expected["conflicts"] += 1
                assert readings.store("model", batch) == expected
            with database().read() as session:
                assert {(r.metric, r.time): r.value for r in session.query(Reading)} == model
                newest = {
                    metric: max(time for m, time in model if m == metric) for metric, _ in model
                }
                latest_values = {
                    latest.metric: (latest.time, latest.value) for latest in session.query(Latest)
                }
                assert latest_values == {
                    metric: (time, model[metric, time]) for metric, time in newest.items()
                }
        finally:
            nodes.delete("model")


def test_concurrent_writers_store_each_reading_once(app: Flask) -> None:
    """Threads store overlapping batches."""
    writers, batches, size = 6, 8, 40
    receipts: list[dict[str, int]] = []
    with app.app_context():
        nodes.create(NODE)

    def write(writer: int) -> None:
        for number in range(batches):
            # The second half of a batch is the first half of the next writer's.
            first = (number * writers + writer) * size // 2
            values = [
                {"metric": "m", "time": BASE + timedelta(seconds=second), "value": float(second)}
                for second in range(first, first + size)
            ]
            with app.app_context():
                receipts.append(readings.store(NODE["id"], values))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    distinct = writers * batches * size // 2 + size // 2
    assert len(receipts) == writers * batches
    assert sum(receipt["stored"] for receipt in receipts) == distinct
    assert sum(receipt["conflicts"] for receipt in receipts) == 0
    with app.app_context(), database().read() as session:
        assert session.query(Reading).count() == distinct
        latest = session.query(Latest).one()
        assert latest.value == distinct - 1


def test_batches_in_opposite_order_do_not_deadlock(app: Flask) -> None:
    """Two batches with the same metrics in opposite order both succeed."""
    metrics = [f"m{number:02}" for number in range(9)]
    receipts: list[dict[str, int]] = []
    with app.app_context():
        nodes.create(NODE)

    def write(order: list[str]) -> None:
        with app.app_context():
            batch = [{"metric": metric, "time": BASE, "value": 1.0} for metric in order]
            receipts.append(readings.store(NODE["id"], batch))

    threads = [threading.Thread(target=write, args=(order,)) for order in (metrics, metrics[::-1])]
    with app.app_context(), database().write() as session:
        # Both batches wait for this row.
        row = insert(Reading).values(node_id=NODE["id"], metric="m04", time=BASE, value=0.0)
        session.execute(row)
        for thread in threads:
            thread.start()
            thread.join(1)  # until it waits
        session.rollback()
    for thread in threads:
        thread.join()
    assert sorted(receipt["stored"] for receipt in receipts) == [0, len(metrics)]


@pytest.mark.parametrize("table", ["readings", "latest"])
def test_rows_are_written_in_key_order(app: Flask, table: str) -> None:
    """PostgreSQL locks rows in this order, so that two batches cannot deadlock."""
    written: list[str] = []

    def remember(_: Any, __: Any, statement: str, ___: Any, context: Any, ____: Any) -> None:
        if statement.startswith(f"INSERT INTO {table} "):
            written.extend(values["metric"] for values in context.compiled_parameters)

    metrics = [f"m{number}" for number in range(9)]
    batch = [{"metric": metric, "time": BASE, "value": 1.0} for metric in reversed(metrics)]
    with app.app_context():
        nodes.create(NODE)
        event.listen(database().engine, "before_cursor_execute", remember)
        readings.store(NODE["id"], batch)
    assert written == metrics


@pytest.mark.sqlite_only("reads its plan; PostgreSQL chooses by statistics")
def test_duplicates_are_looked_up_by_their_keys(app: Flask) -> None:
    """The query does not read the rows between them, however far apart their times are."""
    with app.app_context():
        statements: list[str] = []
        engine = database().engine
        with database().write() as session:
            session.add(Node(**NODE))
        values = [
            {"metric": "m", "time": BASE - timedelta(days=days), "value": 1.0} for days in (0, 3000)
        ]
        readings.store(NODE["id"], values)

        def remember(_: Any, __: Any, statement: str, ___: Any, ____: Any, _____: Any) -> None:
            statements.append(statement)

        event.listen(engine, "before_cursor_execute", remember)
        assert readings.store(NODE["id"], values)["duplicates"] == 2
        lookup = next(
            statement for statement in statements if statement.startswith("SELECT readings")
        )
        with engine.connect() as connection:
            plan = connection.execute(
                text("EXPLAIN QUERY PLAN " + lookup.replace("?", "'x'"))
            ).all()
        assert any("node_id=? AND metric=? AND time=?" in step[-1] for step in plan), plan
