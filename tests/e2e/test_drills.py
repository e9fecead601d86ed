"""Drills on real servers, through the command line."""

import json
import subprocess
import sys

import pytest

from observability.devstack.layout import ROOT
from observability.drill.registry import drills
from observability.spec.loading import load_plan

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
