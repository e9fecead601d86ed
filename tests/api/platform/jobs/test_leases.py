"""Leases: one holder at a time, also under races, and every lease expires."""

import threading
from datetime import timedelta
from unittest.mock import Mock

import pytest
from flask import Flask

from api.platform import tables
from api.platform.clock import now
from api.platform.db import database
from api.platform.jobs import leases


def expire_all() -> None:
    """Make every lease expire."""
    with database().write() as session:
        session.query(tables.Lease).update({"until": now() - timedelta(seconds=1)})


def count_rows() -> int:
    """Return the number of leases in the database."""
    with database().read() as session:
        return session.query(tables.Lease).count()


def test_lease_has_one_holder_at_a_time(app: Flask) -> None:
    """A held lease cannot be acquired, a released one can; other names are independent."""
    with app.app_context():
        with leases.hold("a") as first:
            assert first
            with leases.hold("a") as second, leases.hold("b") as other:
                assert (second, other is not None) == (None, True)
        assert (count_rows(), leases.HELD_OWNERS) == (0, set())
        with leases.hold("a") as again:
            assert again


def test_one_of_many_concurrent_callers_acquires_the_lease(app: Flask) -> None:
    """The database decides, for a new lease and for an expired one."""
    for _ in range(2):
        acquired: list[leases.Lease | None] = []
        barrier = threading.Barrier(8)

        def acquire(
            acquired: list[leases.Lease | None] = acquired, barrier: threading.Barrier = barrier
        ) -> None:
            with app.app_context():
                barrier.wait()
                acquired.append(leases.acquire("a"))

        threads = [threading.Thread(target=acquire) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(lease is not None for lease in acquired) == 1
        with app.app_context():
            expire_all()
    leases.HELD_OWNERS.clear()


def test_expired_lease_can_be_taken_over(app: Flask) -> None:
    """Until then its owner can renew it; afterwards it can neither renew nor release it."""
    with app.app_context():
        first = leases.acquire("a")
        assert first
        expire_all()
        with database().write() as session:
            assert first.renew(session)
        assert leases.acquire("a") is None
        expire_all()
        second = leases.acquire("a")
        assert second
        with database().write() as session:
            assert not first.renew(session)
        leases.release(first)
        with database().write() as session:
            assert second.renew(session)
        leases.release(second)


def test_renew_extends_the_leases_of_this_process(app: Flask) -> None:
    """It returns the owners of those that are still held."""
    with app.app_context():
        lost = leases.acquire("a")
        held = leases.acquire("b")
        assert lost
        assert held
        expire_all()
        thief = leases.acquire("a")
        assert thief
        leases.HELD_OWNERS.discard(thief.owner)  # of another process
        assert leases.renew() == {held.owner}
        assert leases.acquire("b") is None
        for lease in (lost, held):
            leases.release(lease)
        assert leases.renew() == set()


def test_stalled_leader_loses_the_leadership(app: Flask) -> None:
    """A worker leads while it renews its lease in time."""
    first = leases.Leadership(renew_seconds=0)
    second = leases.Leadership(renew_seconds=0)
    with app.app_context():
        assert first.is_held()
        assert not second.is_held()
        expire_all()
        assert first.is_held()  # renewed before another worker acquired it
        expire_all()
        leases.HELD_OWNERS.clear()  # as if the first worker had stalled
        assert second.is_held()
        assert not first.is_held()
        second.release()
        assert first.is_held()
        first.release()
        assert count_rows() == 0


def test_worker_that_cannot_renew_does_not_lead(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It raises until the database is back, because the lease may have been taken over."""
    leadership = leases.Leadership(renew_seconds=60)
    with app.app_context():
        assert leadership.is_held()
        leadership.renew_at = 0.0
        with monkeypatch.context() as patch:
            patch.setattr(leases, "renew", Mock(side_effect=ConnectionError))
            for _ in range(2):
                with pytest.raises(ConnectionError):
                    leadership.is_held()
        assert leadership.is_held()
        leadership.release()
