"""The processes of one stack: their environment, and how those left behind are found and ended."""

import os
from contextlib import suppress

import psutil

from observability.devstack.layout import StackLayout

MARK = "EVARA_STACK"  # variable by which a process is found when its supervisor is gone

KILL_SECONDS = 0.1  # for the kernel to end processes, before the next look


def clean_environment(layout: StackLayout) -> dict[str, str]:
    """Return our environment with the stack's mark, and without settings of another stack.

    A program starts with it and its own environment.
    """
    environment = {MARK: str(layout.state)}
    for name, value in os.environ.items():
        if not name.startswith(("EVARA_", "PROMETHEUS_")):
            environment[name] = value
    return environment


def leftovers(layout: StackLayout) -> list[psutil.Process]:
    """Return this user's processes that were started for the stack, except the present one."""
    mark = str(layout.state)
    others = (process for process in psutil.process_iter() if process.pid != os.getpid())
    return [process for process in others if mark_of(process) == mark]


def kill_all(layout: StackLayout) -> None:
    """Kill every process of the stack, also those that start meanwhile."""
    while processes := leftovers(layout):
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=KILL_SECONDS)


def mark_of(process: psutil.Process) -> str | None:
    """Return the stack of a process, None for one of another user or that has ended."""
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def end(processes: list[psutil.Process], seconds: float) -> None:
    """Ask processes to stop; kill those that have not stopped after `seconds`."""
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    _, still_running = psutil.wait_procs(processes, timeout=seconds)
    for process in still_running:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=seconds)
