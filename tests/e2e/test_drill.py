"""Drills on real servers: every fault class pages and resolves, and a fault that does nothing fails the drill."""

import json
import subprocess
import sys

import pytest

from observability import plan
from observability.live import drill
from observability.stack.site import ROOT

ORDER = ["fault", "pending", "firing", "delivered", "mended", "resolved"]


@pytest.mark.parametrize("name", list(drill.DRILLS))
def test_a_drill_pages_and_resolves(name: str) -> None:
    """fault → pending → firing → delivered → resolved, through the command line, with a time for each."""
    command = [sys.executable, "-m", "observability", "drill", name, "--json"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    report = json.loads(result.stdout)["drills"][0]
    assert report["passed"], report
    assert result.returncode == 0
    steps = [step["what"] for step in report["steps"]]
    assert sorted(steps) == sorted(ORDER)
    assert [step["at"] for step in report["steps"]] == sorted(step["at"] for step in report["steps"])


def test_a_fault_without_effect_fails_the_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing is really broken, the drill says so instead of passing."""
    monkeypatch.setattr(drill, "begin", lambda *_: None)
    result = drill.run(drill.DRILLS["route-errors"], plan.from_files(), lambda _: None)
    assert not result.passed
    assert "no effect" in result.verdict


def test_every_watched_symptom_names_a_drill() -> None:
    """What the catalogue says drills a symptom is a drill that exists and must fire that symptom."""
    for alert in plan.from_files().alerts:
        if alert.drill:
            assert (alert.name, "") in drill.DRILLS[alert.drill].must
