"""The targets files of Prometheus."""

import signal
import subprocess
import sys

import pytest
import yaml

from observability.devstack.layout import ROOT, StackLayout
from observability.devstack.private_files import PRIVATE
from observability.devstack.server_configs import write_server_configs
from observability.devstack.targets import announced_at_end, target_ports, withdraw_targets
from observability.spec.plan import Plan
from tests.waiting import until


def test_targets_are_announced_and_withdrawn(layout: StackLayout, plan: Plan) -> None:
    """The files are those that prometheus.yaml names, with this stack's ports."""
    write_server_configs(layout, plan)
    config = yaml.safe_load((layout.config / "prometheus.yaml").read_text(encoding="utf-8"))
    jobs = [*config["scrape_configs"], *config["alerting"]["alertmanagers"]]
    expected = {
        name for job in jobs for config in job["file_sd_configs"] for name in config["files"]
    }
    folder = layout.config / "targets"
    assert list(folder.iterdir()) == []
    with announced_at_end(layout):
        assert list(folder.iterdir()) == []
    assert {f"targets/{path.name}" for path in folder.iterdir()} == expected
    assert yaml.safe_load((folder / "api.yaml").read_text(encoding="utf-8")) == [
        {"targets": ["127.0.0.1:39101"]}
    ]
    written = [layout.config / "drafts", *folder.iterdir()]
    assert [path for path in written if path.stat().st_mode & PRIVATE] == []
    withdraw_targets(layout)
    assert list(folder.iterdir()) == []


ANNOUNCE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from observability.devstack.layout import ROOT, StackLayout, stack_ports
from observability.devstack.targets import announced_at_end

state, number = Path(sys.argv[1]), int(sys.argv[2])
if number != signal.SIGKILL:
    signal.signal(number, signal.SIG_DFL)
with announced_at_end(StackLayout(state, stack_ports(30_000), state)):
    os.kill(os.getpid(), number)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_targets_are_announced_when_up_is_killed(
    number: signal.Signals, layout: StackLayout, plan: Plan
) -> None:
    """No signal leaves Prometheus without targets."""
    write_server_configs(layout, plan)
    command = [sys.executable, "-c", ANNOUNCE_AND_DIE, str(layout.state), str(number.value)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -number
    folder = layout.config / "targets"
    until(lambda: {path.stem for path in folder.iterdir()} == target_ports(layout).keys())
