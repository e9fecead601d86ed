"""This side of a release on another machine: it runs ssh.

host.py does the work there. This side sends that file and the archive of a commit, and shows
the output: neither the environment nor the SSH agent of this machine is sent.
"""

import base64
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from observability.deploy import host as remote
from observability.devstack.layout import ROOT
from observability.devstack.steps import StackError, Tell

OPTIONS = ("-T", "-a", "-x", "-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none")
START = (
    "import base64, sys;"
    'sys.version_info >= (3, 11) or sys.exit("python3 is older than 3.11; fix: install a newer");'
    "exec(base64.b64decode(sys.argv.pop(1)))"
)
NAME_CHARACTERS = 80  # of REF in the name of a release, which is the tag of its images, too


class ConnectionLost(StackError):
    """The connection ended before the release did, so that nobody here knows its end."""


@dataclass(frozen=True)
class Host:
    """Another machine, how to reach it, and what prints a line of its output."""

    address: str  # as ssh takes it
    ssh_config: Path | None  # None: that of the user
    tell: Tell


def release(host: Host, ref: str) -> bool:
    """Send a commit and bring it up there; return False when the host has said why it cannot.

    Raise StackError.
    """
    commit = find_commit(ref)
    name = f"{ref[:NAME_CHARACTERS]}-{commit[:12]}"
    folder = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).lstrip("-.")
    host.tell(f"{folder}: what is committed; changes of the work tree stay here")
    return run_there(host, "release", folder, commit=commit)


def roll_back(host: Host) -> bool:
    """Bring the release before the present one up again, as `release` does."""
    return run_there(host, "rollback")


def find_commit(ref: str) -> str:
    """Return the commit of a tag, or of any other name that git knows; raise StackError."""
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    result = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603, S607
    if result.returncode:
        raise StackError(
            f"REF={ref} is no tag and no commit of this repository, nothing was sent"
            f" {result.stderr.strip()}; fix: git fetch --tags, or git tag {ref}"
        )
    return result.stdout.strip()


def run_there(host: Host, action: str, *words: str, commit: str = "") -> bool:
    """Run host.py on the host, and send it the archive of the commit when it asks."""
    is_ready = False
    with subprocess.Popen(  # noqa: S603 - ssh checks the address
        ssh_command(host, action, *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as ssh:
        try:
            for line in ssh.stdout or ():
                text = line.decode(errors="replace").rstrip()
                if text in (remote.READY, remote.SEND):
                    is_ready = True
                    send_archive(commit if text == remote.SEND else "", ssh)
                else:
                    host.tell(text)
        except KeyboardInterrupt:
            ssh.terminate()
    return judge(host, ssh.returncode, is_ready=is_ready)


def ssh_command(host: Host, *words: str) -> list[str]:
    """Return the command that runs host.py with these words, whatever shell is there."""
    if not shutil.which("ssh"):
        raise StackError("ssh is not on PATH; fix: sudo apt install openssh-client")
    source = base64.b64encode(Path(remote.__file__).read_bytes()).decode()
    config = ("-F", str(host.ssh_config)) if host.ssh_config else ()
    script = shlex.join(["python3", "-Ic", START, source, *words])
    return ["ssh", *OPTIONS, *config, "--", host.address, script]


def send_archive(commit: str, ssh: "subprocess.Popen[bytes]") -> None:
    """Send the files of a commit, or nothing without one, and close the connection's input."""
    if commit:
        command = ["git", "-c", "tar.umask=0022", "archive", "--format=tar.gz", commit]
        subprocess.run(command, cwd=ROOT, stdout=ssh.stdin, check=False)  # noqa: S603
    if ssh.stdin:
        ssh.stdin.close()


def judge(host: Host, exit_code: int, *, is_ready: bool) -> bool:
    """Return whether the host has succeeded; raise StackError when it has not said that."""
    if not is_ready:
        raise StackError(
            f"{host.address} did not begin (exit code {exit_code} of ssh); nothing was sent or"
            " changed; fix: what is said above"
        )
    if exit_code not in (0, 1):
        raise ConnectionLost(
            f"the connection to {host.address} ended early (exit code {exit_code}); a release that"
            " has begun there goes on; fix: see how it ended, then repeat:"
            f" ssh {host.address} tail -n 20 evara/deploy.log"
        )
    return exit_code == 0
