"""Faults on demand for drills: a file that every worker reads, and that expires by itself."""

import json
import time
from pathlib import Path
from typing import Any

from flask import abort

from api.platform.state import app_state
from api.platform.telemetry import metrics


class InjectedError(RuntimeError):
    """What the `exception` fault raises, so that a log reader knows where it came from."""


def current(path: Path) -> dict[str, Any]:
    """The fault in force: {route, kind, until, seconds}, or {} when there is none, it has expired or is unreadable."""
    try:
        fault = json.loads(path.read_text(encoding="utf-8"))
        return dict(fault) if fault["until"] > time.time() else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def inject() -> None:
    """Apply the fault in force to the current request when it names the request's route."""
    path = app_state().settings.faults_file
    if path is None:
        return
    fault = current(path)
    if fault.get("route") != metrics.current_route():
        return
    if fault.get("kind") == "slow":
        time.sleep(float(fault.get("seconds", 1.0)))
    elif fault.get("kind") == "exception":
        raise InjectedError("a drill asked for this")
    else:
        abort(500, "A drill asked for this.")
