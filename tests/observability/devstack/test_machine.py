"""The check of the machine before a start."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from observability.devstack import machine
from observability.devstack.steps import StackError


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Yield a port on which this process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_stops_the_start(taken_port: int) -> None:
    """The error has the port, its use, its owner, and the fix."""
    reason = rf"port {taken_port} \(api\) is taken by pid {os.getpid()}.*EVARA_PORT_OFFSET"
    with pytest.raises(StackError, match=reason):
        machine.require_free_ports({"api": taken_port})
    machine.require_free_ports({})


def test_doctor_and_up_measure_the_same_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is that of the stack's folder, which only `up` creates."""
    mebibytes = {tmp_path: 1, tmp_path / "state": 1}
    monkeypatch.setattr(
        machine.shutil,
        "disk_usage",
        lambda folder: SimpleNamespace(free=mebibytes.get(folder, 9000) << 20),
    )
    rows = {what: (fine, how) for what, fine, how in machine.check_tools(tmp_path / "state")}
    assert rows["disk space"] == (False, "1 MB free")
    assert not (tmp_path / "state").exists()
    with pytest.raises(StackError, match="1 MB free"):
        machine.require_disk_space(tmp_path / "state")
