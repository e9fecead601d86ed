"""Injected faults for drills, from a file that every worker reads; each fault expires."""

import json
import time
from pathlib import Path

from flask import abort

from api.platform.state import app_state
from api.platform.telemetry import metrics
from api.platform.types import JsonObject


class InjectedError(RuntimeError):
    """The exception of the `exception` fault; its name marks it in the log as part of a drill."""


def current(path: Path) -> JsonObject:
    """Return the fault in force: {"route", "kind", "until", "seconds"}.

    Return {} when there is none, or when it has expired or cannot be read.
    """
    try:
        fault = json.loads(path.read_text(encoding="utf-8"))
        if fault["until"] > time.time():
            return dict(fault)
    except (OSError, ValueError, KeyError, TypeError):
        pass
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
        raise InjectedError("injected by a drill")
    else:
        abort(500, "A drill injected this error.")
