"""Packages of the distribution, downloaded and unpacked into the stack's folder without root."""

import os
import shutil
import subprocess
from pathlib import Path

from observability.devstack.steps import StackError, Tell
from observability.lib.bound_process import bind

CompletedProcess = subprocess.CompletedProcess[str]


class MissingServers(StackError):
    """A server is neither on PATH nor could it be unpacked; the message says how to fix it."""


def unpacked_files(folder: Path) -> Path:
    """Return the folder in the place of / for what was unpacked."""
    return folder / "root"


def search_path(folder: Path) -> str:
    """Return PATH with the unpacked programs behind everything else."""
    unpacked_programs = unpacked_files(folder) / "usr" / "bin"
    return os.pathsep.join([os.environ.get("PATH", ""), str(unpacked_programs)])


def unpack(package: str, folder: Path, tell: Tell, *, optional: bool) -> None:
    """Download a package with apt-get and unpack it below `folder`, the only place that changes.

    Raise MissingServers when it cannot be downloaded, unless it is optional.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise MissingServers(
            f"{package} is not on PATH, and apt-get is missing; fix: install {package}"
        )
    downloads = folder / "packages"
    downloads.mkdir(parents=True, exist_ok=True)
    tell(f"downloading {package} from the distribution")
    result = run_apt(["download", package], downloads)
    if result.returncode:
        result = download_with_own_lists(package, folder, tell)
    archives = sorted(downloads.glob(f"{package}_*.deb"))
    if archives:
        command = ["dpkg-deb", "-x", str(archives[-1]), str(unpacked_files(folder))]
        subprocess.run(command, check=True)  # noqa: S603 - a file that apt-get downloaded
        archives[-1].unlink()
    elif not optional:
        errors = result.stderr.strip().splitlines() or ["apt-get said nothing"]
        raise MissingServers(
            f"{package} cannot be downloaded ({errors[-1]});"
            f" fix: check the network, or install {package} so that it is on PATH"
        )


def download_with_own_lists(package: str, folder: Path, tell: Tell) -> CompletedProcess:
    """Download a package that the system's package lists do not have or no longer have."""
    own_lists = folder / "apt"
    for part in ("state/lists/partial", "cache/archives/partial"):
        (own_lists / part).mkdir(parents=True, exist_ok=True)
    tell("fetching the distribution's package lists into the stack's own folder")
    run_apt(["update", "-q"], folder / "packages", own_lists)
    return run_apt(["download", package], folder / "packages", own_lists)


def run_apt(
    arguments: list[str], working_folder: Path, own_lists: Path | None = None
) -> CompletedProcess:
    """Run apt-get; with `own_lists` it keeps lists and caches there, which needs no root."""
    options = ["APT::Sandbox::User=root"]
    if own_lists:
        options += [
            f"Dir::State={own_lists}/state",
            f"Dir::Cache={own_lists}/cache",
            "Dir::State::status=/var/lib/dpkg/status",
            "Debug::NoLocking=1",
        ]
    command = ["apt-get"]
    for option in options:
        command += ["-o", option]
    return subprocess.run(  # noqa: S603 - fixed words
        bind([*command, *arguments]),
        cwd=working_folder,
        capture_output=True,
        text=True,
        check=False,
    )
