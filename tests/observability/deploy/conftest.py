"""A machine where `make` and `docker` are scripts, and a repository to deploy."""

import shutil
from pathlib import Path

import pytest

from observability.deploy import client
from tests.observability.deploy.support import Repository
from tests.ssh_host import SshHost, write_program

PROGRAMS = ("git", "tar", "gzip", "cat", "mkdir", "printf", "env", "sleep")
MAKE = """\
#!/bin/sh
if [ "$1" = --version ]; then echo GNU Make 4.3; exit; fi
echo "make $* with $(cat release.env)"
env > ../../environment
. ./release.sh
"""
DOCKER = """\
#!/bin/sh
case "$*" in
  "version "*) echo 28.1.1 ;;
  "compose version "*) echo v2.40.3 ;;
  "image ls "*) echo "images-of-$4" ;;
  *) echo "$*" >> "$HOME/docker.log" ;;
esac
"""


@pytest.fixture
def host(tmp_path: Path) -> SshHost:
    """Return a machine with everything that a release needs, and nothing else on PATH."""
    folder = tmp_path / "host"
    folder.mkdir()
    host = SshHost(folder, {"PATH": str(folder / "programs")})
    for name in PROGRAMS:
        path = shutil.which(name)
        assert path
        (host.programs / name).symlink_to(path)
    write_program(host.programs / "make", MAKE)
    write_program(host.programs / "docker", DOCKER)
    return host


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    repository = Repository(tmp_path / "checkout")
    repository.folder.mkdir()
    repository.git("init", "--quiet")
    monkeypatch.setattr(client, "ROOT", repository.folder)
    return repository
