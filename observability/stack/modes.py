"""Which of the two stacks a command is about: the native one, or that of containers."""

import os
from pathlib import Path
from typing import Any, Protocol

from observability.plan import Plan
from observability.stack import compose, lifecycle
from observability.stack.lifecycle import Steps
from observability.stack.site import COMPOSE, DEVELOPMENT_KEY, NATIVE, Site

AUTO = "auto"
WHAT = {
    NATIVE: "gunicorn, SQLite, Prometheus and Alertmanager under supervisor",
    COMPOSE: "HAProxy, two APIs, PostgreSQL, Valkey and all that watches them, in containers",
}


class Stack(Protocol):
    """What both can do."""

    def up(self, site: Site, plan: Plan, step: Steps) -> None: ...
    def down(self, site: Site) -> bool: ...
    def clean(self, site: Site) -> list[Path]: ...
    def processes(self, site: Site) -> list[dict[str, Any]]: ...
    def doctor(self, site: Site) -> list[tuple[str, bool, str]]: ...
    def tail(self, site: Site, program: str | None, lines: int) -> Any: ...


def of(mode: str) -> Stack:
    return compose if mode == COMPOSE else lifecycle


def key(site: Site) -> str:
    """The key of who wants to ask the API by hand, as a shell takes it: a secret's own text is not shown."""
    return f"$(cat {os.path.relpath(site.key_file('load'))})" if site.mode == COMPOSE else DEVELOPMENT_KEY


def current(site: Site) -> Stack:
    """The one that is up, or was last."""
    return of(site.mode)


def choose(wanted: str, site: Site) -> tuple[str, str]:
    """The mode and why: what was asked for, what runs already, or what this machine can."""
    if wanted != AUTO:
        return wanted, "as asked"
    if current(site).processes(site):
        return site.mode, "because it runs"
    fine, how = compose.engine()
    return COMPOSE if fine else NATIVE, how
