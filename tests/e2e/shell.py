"""Scripts in bash, as a reader of the documentation runs them."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from observability.devstack.layout import stack_ports
from observability.devstack.public_url import replace_links

TIMEOUT_SECONDS = 900
OF_MAKE = ("MAKE", "MFLAGS", "ARGS")  # beginnings of what `make e2e` exports


def run_bash(folder: Path, script: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a script in a folder and return its result, whose stdout has all that it printed."""
    environment = {name: os.environ[name] for name in os.environ if not name.startswith(OF_MAKE)}
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def run_script(folder: Path, script: str, **variables: str) -> str:
    """Return what a script prints; fail with that when one of its commands fails."""
    result = run_bash(folder, f"set -e\n{script}", **variables)
    assert result.returncode == 0, f"{script}\n{result.stdout}"
    return result.stdout


@dataclass(frozen=True)
class Shell:
    """A shell in a folder: its variables go from one script to the next."""

    folder: Path
    variables: Path  # the file that carries them
    ports: dict[str, int]  # of the stack to which addresses at localhost lead

    def run(self, script: str) -> "subprocess.CompletedProcess[str]":
        """Run a script and return its result; its exit code is that of its last command."""
        self.variables.touch()
        pages = {
            port: f"http://localhost:{self.ports[name]}" for name, port in stack_ports().items()
        }
        lines = (
            f"set -a; . {self.variables}",
            replace_links(script, pages),
            f"code=$?; export -p > {self.variables}; exit $code",
        )
        return run_bash(self.folder, "\n".join(lines))
