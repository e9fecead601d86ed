"""One real stack for the end-to-end tests of each process, on ports and in a folder of its own, so that a running stack is left alone."""

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

from observability.devstack.layout import DEVELOPMENT_KEY, ROOT, Ports, StackLayout, servers_folder
from observability.devstack.supervisor import Supervisor
from observability.drill.sandbox import free_ports

FIRST = (
    "compose",
    "drill_outages",
    "stack",
    "drill_faults",
    "postgres",
    "browser",
    "workers",
    "fuzz",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest begin first, so that none of them is waited for alone."""
    order = {f"test_{name}": number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(FIRST)))


@dataclass(frozen=True)
class Stack:
    """A site and the command line that works on it."""

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
        """What the API answers to its development key."""
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
        """The program hangs meanwhile: it takes connections and does not answer."""
        pid = self.pid(program)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def running(state: Path) -> Iterator[Stack]:
    """A stack that is up; it is down again afterwards whatever the tests did."""
    ports = free_ports()
    offset = ports.api - Ports().api
    settings = {
        "EVARA_STACK_DIR": str(state),
        "EVARA_PORT_OFFSET": str(offset),
        "EVARA_SERVERS_DIR": str(servers_folder()),
    }
    made = Stack(StackLayout(state, ports, servers_folder()), os.environ | settings)
    up = made.run("up", "--mode", "native")
    assert up.returncode == 0, up.stdout + up.stderr
    yield made
    made.run("down")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack that most tests share."""
    with running(tmp_path_factory.mktemp("stack") / "state") as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The distribution's chromium."""
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
    """What a page complained about, and whom it asked."""

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
    """A new page, watched from its beginning."""
    made = Watched(browser.new_page())
    yield made
    made.page.close()
