"""The choice between the native stack and the compose stack."""

import os
from contextlib import suppress
from types import ModuleType

from observability.devstack import compose, native
from observability.devstack.docker import find_engine
from observability.devstack.layout import COMPOSE, DEVELOPMENT_KEY, NATIVE, StackLayout
from observability.devstack.programs import development_key
from observability.devstack.steps import StackError

AUTO = "auto"
DESCRIPTIONS = {
    NATIVE: "gunicorn, SQLite, Prometheus and Alertmanager under supervisor",
    COMPOSE: "HAProxy, two APIs, PostgreSQL, Valkey and all that watches them, in containers",
}


def stack_of(mode: str) -> ModuleType:
    """Return the module of a mode; both have up, down, clean, processes, doctor and tail."""
    return compose if mode == COMPOSE else native


def current_stack(layout: StackLayout) -> ModuleType:
    """Return the one that is up, or was last."""
    return stack_of(layout.mode)


def choose_mode(wanted: str, layout: StackLayout) -> tuple[str, str]:
    """Return the mode and the reason: it is asked for, it runs, or this machine can run it."""
    if wanted != AUTO:
        return wanted, "as asked"
    with suppress(StackError):  # of an engine that does not answer
        if current_stack(layout).processes(layout):
            return layout.mode, "because it runs"
    has_engine, explanation = find_engine()
    return COMPOSE if has_engine else NATIVE, explanation


def key_for_shell(layout: StackLayout) -> str:
    """Return an API key for use in a shell command; a secret is read there, not shown."""
    if layout.mode != COMPOSE and development_key() == DEVELOPMENT_KEY:
        return DEVELOPMENT_KEY
    key_file = os.path.relpath(layout.key_file("load"))
    return f"$(cat {key_file})"
