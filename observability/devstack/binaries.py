"""The servers' programs: on PATH, or unpacked from the distribution's packages.

Loki and Fluent Bit are in no distribution; they take part when both are on PATH.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from observability.devstack.alertmanager_templates import template_wrapper
from observability.devstack.packages import MissingServers, search_path, unpack
from observability.devstack.steps import Tell

# server → names of its program, packages that may contain it
SERVERS = {
    "prometheus": (("prometheus",), ("prometheus",)),
    "alertmanager": (("alertmanager", "prometheus-alertmanager"), ("prometheus-alertmanager",)),
    "promtool": (("promtool",), ("prometheus", "promtool")),
    "amtool": (("amtool",), ("prometheus-alertmanager",)),
}
# optional program → version option, and how the output begins; Debian's loki is about genetics
LOG_SERVERS = {"loki": ("-version", "loki, version"), "fluent-bit": ("--version", "Fluent Bit v")}
VERSION_SECONDS = 10
DOWNLOAD = (
    "about 30 MB of server packages, and 10 to 20 MB of package lists where the system has none"
)


@dataclass(frozen=True)
class Server:
    """A program, and the words that must stand before it in a command."""

    path: Path
    prefix: tuple[str, ...] = ()

    def command(self, *arguments: str) -> list[str]:
        return [*self.prefix, str(self.path), *arguments]


def find_server(name: str, folder: Path) -> Path | None:
    """Return the program of a server, None when it is neither on PATH nor unpacked."""
    programs, _ = SERVERS[name]
    for program in programs:
        if path := shutil.which(program, path=search_path(folder)):
            return Path(path)
    return None


def ensure_servers(folder: Path, tell: Tell) -> dict[str, Server]:
    """Return all servers, unpacked first where they are missing; raise MissingServers."""
    for name, (_, packages) in SERVERS.items():
        for package in packages:
            if find_server(name, folder) is None:
                unpack(package, folder, tell, optional=package != packages[0])
    servers = {name: Server(path) for name in SERVERS if (path := find_server(name, folder))}
    if missing := [name for name in SERVERS if name not in servers]:
        listed = ", ".join(missing)
        raise MissingServers(
            f"{listed} could not be found or unpacked; fix: install them so that they are on PATH"
        )
    path = servers["alertmanager"].path
    return servers | {"alertmanager": Server(path, template_wrapper(path, folder))}


def log_servers() -> dict[str, Server]:
    """Return Loki and Fluent Bit, or neither: one is of no use without the other."""
    servers = {name: Server(path) for name in LOG_SERVERS if (path := find_log_server(name))}
    return servers if len(servers) == len(LOG_SERVERS) else {}


def find_log_server(name: str) -> Path | None:
    """Return Loki or Fluent Bit on PATH, None for another program with the same name."""
    option, first_words = LOG_SERVERS[name]
    path = shutil.which(name)
    if path is None:
        return None
    try:
        version = subprocess.run(  # noqa: S603
            [path, option],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if not version.stdout.strip().startswith(first_words.encode()):
        return None
    return Path(path)
