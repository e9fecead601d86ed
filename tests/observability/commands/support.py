"""Helpers that run commands in a terminal of 80 columns, and one row of each verdict."""

import os
import subprocess
import sys
from dataclasses import replace

from click.testing import CliRunner, Result

from observability.__main__ import cli
from observability.generate import registry
from observability.slo.verdicts import SloResult, Verdict
from observability.spec.plan import Plan

WIDTH = 80


def run(*words: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "observability", *map(str, words)]
    return subprocess.run(
        command,
        cwd=registry.ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def invoke(*words: str) -> Result:
    """Run a command in this process, without colours."""
    return CliRunner(env={"NO_COLOR": "1", "COLUMNS": str(WIDTH)}).invoke(cli, list(words))


def rows(plan: Plan) -> list[SloResult]:
    """Return one row of each verdict, with the longest name and the worst numbers."""
    longest = max((slo.name for slo in plan.slos), key=len)
    worst = SloResult(
        longest, "", "platform", 0.9995, 0.123456, 1.0, 123456.0, -999.0, 1234.5, Verdict.MISSED
    )
    few = SloResult("few", "", "platform", 0.95, 0.875, 7.0, 8.0, 0.0, 0.0, Verdict.TOO_FEW)
    return [
        replace(worst, covered_seconds=1680.0),
        SloResult("met", "", "platform", 0.95, 1.0, 10.0, 10.0, 1.0, 0.0, Verdict.MET),
        SloResult("idle", "", "platform", 0.95, None, 0.0, 0.0, 1.0, 0.0, Verdict.IDLE),
        SloResult(
            "unmeasured", "", "platform", 0.95, None, None, None, None, None, Verdict.UNMEASURED
        ),
        replace(few, events_needed=20.0),
        SloResult("broken", "", "platform", 0.95, None, None, None, None, None, Verdict.BROKEN),
    ]
