"""The kinds of faults: `inject` is a context that breaks a sandbox; its end undoes the fault.

`has_effect` tells whether the fault was noticed; one without effect proves nothing.
"""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from observability.drill import DrillFailed
from observability.drill.sandbox import Sandbox
from observability.drill.traffic import Traffic

EXPIRY_SECONDS = 600.0  # longer than the steps before the fault is undone


@dataclass(frozen=True)
class RouteFault:
    """Wrong answers of a route, which the API gives while a file asks for them."""

    kind: str  # as in api/platform/faults.py
    route: str
    delay: float = 0.0  # seconds by which a slow route answers later

    @contextmanager
    def inject(self, sandbox: Sandbox) -> Iterator[None]:
        request = {
            "route": self.route,
            "kind": self.kind,
            "seconds": self.delay,
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
            return traffic.slowest >= self.delay
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
        return all(map(sandbox.is_stopped, self.programs))


@dataclass(frozen=True)
class LockedDatabase:
    """An SQLite file in the stack's folder that takes no writes."""

    file: str

    @contextmanager
    def inject(self, sandbox: Sandbox) -> Iterator[None]:
        path = sandbox.layout.state / self.file
        if not path.exists():
            raise DrillFailed(f"the stack has no {path}; nothing in it uses such a file")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield

    def has_effect(self, sandbox: Sandbox, traffic: Traffic) -> bool:  # noqa: ARG002
        """Return True: no caller notices a locked store, its alert alone does."""
        return True


Fault = RouteFault | StoppedPrograms | LockedDatabase
