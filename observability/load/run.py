"""Runs of Locust without its page, in a process of its own."""

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

from observability.devstack.layout import HOST, ROOT, StackLayout
from observability.spec.quantities import parse_duration

LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"
CSV = "locust"  # how the names of Locust's files in the report's folder begin
PROGRESS_SECONDS = 5
OVERTIME_SECONDS = 60  # after its time, for clients to say goodbye
RAMP_SECONDS = 5  # clients arrive one after the other: a start all at once would measure itself
Tell = Callable[[str], None]


class Failed(Exception):
    """Locust did not run to its end."""


@dataclass(frozen=True)
class Order:
    """The load to send; `rate` is in requests per second of all clients together."""

    users: int
    rate: float
    length: str
    host: str

    def check(self, layout: StackLayout) -> float:
        """Return the length in seconds; raise Failed for a wrong order or a silent host."""
        try:
            seconds = float(parse_duration(self.length).seconds)
        except ValueError as error:
            raise Failed(f"--time: {error}") from error
        if seconds < 1:
            raise Failed(f"--time: {self.length} is too short to load anything; write at least 1s")
        try:
            httpx.get(self.host, timeout=5)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            mend = "start it with: make up" if self.is_for(layout) else "is the address right?"
            raise Failed(f"nothing answers at {self.host} ({error}); {mend}") from error
        return seconds

    def is_for(self, layout: StackLayout) -> bool:
        """Return whether the load goes to the API that this stack's Prometheus watches."""
        return self.host.rstrip("/").replace("//localhost:", f"//{HOST}:") == layout.url("api")


def run_locust(layout: StackLayout, order: Order, folder: Path, tell: Tell) -> dict[str, Any]:
    """Run Locust and return its report; write its CSV files to `folder`; raise Failed."""
    seconds = order.check(layout)
    with tempfile.TemporaryDirectory(prefix="evara-load-") as scratch:
        verdict, log = Path(scratch) / "verdict.json", Path(scratch) / "locust.log"
        command = [
            *(
                sys.executable,
                "-m",
                "locust",
                "-f",
                str(LOCUSTFILE),
                "--headless",
                "--only-summary",
                "--skip-log-setup",
            ),
            *("--csv", str(folder / CSV), "--host", order.host, "--users", str(order.users)),
            *(
                "--spawn-rate",
                str(max(1.0, order.users / RAMP_SECONDS)),
                "--run-time",
                f"{seconds:.0f}s",
                "--stop-timeout",
                "10",
            ),
        ]
        settings = {
            "EVARA_LOAD_RATE": str(order.rate),
            "EVARA_LOAD_USERS": str(order.users),
            "EVARA_LOAD_VERDICT": str(verdict),
        } | ({"EVARA_API_KEY": layout.key("load")} if order.is_for(layout) else {})
        tell(
            f"{order.users} clients, {order.rate:g} requests/s, "
            f"{order.length}, against {order.host}"
        )
        started, progress = time.monotonic(), ""
        with log.open("w", encoding="utf-8") as sink:
            process = subprocess.Popen(  # noqa: S603
                command, cwd=ROOT, env=os.environ | settings, stdout=sink, stderr=sink
            )
            while True:
                try:
                    process.wait(timeout=PROGRESS_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if time.monotonic() - started > seconds + OVERTIME_SECONDS:
                        process.kill()
                    last, progress = (
                        progress,
                        f"{min(time.monotonic() - started, seconds):.0f} of {seconds:.0f} s",
                    )
                    if progress != last:  # overtime is not counted
                        tell(progress)
                except BaseException:
                    process.terminate()
                    raise
        if not verdict.exists():
            said = log.read_text(encoding="utf-8").strip().splitlines()[-5:]
            raise Failed("locust ended without a verdict: " + " | ".join(said))
        told: dict[str, Any] = json.loads(verdict.read_text(encoding="utf-8"))
        return told
