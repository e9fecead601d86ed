"""A repository whose tags differ in what their `make up` does, and commands that deploy them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result

from observability.__main__ import cli
from tests.ssh_host import SshHost
from tests.waiting import until

UNCHANGED = "nothing was sent or changed; fix: what is said above"
WORKS = """\
mkdir -p .stack/compose/evara
printf 'MAKE_UP_ROOT="%s"\\n' "$(pwd -P)" > .stack/compose/evara/.env
[ -e secrets/key ] || echo $$ > secrets/key
echo works
"""
FAILS = "echo the new api does not become healthy; exit 2\n"
FAILS_LATE = f"{WORKS}echo a wait failed; exit 2\n"
WAITS = f"echo waiting; cat ../../go; {WORKS}"


@dataclass(frozen=True)
class Repository:
    """A repository whose tags differ in what their `make up` does."""

    folder: Path

    def git(self, *words: str) -> str:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost", *words]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=True
        ).stdout.strip()

    def tag(self, name: str, make_up: str = WORKS) -> str:
        """Make a tag, and return the name of its release."""
        (self.folder / "release.sh").write_text(make_up, encoding="utf-8")
        (self.folder / "tag").write_text(name, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", name)
        self.git("tag", name)
        return f"{name}-{self.git('rev-parse', 'HEAD')[:12]}"


def invoke(*words: str) -> Result:
    """Run a command in this process, without colours."""
    return CliRunner(env={"NO_COLOR": "1"}).invoke(cli, list(words))


def words_for(host: SshHost) -> list[str]:
    """Return the options that lead to a machine."""
    return ["--to", host.address, "--ssh-config", str(host.config)]


def deploy_tag(host: SshHost, tag: str) -> Result:
    """Run the command of `make deploy`."""
    return invoke("deploy", "--ref", tag, *words_for(host))


def roll_back(host: SshHost) -> Result:
    """Run the command of `make rollback`."""
    return invoke("rollback", *words_for(host))


def current(host: SshHost) -> str:
    """Return the name of the release that serves, "" without one."""
    link = host.evara / "current"
    return link.readlink().name if link.is_symlink() else ""


@contextmanager
def deploying(
    host: SshHost, repository: Repository, tag: str
) -> "Iterator[tuple[subprocess.Popen[str], Path]]":
    """Start to deploy a tag whose `make up` waits; yield the process and what it waits for."""
    go = host.evara / "go"
    os.mkfifo(go)
    script = (
        "import signal, sys; from pathlib import Path; from observability.deploy import client\n"
        "from observability.__main__ import cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in the background
        "client.ROOT = Path(sys.argv.pop(1)); cli()"
    )
    words = ["deploy", "--ref", tag, *words_for(host)]
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(repository.folder), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        log = host.evara / "deploy.log"
        until(lambda: "waiting\n" in log.read_text(encoding="utf-8"))
        yield process, go
    finally:
        with suppress(OSError):  # nobody reads it
            os.close(os.open(go, os.O_WRONLY | os.O_NONBLOCK))
        process.communicate()
