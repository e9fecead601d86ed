"""Leases: one holder at a time, also under races, and nobody for ever."""

import threading
from datetime import timedelta

from flask import Flask

from api import models
from api.models import now
from api.platform.db import database
from api.platform.jobs import leases


def expire() -> None:
    """Time passes, and nobody renewed."""
    with database().write() as session:
        session.query(models.Lease).update({"until": now() - timedelta(seconds=1)})


def rows() -> int:
    with database().read() as session:
        return session.query(models.Lease).count()


def test_one_holder_at_a_time(app: Flask) -> None:
    """A lease that is held is given to nobody else, one that was given back is; other names are
    free."""
    with app.app_context():
        with leases.hold("a") as first:
            assert first
            with leases.hold("a") as second, leases.hold("b") as other:
                assert (second, other is not None) == (None, True)
        assert (rows(), leases.HELD_OWNERS) == (0, set())
        with leases.hold("a") as again:
            assert again


def test_of_many_that_ask_at_once_one_gets_it(app: Flask) -> None:
    """The database decides, for a new lease and for one whose time is over."""
    for _ in range(2):
        got: list[leases.Lease | None] = []
        barrier = threading.Barrier(8)

        def ask(got: list[leases.Lease | None] = got, barrier: threading.Barrier = barrier) -> None:
            with app.app_context():
                barrier.wait()
                got.append(leases.acquire("a"))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(lease is not None for lease in got) == 1
        with app.app_context():
            expire()
    leases.HELD_OWNERS.clear()


def test_a_lease_that_ended_is_free_and_its_owner_learns_it(app: Flask) -> None:
    """After its time another may have it; the first can then neither keep it nor give it back."""
    with app.app_context():
        first = leases.acquire("a")
        assert first
        expire()
        with database().write() as session:
            assert first.renew(session)  # nobody wanted it meanwhile
        assert leases.acquire("a") is None
        expire()
        second = leases.acquire("a")
        assert second
        with database().write() as session:
            assert not first.renew(session)
        leases.release(first)
        with database().write() as session:
            assert second.renew(session)
        leases.release(second)


def test_renewing_prolongs_what_this_process_holds(app: Flask) -> None:
    """Renewed leases do not end, and of those that were lost it does not say that they are held."""
    with app.app_context():
        lost, kept = leases.acquire("a"), leases.acquire("b")
        assert lost
        assert kept
        expire()
        thief = leases.acquire("a")
        assert thief
        leases.HELD_OWNERS.discard(thief.owner)  # of another process
        assert leases.renew() == {kept.owner}
        assert leases.acquire("b") is None
        for lease in (lost, kept):
            leases.release(lease)
        assert leases.renew() == set()
