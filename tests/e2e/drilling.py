"""Drills through the command line, as tests of two files share them: files run side by side, and drills are the longest tests."""

import json
import subprocess
import sys

from observability.devstack.layout import ROOT

ORDER = ["fault", "pending", "firing", "delivered", "mended", "resolved"]


def pages_and_resolves(name: str) -> None:
    """fault → pending → firing → delivered → resolved, with a time for each, or an AssertionError with the report."""
    command = [sys.executable, "-m", "observability", "drill", name, "--json"]
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    report = json.loads(result.stdout)["drills"][0]
    assert report["passed"], report
    assert result.returncode == 0
    steps = [step["what"] for step in report["steps"]]
    assert sorted(steps) == sorted(ORDER)
    assert [step["at"] for step in report["steps"]] == sorted(
        step["at"] for step in report["steps"]
    )
