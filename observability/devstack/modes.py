"""Which of the two stacks a command is about: the native one, or that of containers."""

import os
from pathlib import Path
from typing import Any, Protocol

from observability.devstack import compose, native
from observability.devstack.layout import COMPOSE, DEVELOPMENT_KEY, NATIVE, StackLayout
from observability.devstack.readiness import Steps
from observability.spec.plan import Plan

AUTO = "auto"
WHAT = {
    NATIVE: "gunicorn, SQLite, Prometheus and Alertmanager under supervisor",
    COMPOSE: "HAProxy, two APIs, PostgreSQL, Valkey and all that watches them, in containers",
}


class Stack(Protocol):
    """What both can do."""

    def up(self, layout: StackLayout, plan: Plan, step: Steps) -> None: ...
    def down(self, layout: StackLayout) -> bool: ...
    def clean(self, layout: StackLayout) -> list[Path]: ...
    def processes(self, layout: StackLayout) -> list[dict[str, Any]]: ...
    def doctor(self, layout: StackLayout) -> list[tuple[str, bool, str]]: ...
    def tail(self, layout: StackLayout, program: str | None, lines: int) -> Any: ...


def of(mode: str) -> Stack:
    return compose if mode == COMPOSE else native


def key(layout: StackLayout) -> str:
    """The key of who wants to ask the API by hand, as a shell takes it: a secret's own text is not shown."""
    return (
        f"$(cat {os.path.relpath(layout.key_file('load'))})"
        if layout.mode == COMPOSE
        else DEVELOPMENT_KEY
    )


def current(layout: StackLayout) -> Stack:
    """The one that is up, or was last."""
    return of(layout.mode)


def choose(wanted: str, layout: StackLayout) -> tuple[str, str]:
    """The mode and why: what was asked for, what runs already, or what this machine can."""
    if wanted != AUTO:
        return wanted, "as asked"
    if current(layout).processes(layout):
        return layout.mode, "because it runs"
    fine, how = compose.engine()
    return COMPOSE if fine else NATIVE, how
