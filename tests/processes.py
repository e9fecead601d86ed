"""Processes that tests inspect; a process may end between two calls."""

from contextlib import suppress

import psutil


def is_running(process: psutil.Process) -> bool:
    """Return whether the process exists and is no zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def running_children(process: psutil.Process) -> list[psutil.Process]:
    """Return the children that have not ended."""
    return [child for child in process.children() if is_running(child)]


def child_names(process: psutil.Process) -> list[str]:
    """Return the names of the children that have not ended."""
    names = []
    for child in process.children():
        with suppress(psutil.NoSuchProcess):
            names.append(child.name())
    return names
