"""Child processes that end when the process that started them ends, however it ends."""

import os
import shutil
from collections.abc import Sequence
from functools import cache

# The parent may have ended before the kernel was asked for the signal.
RUN_WHILE_PARENT_LIVES = 'test "$PPID" = "$0" && exec "$@"'


def bind(command: Sequence[str], signal: str = "KILL") -> list[str]:
    """Return the command of a child that gets the signal when the thread that starts it ends.

    The children of that child do not get it: a server with workers is sent TERM, and ends them.
    """
    setpriv = find_setpriv()
    if setpriv is None:
        return list(command)
    request = [setpriv, "--pdeathsig", signal, "--"]
    check = ["/bin/sh", "-c", RUN_WHILE_PARENT_LIVES, str(os.getpid())]
    return [*request, *check, *command]


@cache
def find_setpriv() -> str | None:
    """Return the program of util-linux that asks the kernel for the signal, None without it."""
    return shutil.which("setpriv")
