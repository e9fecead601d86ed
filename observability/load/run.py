"""Runs of Locust without its page, in a process of its own."""

import json
import math
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from observability.devstack.layout import HOST, ROOT, StackLayout
from observability.devstack.scratch import scratch_folder
from observability.devstack.user_settings import user_settings
from observability.lib.bound_process import bind
from observability.lib.json_object import Json
from observability.spec.quantities import parse_duration

LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"
SCRATCH_PREFIX = "evara-load-"
CSV_PREFIX = "locust"  # of the files that Locust writes to the report's folder
HOST_TIMEOUT_SECONDS = 5
STOP_TIMEOUT_SECONDS = 10
OVERTIME_SECONDS = 60  # after the end of the run, for clients to finish
LONGEST_SECONDS = 7 * 86400
RAMP_SECONDS = 5  # clients arrive one after the other: a start all at once would measure itself


class LoadRunFailed(Exception):
    """A load run that could not start or did not end with a verdict."""


@dataclass(frozen=True)
class LoadProfile:
    """The load to send; `rate` is in requests per second of all clients together."""

    users: int
    rate: float
    length: str
    host: str

    def check(self, layout: StackLayout) -> None:
        """Raise LoadRunFailed for an unusable length or rate, or a host that does not answer."""
        self.seconds()
        if not math.isfinite(self.rate):
            raise LoadRunFailed(f"--rate: {self.rate} is no number of requests; write RATE=50")
        try:
            answer = httpx.get(self.host, timeout=HOST_TIMEOUT_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            advice = "is the address right?"
            if self.targets(layout):
                advice = "start it with: make up"
            raise LoadRunFailed(f"nothing answers at {self.host} ({error}); {advice}") from error
        following = answer.next_request
        if following and list_origin(following.url) != list_origin(answer.url):
            origin = str(following.url.copy_with(raw_path=b"/")).rstrip("/")
            raise LoadRunFailed(
                f"{self.host} redirects to {origin}, which changes POST to GET and drops the key; "
                f"fix: HOST={origin}"
            )

    def seconds(self) -> float:
        """Return the length in seconds; raise LoadRunFailed when it is unusable."""
        try:
            seconds = float(parse_duration(self.length).seconds)
        except ValueError as error:
            raise LoadRunFailed(f"--time: {error}") from error
        if seconds < 1:
            hint = "too short to load anything; write at least 1s"
            raise LoadRunFailed(f"--time: {self.length} is {hint}")
        if seconds > LONGEST_SECONDS:
            raise LoadRunFailed(f"--time: {self.length} is too long; write at most 7d")
        return seconds

    def targets(self, layout: StackLayout) -> bool:
        """Return whether the load goes to the API that this stack's Prometheus watches."""
        host = self.host.rstrip("/").replace("//localhost:", f"//{HOST}:")
        return host == layout.url("api")


def list_origin(url: httpx.URL) -> list[object]:
    """Return what makes the origin of a URL."""
    return [url.scheme, url.host, url.port]


def run_locust(layout: StackLayout, profile: LoadProfile, folder: Path) -> Json:
    """Run Locust and return its report; write its CSV files to `folder`.

    Raise LoadRunFailed when it ends without a verdict, or overruns its time and is killed.
    """
    command = locust_command(profile, folder)
    with scratch_folder(SCRATCH_PREFIX) as scratch:
        verdict = scratch / "verdict.json"
        log = scratch / "locust.log"
        environment = user_settings() | locust_settings(layout, profile, verdict)
        timeout = profile.seconds() + OVERTIME_SECONDS
        with log.open("w", encoding="utf-8") as output, suppress(subprocess.TimeoutExpired):
            subprocess.run(  # noqa: S603
                bind(command),
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=output,
                check=False,
                timeout=timeout,
            )
        if not verdict.exists():
            last_lines = log.read_text(encoding="utf-8").strip().splitlines()[-5:]
            raise LoadRunFailed("locust ended without a verdict: " + " | ".join(last_lines))
        locust_report: Json = json.loads(verdict.read_text(encoding="utf-8"))
    return locust_report


def locust_command(profile: LoadProfile, folder: Path) -> list[str]:
    """Return the command that sends the load and writes CSV files to `folder`."""
    options = {
        "-f": LOCUSTFILE,
        "--csv": folder / CSV_PREFIX,
        "--host": profile.host,
        "--users": profile.users,
        "--spawn-rate": max(1.0, profile.users / RAMP_SECONDS),
        "--run-time": f"{profile.seconds():.0f}s",
        "--stop-timeout": STOP_TIMEOUT_SECONDS,
    }
    command = [sys.executable, "-m", "locust", "--headless", "--only-summary", "--skip-log-setup"]
    for option, value in options.items():
        command += [option, str(value)]
    return command


def locust_settings(layout: StackLayout, profile: LoadProfile, verdict: Path) -> dict[str, str]:
    """Return the environment variables of the locustfile; other hosts get no API key."""
    settings = {
        "EVARA_LOAD_RATE": str(profile.rate),
        "EVARA_LOAD_USERS": str(profile.users),
        "EVARA_LOAD_VERDICT": str(verdict),
    }
    if profile.targets(layout):
        settings["EVARA_API_KEY"] = layout.key("load")
    return settings
