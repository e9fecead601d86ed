"""Alertmanager's templates, which Debian's Alertmanager reads from /usr/share alone.

An unpacked Alertmanager sees its own ones there, by an overlay mount, or by a link.
"""

import os
import shutil
import subprocess
from pathlib import Path

from observability.devstack.packages import MissingServers, unpacked_files

TEMPLATES = Path("/usr/share/prometheus/alertmanager")


def template_wrapper(server: Path, folder: Path) -> tuple[str, ...]:
    """Return the words before the server's command that show it its templates.

    Nothing is needed for a server of the system's own, and after root has made a link. Raise
    MissingServers when there is no way.
    """
    share = unpacked_files(folder) / "usr" / "share"
    if TEMPLATES.exists() or not server.is_relative_to(folder) or not share.exists():
        return ()
    mount = f"mount -t overlay overlay -o lowerdir={share}:/usr/share /usr/share"
    if shutil.which("unshare") and succeeds(["unshare", "-rm", "sh", "-c", mount]):
        return ("unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh")
    if os.geteuid() != 0:
        raise MissingServers(
            f"Alertmanager needs {TEMPLATES}, and unshare may not mount it;"
            " fix: sudo apt install prometheus-alertmanager"
        )
    TEMPLATES.parent.mkdir(parents=True, exist_ok=True)
    TEMPLATES.symlink_to(share / "prometheus" / "alertmanager")
    return ()


def remove_template_link(folder: Path) -> None:
    """Remove the link that root may have made, if it leads below `folder`."""
    if TEMPLATES.is_symlink() and TEMPLATES.readlink().is_relative_to(folder):
        TEMPLATES.unlink()


def succeeds(command: list[str]) -> bool:
    result = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - fixed words
    return result.returncode == 0
