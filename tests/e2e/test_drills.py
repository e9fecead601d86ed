"""Drills on real servers, through the command line."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from observability.devstack.layout import ROOT, StackLayout, servers_folder
from observability.devstack.processes import leftovers
from observability.drill.registry import drills
from observability.drill.sandbox import PREFIX
from observability.spec.loading import load_plan
from tests.processes import is_running
from tests.waiting import until

ORDER = ["fault", "pending", "firing", "delivered", "repaired", "resolved"]


@pytest.mark.parametrize("drill", drills(load_plan()))
def test_drill_passes(drill: str) -> None:
    """The alert of a fault is delivered and resolved, with a time for each step."""
    command = [sys.executable, "-m", "observability", "drill", drill, "--json"]
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    report = json.loads(result.stdout)["drills"][0]
    assert report["passed"], report
    assert result.returncode == 0
    steps = [step["what"] for step in report["steps"]]
    assert sorted(steps) == sorted(ORDER)
    times = [step["at"] for step in report["steps"]]
    assert times == sorted(times)


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("moment", ["starting", "running"])
def test_nothing_outlives_a_killed_drill(signal_name: str, moment: str) -> None:
    """Its stack, with the workers of its servers, and its folder are gone."""
    least_processes = {"starting": 1, "running": 9}[moment]
    command = [sys.executable, "-m", "observability", "drill"]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"TMPDIR": folder}

        def stack_processes() -> list[psutil.Process]:
            """Return the processes of the drill's stack so far."""
            states = Path(folder).glob(f"{PREFIX}*")
            layouts = [StackLayout(state, {}, servers_folder()) for state in states]
            return [process for layout in layouts for process in leftovers(layout)]

        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
        ) as drill:
            until(lambda: len(stack_processes()) >= least_processes, what="the stack")
            helpers = psutil.Process(drill.pid).children(recursive=True)
            processes = [*stack_processes(), *helpers]
            drill.send_signal(signal.Signals[signal_name])
        for process in processes:
            until(lambda: not is_running(process), what=f"the end of {process}")  # noqa: B023
        assert stack_processes() == []
        assert list(Path(folder).iterdir()) == []
