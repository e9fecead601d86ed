"""A machine that is reached by SSH: a real sshd with a home of its own, as the present user.

ssh starts the sshd itself and talks to it through a pipe, so that it has no port and ends with the
connection.
"""

import getpass
import os
import shutil
import subprocess
import sys
from pathlib import Path

NAME = "evara.example.org"
SSHD_CONFIG = """\
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
StrictModes no
UsePAM no
LogLevel ERROR
AcceptEnv *
SetEnv {environment}
{force_command}
"""
SSH_CONFIG = """\
Host {name}
  ProxyCommand {sshd} -i -f {folder}/sshd_config
  IdentityFile {folder}/user_key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking yes
  LogLevel ERROR
"""


class SshHost:
    """The machine: its home, and the client's settings that lead to it."""

    def __init__(self, folder: Path, environment: dict[str, str], command: Path | None = None):
        self.folder = folder
        self.home = folder / "home"
        self.evara = self.home / "evara"
        self.config = folder / "ssh_config"
        self.address = f"{getpass.getuser()}@{NAME}"
        self.home.mkdir()
        self.programs = folder / "programs"  # for PATH
        self.programs.mkdir()
        python = Path(sys.base_prefix, "bin", "python3")
        write_program(self.programs / "python3", f'#!/bin/sh\nexec {python} "$@"\n')
        for key in ("host_key", "user_key"):
            words = ("-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / key))
            subprocess.run(["ssh-keygen", *words], check=True)
        host_key = (folder / "host_key.pub").read_text(encoding="utf-8")
        (folder / "known_hosts").write_text(f"{NAME} {host_key}", encoding="utf-8")
        values = {"HOME": str(self.home)} | environment
        settings = " ".join(f'"{name}={value}"' for name, value in values.items())
        force = f"ForceCommand {command}" if command else ""
        texts = {"folder": folder, "environment": settings, "force_command": force, "name": NAME}
        self.config.write_text(SSH_CONFIG.format(sshd=find_sshd(), **texts), encoding="utf-8")
        (folder / "sshd_config").write_text(SSHD_CONFIG.format(**texts), encoding="utf-8")

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command there and return its result."""
        words = ["ssh", "-F", str(self.config), self.address, command]
        return subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    def releases(self) -> list[str]:
        """Return the names of the folders of releases."""
        return sorted(path.name for path in (self.evara / "releases").glob("*"))


def write_program(path: Path, text: str) -> None:
    """Write a program."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def find_sshd() -> str:
    """Return the path of sshd; as root it needs a folder that its service makes."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert sshd, "sshd is missing; install it: sudo apt install openssh-server"
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    return sshd
