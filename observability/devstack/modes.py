"""The choice between the native stack and the compose stack."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from observability.devstack import compose, native
from observability.devstack.docker import find_engine
from observability.devstack.layout import COMPOSE, DEVELOPMENT_KEY, NATIVE, StackLayout
from observability.devstack.machine import CheckResult
from observability.devstack.steps import Steps
from observability.spec.plan import Plan

AUTO = "auto"
DESCRIPTIONS = {
    NATIVE: "gunicorn, SQLite, Prometheus and Alertmanager under supervisor",
    COMPOSE: "HAProxy, two APIs, PostgreSQL, Valkey and all that watches them, in containers",
}


class Stack(Protocol):
    """The functions that both modules have."""

    def up(self, layout: StackLayout, plan: Plan, step: Steps) -> None: ...
    def down(self, layout: StackLayout) -> bool: ...
    def clean(self, layout: StackLayout) -> list[Path]: ...
    def processes(self, layout: StackLayout) -> list[dict[str, Any]]: ...
    def doctor(self, layout: StackLayout) -> list[CheckResult]: ...
    def tail(self, layout: StackLayout, program: str | None, lines: int) -> Iterator[str]: ...


def stack_of(mode: str) -> Stack:
    return compose if mode == COMPOSE else native


def current_stack(layout: StackLayout) -> Stack:
    """Return the one that is up, or was last."""
    return stack_of(layout.mode)


def choose_mode(wanted: str, layout: StackLayout) -> tuple[str, str]:
    """Return the mode and the reason: it is asked for, it runs, or this machine can run it."""
    if wanted != AUTO:
        return wanted, "as asked"
    if current_stack(layout).processes(layout):
        return layout.mode, "because it runs"
    has_engine, explanation = find_engine()
    return COMPOSE if has_engine else NATIVE, explanation


def key_for_shell(layout: StackLayout) -> str:
    """Return an API key for use in a shell command; a secret is read there, not shown."""
    if layout.mode != COMPOSE:
        return DEVELOPMENT_KEY
    key_file = os.path.relpath(layout.key_file("load"))
    return f"$(cat {key_file})"
