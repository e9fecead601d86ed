"""The stack of a drill, without servers."""

import pytest

from observability.devstack.layout import Ports
from observability.devstack.programs import Program
from observability.devstack.steps import StackError
from observability.drill import sandbox


def test_the_replayed_history_is_short() -> None:
    """The first sync of a drill is quick, because the stub alone gets a shorter history."""
    stub = Program("replay", ("python", "-m", "loadtests.thingspeak_stub"), 10)
    assert sandbox.with_short_history(stub).command[-2:] == ["--history", "3600"]
    api = Program("api", ("gunicorn",), 20)
    assert sandbox.with_short_history(api) is api


def test_taken_ports_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set of ports is taken when one of them is; without a free set there is no sandbox."""
    first = Ports().shifted(sandbox.FIRST_OFFSET)
    second = Ports().shifted(sandbox.FIRST_OFFSET + sandbox.OFFSET_STEP)
    monkeypatch.setattr(sandbox.os, "getpid", lambda: 0)
    monkeypatch.setattr(sandbox, "is_free", lambda port: port != first.console)
    assert sandbox.free_ports() == second
    monkeypatch.setattr(sandbox, "is_free", lambda _: False)
    with pytest.raises(StackError, match="no free ports"):
        sandbox.free_ports()
