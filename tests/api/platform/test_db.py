"""Transactions: a block in which `read` and `write` share one."""

import pytest
from flask import Flask
from sqlalchemy.exc import IntegrityError

from api.platform.db import Database
from api.platform.state import app_state
from tests.api.platform.other_app.models import Order


def add(database: Database, order_id: str) -> None:
    with database.write() as session:
        session.add(Order(id=order_id, amount=1.0))


def exists(database: Database, order_id: str) -> bool:
    with database.read() as session:
        return session.get(Order, order_id) is not None


def test_blocks_inside_share_the_transaction(app: Flask) -> None:
    """What one stores, the next can read; nothing is stored when the outermost block raises."""
    database = app_state(app).database

    def add_and_fail() -> None:
        with database.one_transaction():
            add(database, "a")
            assert exists(database, "a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()
    assert not exists(database, "a")
    add(database, "b")
    assert exists(database, "b")


def test_failed_block_inside_changes_nothing(app: Flask) -> None:
    """The view may go on, as after a transaction of its own."""
    database = app_state(app).database
    add(database, "taken")
    with database.one_transaction():
        add(database, "a")
        with pytest.raises(IntegrityError):
            add(database, "taken")
        add(database, "b")
    assert exists(database, "a")
    assert exists(database, "b")
