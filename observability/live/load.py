"""Runs Locust headless in a process of its own, with progress, and brings back its verdict."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from observability.catalogue import duration
from observability.stack.site import ROOT, Site

LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"
PROGRESS_SECONDS = 5
OVERTIME_SECONDS = 60  # after its time, for clients to say goodbye
RAMP_SECONDS = 5  # clients arrive one after the other: a start all at once would measure itself


class Failed(Exception):
    """Locust did not run to its end."""


@dataclass(frozen=True)
class Result:
    """Locust's report (see loadtests/locustfile.py) and its exit code: 0 met, 1 missed, 2 nothing measured."""

    report: dict[str, Any]
    exit_code: int


def run(site: Site, users: int, rate: float, length: str, host: str, tell: Callable[[str], None]) -> Result:
    """A load run against `host`; raises Failed."""
    try:
        seconds = float(duration(length).seconds)
    except ValueError as error:
        raise Failed(f"--time: {error}") from error
    if seconds < 1:
        raise Failed(f"--time: {length} is too short to load anything; write at least 1s")
    try:
        httpx.get(host, timeout=5)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Failed(f"nothing answers at {host} ({error}); start it with: make up") from error
    with tempfile.TemporaryDirectory(prefix="evara-load-") as folder:
        verdict, log = Path(folder) / "verdict.json", Path(folder) / "locust.log"
        command = [
            *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary", "--skip-log-setup"),
            *(
                "--host",
                host,
                "--users",
                str(users),
                "--spawn-rate",
                str(max(1.0, users / RAMP_SECONDS)),
                "--run-time",
                f"{seconds:.0f}s",
                "--stop-timeout",
                "10",
            ),
        ]
        settings = {
            "EVARA_LOAD_RATE": str(rate),
            "EVARA_LOAD_USERS": str(users),
            "EVARA_LOAD_TOKEN": site.load_token() if host == site.url("api") else "",
            "EVARA_LOAD_VERDICT": str(verdict),
        }
        tell(f"{users} clients, {rate:g} requests/s, {length}, against {host}")
        started = time.monotonic()
        with log.open("w", encoding="utf-8") as sink:
            process = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=sink, stderr=sink)  # noqa: S603 - our own
            while True:
                try:
                    code = process.wait(timeout=PROGRESS_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if time.monotonic() - started > seconds + OVERTIME_SECONDS:
                        process.kill()
                    tell(f"{min(time.monotonic() - started, seconds):.0f} of {seconds:.0f} s")
                except BaseException:
                    process.terminate()
                    raise
        if not verdict.exists():
            said = log.read_text(encoding="utf-8").strip().splitlines()[-5:]
            raise Failed("locust ended without a verdict: " + " | ".join(said))
        return Result(json.loads(verdict.read_text(encoding="utf-8")), code)
