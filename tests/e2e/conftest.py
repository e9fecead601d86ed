"""Groups of end-to-end tests, and the real stacks that they run against.

Every stack has its own ports and folder, apart from those of a stack that a developer started.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from xdist.scheduler import LoadScopeScheduling

from loadtests.thingspeak_stub import ThingSpeakStub
from observability.devstack.guardian import Guardian
from observability.devstack.layout import DEVELOPMENT_KEY, PORTS, ROOT, StackLayout, servers_folder
from observability.devstack.supervisor import Supervisor
from observability.drill.sandbox import free_ports
from tests.serving import serving

DAY = 86_400  # seconds
EVIL_HOST = "evil.example"  # a name that the browser resolves to this machine

ON_THE_SHARED_STACK = ("load", "browser", "api_docs", "logs", "panels")
# load first, because it needs a fresh stack; panels last, because the budget takes minutes
# A worker is given its next group two tests ahead. So groups of one long test come before the
# files of many short tests, or a worker would run them one by one while the others are idle.
LONGEST_FIRST = (
    "compose",
    "shared_stack",
    "stop-replay",
    "incident",
    "template",
    "documented_commands",
    "adopt",
    "stack",
    "postgres",
    "stop-api",
    "stop-worker",
    "stop-inbox",
    "route-slow",
    "route-exception",
    "route-errors",
    "hold-limiter",
    "workers",
    "fuzz",
    "jobs",
    "full_disk",
    "resilience",
    "server_alerts",
    "gateway",
)


class Groups(LoadScopeScheduling):
    """A scheduler of pytest-xdist that runs each group in one process."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist there is nothing to schedule
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the groups that take longest first, so that no one is left to run alone."""

    def sort_key(item: pytest.Item) -> tuple[int, int]:
        """Return the position of a test's group, then of its file."""
        group, name = group_of(item.nodeid), file_of(item.nodeid)
        return (
            LONGEST_FIRST.index(group) if group in LONGEST_FIRST else len(LONGEST_FIRST),
            ON_THE_SHARED_STACK.index(name) if name in ON_THE_SHARED_STACK else 0,
        )

    items.sort(key=sort_key)


def group_of(nodeid: str) -> str:
    """Return the group of a test: its drill, "shared_stack", or its file."""
    name = file_of(nodeid)
    if name in ON_THE_SHARED_STACK:
        return "shared_stack"
    if name == "deploy":
        return "compose"  # this machine has memory for one stack of containers
    if name == "drills":
        return nodeid.partition("[")[2].removesuffix("]")
    return name


def file_of(nodeid: str) -> str:
    """Return the name of a test's file without test_ and .py."""
    return Path(nodeid.partition("::")[0]).stem.removeprefix("test_")


@dataclass(frozen=True)
class Stack:
    """A stack and its command line."""

    layout: StackLayout
    environment: dict[str, str]

    def run(self, *words: str, timeout: float = 240) -> "subprocess.CompletedProcess[str]":
        """Run a command of the stack and return its result."""
        command = [sys.executable, "-m", "observability", *words]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def get(self, path: str, **words: Any) -> httpx.Response:
        """Return the API's response to a request with the development key."""
        headers = {"Authorization": f"Bearer {DEVELOPMENT_KEY}"} | words.pop("headers", {})
        return httpx.get(self.layout.url("api") + path, headers=headers, **words)

    def json(self, *words: str) -> Any:
        """Return the JSON output of a command."""
        return json.loads(self.run(*words, "--json").stdout)

    def processes(self) -> list[dict[str, Any]]:
        """Return the state of each process."""
        return Supervisor(self.layout).processes()

    def pid(self, program: str) -> int:
        """Return the process id of a program."""
        return next(int(p["pid"]) for p in self.processes() if p["name"] == program)

    def supervisorctl(self, *words: str) -> None:
        """Run a command of supervisorctl in the stack."""
        command = [sys.executable, "-m", "supervisor.supervisorctl"]
        address = f"unix://{self.layout.supervisor_socket}"
        subprocess.run([*command, "-s", address, *words], check=True, capture_output=True)

    @contextmanager
    def paused(self, program: str) -> Iterator[None]:
        """Pause a program meanwhile: it accepts connections and does not respond."""
        pid = self.pid(program)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def run_stack(state: Path) -> Iterator[Stack]:
    """Run a stack and yield it; remove it afterwards, also when the tests are killed."""
    ports = free_ports()
    offset = ports["api"] - PORTS["api"]
    settings = {
        "EVARA_STACK_DIR": str(state),
        "EVARA_PORT_OFFSET": str(offset),
        "EVARA_SERVERS_DIR": str(servers_folder()),
    }
    stack = Stack(StackLayout(state, ports, servers_folder()), os.environ | settings)
    guardian = Guardian(state)
    try:
        up = stack.run("up", "--mode", "native")
        assert up.returncode == 0, up.stdout + up.stderr
        yield stack
    finally:
        stack.run("down")
        guardian.remove_stack()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield the stack that all tests of a group share."""
    with run_stack(tmp_path_factory.mktemp("stack") / "state") as running_stack:
        yield running_stack


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield the Chromium of the distribution."""
    chromium = shutil.which("chromium")
    assert chromium, "chromium is missing; install it: sudo apt install chromium"
    with sync_playwright() as playwright:
        rebinding = f"--host-resolver-rules=MAP {EVIL_HOST} 127.0.0.1"
        running_browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-background-networking", rebinding],
        )
        yield running_browser
        running_browser.close()


@dataclass
class PageRecorder:
    """A page with its error messages and the URLs that it requested."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requested_urls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on(
            "console",
            lambda message: self.errors.append(message.text) if message.type == "error" else None,
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requested_urls.append(request.url))

    def requests_to_other_hosts(self, home: str) -> set[str]:
        """Return the requested URLs outside `home`."""
        return {url for url in self.requested_urls if not url.startswith((home, "data:"))}


@pytest.fixture
def recorder(browser: Browser) -> Iterator[PageRecorder]:
    """Yield a new page whose errors and requests are recorded."""
    recorder = PageRecorder(browser.new_page())
    yield recorder
    recorder.page.close()


@pytest.fixture
def replay() -> Iterator[ThingSpeakStub]:
    """Serve a day of recorded readings on a free port."""
    with serving(ThingSpeakStub(("127.0.0.1", 0), DAY)) as server:
        yield server
