"""Steps and waits: how long they took, and what to read when one fails."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from observability.devstack import readiness
from observability.devstack.steps import StackError, Steps


def test_steps_say_how_long_they_took() -> None:
    """A step is printed when it is done; what it tells comes before."""
    said: list[str] = []
    with Steps(said.append)("unpacking") as tell:
        tell("downloading")
    assert said[0].strip() == "downloading"
    assert "unpacking" in said[1]


@contextmanager
def failing() -> Iterator[None]:
    with pytest.raises(StackError) as caught:
        yield
    assert "make logs P=api" in str(caught.value)


def test_waiting_in_vain_names_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that gives up, and a wait that lasts too long, both name what to read."""
    wait = readiness.Wait("the API answers", lambda: False, "make logs P=api")
    with failing():
        readiness.wait_until(wait, lambda: ["api"])
    monkeypatch.setattr(readiness, "READY_SECONDS", 0.3)
    with failing():
        readiness.wait_until(wait, list)
