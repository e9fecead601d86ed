"""The kinds of faults: how each is injected, by what it is noticed, and how it is undone."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import Protocol

from observability.devstack.ports import is_free
from observability.drill.sandbox import Sandbox
from observability.drill.traffic import Traffic

ROUTE = "readings.latest"  # the route that faults break and traffic calls
PATH = "/api/v1/nodes/main-branch/latest"
EXPIRY_SECONDS = 600.0  # longer than the steps before the fault is undone
DELAY_SECONDS = 1.2  # of a slow route: longer than its slowest objective


class Fault(Protocol):
    """A way to break a sandbox."""

    def inject(self, sandbox: Sandbox) -> AbstractContextManager[None]:
        """Return a context in which the sandbox is broken; its end undoes the fault."""

    def has_effect(self, sandbox: Sandbox, traffic: Traffic) -> bool:
        """Return whether the fault was noticed; one without effect proves nothing."""


@dataclass(frozen=True)
class RouteFault:
    """Wrong answers of ROUTE, which the API gives while a file asks for them."""

    kind: str  # as in api/platform/faults.py

    @contextmanager
    def inject(self, sandbox: Sandbox) -> Iterator[None]:
        request = {
            "route": ROUTE,
            "kind": self.kind,
            "seconds": DELAY_SECONDS,
            "until": time.time() + EXPIRY_SECONDS,
        }
        path = sandbox.layout.fault
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(request), encoding="utf-8")
        draft.replace(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    def has_effect(self, sandbox: Sandbox, traffic: Traffic) -> bool:  # noqa: ARG002
        if self.kind == "slow":
            return traffic.slow > 0
        return traffic.failed > 0


@dataclass(frozen=True)
class StoppedPrograms:
    """Programs that do not run; they start again in reverse order."""

    programs: tuple[str, ...]

    @contextmanager
    def inject(self, sandbox: Sandbox) -> Iterator[None]:
        for name in self.programs:
            sandbox.stop(name)
        try:
            yield
        finally:
            for name in reversed(self.programs):
                sandbox.start(name)

    def has_effect(self, sandbox: Sandbox, traffic: Traffic) -> bool:
        if "api" in self.programs:
            return traffic.failed > 0
        return is_free(sandbox.layout.ports.named()[self.programs[0]])


@dataclass(frozen=True)
class LockedDatabase:
    """An SQLite file in the stack's folder that takes no writes."""

    file: str

    @contextmanager
    def inject(self, sandbox: Sandbox) -> Iterator[None]:
        path = sandbox.layout.state / self.file
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield

    def has_effect(self, sandbox: Sandbox, traffic: Traffic) -> bool:  # noqa: ARG002
        """Return True: no caller notices a locked store, its alert alone does."""
        return True
