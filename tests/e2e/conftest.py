"""Groups of end-to-end tests, and the real stacks that they run against.

Every stack has ports and a folder of its own: one that a developer has brought up is left alone.
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

from observability.devstack.layout import DEVELOPMENT_KEY, PORTS, ROOT, StackLayout, servers_folder
from observability.devstack.supervisor import Supervisor
from observability.drill.sandbox import free_ports

ON_THE_SHARED_STACK = ("load", "browser", "api_docs", "logs", "panels")
# load first: it needs a stack that nothing has happened to; panels last: the budget takes minutes
LONGEST_FIRST = (
    "compose",
    "shared_stack",
    "stack",
    "stop-replay",
    "fuzz",
    "postgres",
    "stop-api",
    "stop-inbox",
    "workers",
    "template",
    "resilience",
    "jobs",
    "gateway",
    "route-errors",
    "route-exception",
    "route-slow",
    "hold-limiter",
)


class Groups(LoadScopeScheduling):
    """pytest-xdist's scheduler, for groups: each runs in one process."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist there is nothing to schedule
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the groups that take longest, so that none of them is waited for alone."""

    def rank(item: pytest.Item) -> tuple[int, int]:
        group, name = group_of(item.nodeid), file_of(item.nodeid)
        return (
            LONGEST_FIRST.index(group) if group in LONGEST_FIRST else len(LONGEST_FIRST),
            ON_THE_SHARED_STACK.index(name) if name in ON_THE_SHARED_STACK else 0,
        )

    items.sort(key=rank)


def group_of(nodeid: str) -> str:
    """Return the group of a test: its drill, "shared_stack", or its file."""
    name = file_of(nodeid)
    if name in ON_THE_SHARED_STACK:
        return "shared_stack"
    if name == "drills":
        return nodeid.partition("[")[2].removesuffix("]")
    return name


def file_of(nodeid: str) -> str:
    """Return the name of a test's file without test_ and .py."""
    return Path(nodeid.partition("::")[0]).stem.removeprefix("test_")


@dataclass(frozen=True)
class Stack:
    """A stack, and the command line that works on it."""

    layout: StackLayout
    environment: dict[str, str]

    def run(self, *words: str, timeout: float = 240) -> "subprocess.CompletedProcess[str]":
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
        return json.loads(self.run(*words, "--json").stdout)

    def processes(self) -> list[dict[str, Any]]:
        return Supervisor(self.layout).processes()

    def pid(self, program: str) -> int:
        return next(int(p["pid"]) for p in self.processes() if p["name"] == program)

    @contextmanager
    def halted(self, program: str) -> Iterator[None]:
        """Stop a program meanwhile: it accepts connections and does not respond."""
        pid = self.pid(program)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def running(state: Path) -> Iterator[Stack]:
    """Yield a stack that is up; bring it down afterwards whatever the tests did."""
    ports = free_ports()
    offset = ports["api"] - PORTS["api"]
    settings = {
        "EVARA_STACK_DIR": str(state),
        "EVARA_PORT_OFFSET": str(offset),
        "EVARA_SERVERS_DIR": str(servers_folder()),
    }
    stack = Stack(StackLayout(state, ports, servers_folder()), os.environ | settings)
    try:
        up = stack.run("up", "--mode", "native")
        assert up.returncode == 0, up.stdout + up.stderr
        yield stack
    finally:
        stack.run("down")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield the stack that all tests of a group share."""
    with running(tmp_path_factory.mktemp("stack") / "state") as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield the distribution's chromium."""
    chromium = shutil.which("chromium")
    assert chromium, "chromium is missing; install it: sudo apt install chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield opened
        opened.close()


@dataclass
class Watched:
    """A page with its error messages and the URLs that it requested."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on(
            "console",
            lambda message: (
                self.complaints.append(message.text) if message.type == "error" else None
            ),
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def elsewhere(self, home: str) -> set[str]:
        return {url for url in self.asked if not url.startswith((home, "data:"))}


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    """Yield a new page, watched from its beginning."""
    made = Watched(browser.new_page())
    yield made
    made.page.close()
