"""Commands of the API that `up` runs with the settings of a stack."""

import subprocess
import sys

from observability.devstack.layout import ROOT, StackLayout
from observability.devstack.private_files import PRIVATE
from observability.devstack.processes import clean_environment
from observability.devstack.programs import api_environment
from observability.devstack.steps import StackError
from observability.lib.bound_process import bind

DOCUMENTATION = "For further information visit"  # pydantic's last line of an error


def run_flask(layout: StackLayout, *words: str, drill: bool = False) -> str:
    """Run `flask --app api.app …`; return "", or the reason why it failed."""
    environment = clean_environment(layout) | api_environment(layout, drill=drill)
    environment.pop("PROMETHEUS_MULTIPROC_DIR")
    command = [sys.executable, "-m", "flask", "--app", "api.app", *words]
    result = subprocess.run(  # noqa: S603 - our own interpreter
        bind(command), cwd=ROOT, env=environment, umask=PRIVATE, capture_output=True, text=True
    )
    if result.returncode:
        return last_error(result.stderr)
    return ""


def last_error(output: str) -> str:
    """Return the exception at the end of a traceback in one line, else the last line."""
    lines = output.strip().splitlines() or ["it says nothing"]
    starts = [number for number, line in enumerate(lines) if line.split(":")[0].endswith("Error")]
    error = lines[starts[-1] :] if starts else lines[-1:]
    return " ".join(line.strip() for line in error if DOCUMENTATION not in line)


def require_valid_settings(layout: StackLayout) -> None:
    """Raise StackError when the API refuses its settings, or its code does not load.

    Running workers are replaced only after this: a worker that cannot start ends gunicorn.
    """
    reason = run_flask(layout, "routes")
    if reason:
        raise StackError(
            f"the API does not start with these settings: {reason};"
            " fix: correct the EVARA_ variables of this shell or .env; nothing was changed"
        )
