"""Finds Prometheus and Alertmanager on PATH, or unpacks the distribution's packages into the stack's folder, without root.

Loki and Fluent Bit are in no distribution; they take part when both are on PATH.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# our name → names of the program, packages that may hold it
WANTED = {
    "prometheus": (("prometheus",), ("prometheus",)),
    "alertmanager": (("alertmanager", "prometheus-alertmanager"), ("prometheus-alertmanager",)),
    "promtool": (("promtool",), ("prometheus", "promtool")),
    "amtool": (("amtool",), ("prometheus-alertmanager",)),
}
# optional program → the option that makes it say who it is, and how that begins; Debian's loki is a genetics program
LOG_SERVERS = {"loki": ("-version", "loki, version"), "fluent-bit": ("--version", "Fluent Bit v")}
DOWNLOAD = (
    "about 30 MB of server packages, and 10 to 20 MB of package lists where the system has none"
)
TEMPLATES = Path(
    "/usr/share/prometheus/alertmanager"
)  # Debian's Alertmanager reads its templates from here alone
Tell = Callable[[str], None]


class MissingServers(Exception):
    """A server can neither be found nor unpacked; the message says what was tried and what would help."""


@dataclass(frozen=True)
class Server:
    """A program, and the words that must stand before it to make it run here."""

    path: Path
    wrap: tuple[str, ...] = ()

    def command(self, *arguments: str) -> list[str]:
        return [*self.wrap, str(self.path), *arguments]


def search_path(folder: Path) -> str:
    """PATH with the unpacked programs behind everything else."""
    return os.pathsep.join([os.environ.get("PATH", ""), str(folder / "root" / "usr" / "bin")])


def find(name: str, folder: Path) -> Path | None:
    """One of our names → the program, or None."""
    found = (shutil.which(program, path=search_path(folder)) for program in WANTED[name][0])
    return next((Path(path) for path in found if path), None)


def find_log_server(name: str) -> Path | None:
    """Loki or Fluent Bit on PATH, or None: something else of that name is passed over."""
    (option, words), path = LOG_SERVERS[name], shutil.which(name)
    if path is None:
        return None
    try:
        said = subprocess.run(  # noqa: S603
            [path, option], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Path(path) if said.stdout.strip().startswith(words.encode()) else None


def log_servers() -> dict[str, Server]:
    """Both, or none: one is of no use without the other."""
    found = {name: Server(path) for name in LOG_SERVERS if (path := find_log_server(name))}
    return found if len(found) == len(LOG_SERVERS) else {}


def ensure(folder: Path, tell: Tell) -> dict[str, Server]:
    """All servers, unpacked first where they are missing; raises MissingServers."""
    for name, (_, packages) in WANTED.items():
        for package in packages:
            if find(name, folder) is None:
                unpack(package, folder, tell, optional=package != packages[0])
    servers = {name: Server(path) for name in WANTED if (path := find(name, folder))}
    if missing := [name for name in WANTED if name not in servers]:
        raise MissingServers(
            f"{', '.join(missing)} could not be found or unpacked; install them so that they are on PATH"
        )
    return servers | {"alertmanager": with_templates(servers["alertmanager"], folder)}


def unpack(package: str, folder: Path, tell: Tell, *, optional: bool) -> None:
    """Downloads a package with apt and unpacks it below `folder`; nothing outside is touched."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise MissingServers(
            f"{package} is not on PATH, and there is no apt-get to fetch it with; install {package}"
        )
    downloads = folder / "packages"
    downloads.mkdir(parents=True, exist_ok=True)
    tell(f"downloading {package} from the distribution")
    result = apt(["download", package], downloads, private=None)
    if result.returncode:
        private = folder / "apt"
        for part in ("state/lists/partial", "cache/archives/partial"):
            (private / part).mkdir(parents=True, exist_ok=True)
        tell("reading the distribution's package lists into the stack's own folder")
        apt(["update", "-q"], downloads, private=private)
        result = apt(["download", package], downloads, private=private)
    files = sorted(downloads.glob(f"{package}_*.deb"))
    if not files:
        if optional:
            return
        said = (result.stderr.strip().splitlines() or ["apt-get said nothing"])[-1]
        raise MissingServers(
            f"{package} cannot be downloaded ({said}); check the network, or install {package} so that it is on PATH"
        )
    subprocess.run(["dpkg-deb", "-x", str(files[-1]), str(folder / "root")], check=True)  # noqa: S603, S607 - our own file
    files[-1].unlink()


def apt(
    arguments: list[str], folder: Path, private: Path | None
) -> "subprocess.CompletedProcess[str]":
    """apt-get in `folder`; with `private`, its lists and caches are kept there, so that no root is needed."""
    options = [
        *("-o", f"Dir::State={private}/state", "-o", f"Dir::Cache={private}/cache", "-o", "Debug::NoLocking=1"),
        *("-o", "Dir::State::status=/var/lib/dpkg/status"),
    ]  # fmt: skip
    command = [
        "apt-get",
        *(options if private else []),
        "-o",
        "APT::Sandbox::User=root",
        *arguments,
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words


def with_templates(server: Server, folder: Path) -> Server:
    """Debian's Alertmanager needs its templates in /usr/share: shows them to it alone, by overlay, or by proot."""
    unpacked = folder / "root" / "usr" / "share"
    if TEMPLATES.exists() or not server.path.is_relative_to(folder) or not unpacked.exists():
        return server
    mount = f"mount -t overlay overlay -o lowerdir={unpacked}:/usr/share /usr/share"
    if shutil.which("unshare") and runs(["unshare", "-rm", "sh", "-c", mount]):
        return Server(server.path, ("unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh"))
    if proot := find_proot(folder):
        return Server(
            server.path, (str(proot), "-b", f"{unpacked}/prometheus:/usr/share/prometheus")
        )
    if os.geteuid() == 0:
        TEMPLATES.parent.mkdir(parents=True, exist_ok=True)
        TEMPLATES.symlink_to(unpacked / "prometheus" / "alertmanager")
        return server
    raise MissingServers(
        f"Alertmanager needs {TEMPLATES}, and neither unshare nor proot may show it one; install proot or prometheus-alertmanager"
    )


def find_proot(folder: Path) -> Path | None:
    """proot from PATH, or unpacked like the servers."""
    found = shutil.which("proot", path=search_path(folder))
    if found is None:
        unpack("proot", folder, lambda _: None, optional=True)
        found = shutil.which("proot", path=search_path(folder))
    return Path(found) if found and runs([found, "true"]) else None


def forget_templates(folder: Path) -> None:
    """Takes back the one thing outside the folder that root may have made."""
    if TEMPLATES.is_symlink() and TEMPLATES.readlink().is_relative_to(folder):
        TEMPLATES.unlink()


def runs(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603 - fixed words
