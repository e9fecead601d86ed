"""The rules benchmark: a short run with real servers and 30 days of the past."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 12


def test_small_service_is_measured_beside_sloth() -> None:
    """Every server is measured on both clocks, and the past is there to be read."""
    command = [sys.executable, "-m", "loadtests.bench", "rules", "--json", f"--seconds={SECONDS}"]
    run = subprocess.run(
        [*command, "--routes=3", "--past=3"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    [compiled] = report["commands"]
    assert [(cost["command"], cost["exit_code"]) for cost in compiled["costs"]] == [
        ("generate", 0),
        ("check", 0),
    ]
    ways = {(measured["past"], measured["clock"]) for measured in report["runs"]}
    assert ways == {(past, clock) for past in ("none", "30 days") for clock in ("30s", "own")}
    for measured in report["runs"]:
        servers = measured["servers"]
        assert servers["Sloth"]["rules"] == 3 * 3 * 17
        assert servers["scraping"]["rules"] == 0
        for name in ("ours", "Sloth", "scraping"):
            costs = servers[name]
            assert costs["cpu_cores"] > 0, name
            assert costs["series"] > 100, name
        for name in ("ours", "Sloth"):
            costs = servers[name]
            assert costs["evaluation_seconds"] > 0, name
            assert costs["lag_seconds"] > 0, name
            assert costs["missed"] <= costs["evaluations"], name
