"""The requirements of a stack on the machine: tools, servers, ports and disk space.

`up` requires them, `doctor` lists them.
"""

import shutil
import sys
from pathlib import Path

from observability.devstack import binaries
from observability.devstack.ports import is_free, port_owner
from observability.devstack.steps import StackError

NEEDED_MEGABYTES = 500
CheckResult = tuple[str, bool, str]  # subject, whether it is fine, how it is or what to do


def check_tools(folder: Path) -> list[CheckResult]:
    """Return a row per tool, one for Python and one for the disk of a folder."""
    rows = []
    for tool in ("git", "make"):
        path = shutil.which(tool)
        explanation = path or f"install it: sudo apt install {tool}"
        rows.append((f"{tool} on PATH", bool(path), explanation))
    is_new_enough = sys.version_info >= (3, 11)
    rows.append(("Python 3.11 or newer", is_new_enough, sys.version.split()[0]))
    free = free_megabytes(folder)
    rows.append(("disk space", free >= NEEDED_MEGABYTES, f"{free} MB free"))
    return rows


def check_servers(folder: Path) -> list[CheckResult]:
    """Return a row per server; those of logs are optional."""
    rows = []
    for name in binaries.SERVERS:
        path = binaries.find_server(name, folder)
        explanation = path or "missing; make up unpacks it"
        rows.append((name, bool(path), str(explanation)))
    without = "not on PATH; without it logs stay in files, which is fine"
    for name in binaries.LOG_SERVERS:
        path = binaries.find_log_server(name)
        rows.append((name, True, str(path or without)))
    return rows


def check_ports(port_by_name: dict[str, int]) -> list[CheckResult]:
    """Return a row for `doctor` per port."""
    rows = []
    for port in port_by_name.values():
        fine = is_free(port)
        explanation = "free" if fine else f"taken by {port_owner(port)}"
        rows.append((f"port {port}", fine, explanation))
    return rows


def require_free_ports(port_by_name: dict[str, int]) -> None:
    """Raise StackError with the owner of each port that is taken."""
    taken = [
        f"port {port} ({name}) is taken by {port_owner(port)}"
        for name, port in port_by_name.items()
        if not is_free(port)
    ]
    if taken:
        listed = "; ".join(taken)
        raise StackError(
            f"{listed}; fix: stop that process, or move this stack: EVARA_PORT_OFFSET=200 make up"
        )


def free_megabytes(folder: Path) -> int:
    """Return the free space on the disk where a folder is, or would be made."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free >> 20


def require_disk_space(folder: Path) -> None:
    """Make the folder, for its owner alone; raise StackError when its disk is nearly full."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    free = free_megabytes(folder)
    if free < NEEDED_MEGABYTES:
        raise StackError(
            f"{folder} has {free} MB free, {NEEDED_MEGABYTES} MB are needed;"
            " fix: free some space, or set EVARA_STACK_DIR"
        )
