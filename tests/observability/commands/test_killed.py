"""Commands that are killed: what they have started ends with them."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from observability.devstack.layout import ROOT
from observability.devstack.scratch import abandoned_folders, scratch_folder
from observability.load.run import SCRATCH_PREFIX
from tests.processes import is_running, running_children
from tests.serving import serving
from tests.waiting import until

KILLS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])


@pytest.fixture
def host() -> Iterator[str]:
    """Yield the address of a server that answers nothing but errors."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


def write_endless(program: Path) -> None:
    """Write a program that never ends."""
    program.parent.mkdir(exist_ok=True)
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)


def kill_with_child(command: list[str], number: int, **settings: str) -> None:
    """Kill a command as soon as it has a child, and see the child end."""
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | settings, stdout=subprocess.DEVNULL
    ) as process:
        started = psutil.Process(process.pid)
        until(lambda: running_children(started), what="a child")
        children = running_children(started)
        process.send_signal(number)
    for child in children:
        until(lambda: not is_running(child), what=f"the end of {child}")  # noqa: B023


@KILLS
def test_a_bound_process_ends_with_its_parent(number: int) -> None:
    """It gets SIGKILL by default, or the signal that the caller names."""
    for name in ("KILL", "TERM"):
        code = (
            "import subprocess; from observability.lib.bound_process import bind; "
            f"subprocess.run(bind(['sleep', '600'], {name!r}))"
        )
        kill_with_child([sys.executable, "-c", code], number)


@KILLS
@pytest.mark.parametrize(("command", "tool"), [("check", "promtool"), ("fetch", "apt-get")])
def test_no_tool_outlives_its_command(tmp_path: Path, command: str, tool: str, number: int) -> None:
    """`check` runs the tools of servers, `fetch` those of the distribution."""
    write_endless(tmp_path / "bin" / tool)
    settings = {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "EVARA_SERVERS_DIR": str(tmp_path / "servers"),
    }
    kill_with_child([sys.executable, "-m", "observability", command], number, **settings)


@KILLS
def test_no_load_is_sent_after_its_command(tmp_path: Path, host: str, number: int) -> None:
    """Locust ends, and the next run removes the folder."""
    load = ["load", "--time", "5m", "--users", "1", "--rate", "1", "--host", host]
    command = [sys.executable, "-m", "observability", *load, "--reports", str(tmp_path / "reports")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        kill_with_child(command, number, TMPDIR=str(tmp_path))
        [abandoned] = abandoned_folders(SCRATCH_PREFIX)
        with scratch_folder(SCRATCH_PREFIX):
            assert not abandoned.exists()
        assert list(abandoned_folders(SCRATCH_PREFIX)) == []
