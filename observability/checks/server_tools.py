"""The servers' own tools over the generated files, as part of the check `lint`."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from observability.checks.expressions import FIX
from observability.generate import alertmanager, loki, prometheus, promtool_tests
from observability.generate.registry import GENERATED
from observability.lib.bound_process import bind
from observability.spec.problems import Problem

TOOLS = ("promtool", "amtool")
HEADING = re.compile(r"^(Unit Testing:|Checking)\s+\S+")  # promtool's, with the file's name
QUOTED_LINES = 6
QUOTED_CHARACTERS = 300
Command = list[str]  # its last word is the file that it checks
# promtool lives for seconds; with the default, 100, it collects garbage a fifth of its time.
RARE_COLLECTIONS = {"GOGC": "400"}


def run_tools(
    root: Path, path: str, loki_program: Path | None = None
) -> tuple[list[Problem], list[str]]:
    """Run promtool and amtool of the search path and, where there is one, Loki.

    Return the problems, and the names of the tools that are missing.
    """
    programs = {tool: shutil.which(tool, path=path) for tool in TOOLS}
    commands = list_commands(root / GENERATED, programs, loki_program)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints = pool.map(run_tool, commands)
    problems = []
    for command, complaint in zip(commands, complaints, strict=True):
        if complaint:
            where = Path(command[-1]).relative_to(root)
            problems.append(Problem(str(where), complaint, FIX, "lint"))
    missing = [tool for tool, program in programs.items() if not program]
    return problems, missing


def list_commands(
    folder: Path, programs: Mapping[str, str | None], loki_program: Path | None
) -> list[Command]:
    """Return the commands that check the generated files in a folder.

    Each file of promtool's cases has a command of its own, so that they run side by side.
    """
    promtool, amtool = map(programs.get, TOOLS)
    cases = sorted((folder / promtool_tests.FOLDER).glob("*.yaml"))
    verify = ["-verify-config", "-config.expand-env=true", "-config.file"]
    checks = [
        (promtool, ["check", "rules"], [folder / prometheus.RULES]),
        (promtool, ["test", "rules"], cases),
        (amtool, ["check-config"], [folder / alertmanager.CONFIG]),
        (loki_program, verify, [folder / loki.CONFIG]),
    ]
    return [
        [str(program), *arguments, str(file)]
        for program, arguments, files in checks
        if program
        for file in files
    ]


def run_tool(command: Command) -> str:
    """Run a tool and return its complaint; empty when the tool accepts the file."""
    environment = RARE_COLLECTIONS | os.environ
    result = subprocess.run(  # noqa: S603
        bind(command), env=environment, capture_output=True, text=True, check=False
    )
    if not result.returncode:
        return ""
    tool = Path(command[0]).name
    return f"{tool} says: {quote(result.stdout + result.stderr)}"


def quote(output: str) -> str:
    """Return the first lines of a tool's output as one line.

    Headings name the file, which the problem's place names already.
    """
    lines = []
    for line in output.splitlines():
        text = HEADING.sub("", line).strip()
        if text:
            lines.append(text[:QUOTED_CHARACTERS])
    return " | ".join(lines[:QUOTED_LINES])
