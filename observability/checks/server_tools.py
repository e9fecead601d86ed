"""The servers' own tools over the generated files, as part of the check `lint`."""

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from observability.checks.expressions import FIX
from observability.generate import alertmanager, loki, prometheus, promtool_tests
from observability.generate.registry import GENERATED
from observability.spec.problems import Problem

PROMTOOL = "promtool"
AMTOOL = "amtool"
HEADING = re.compile(r"^(Unit Testing:|Checking)\s+\S+")  # promtool's, with the file's name
QUOTED_LINES = 6
QUOTED_CHARACTERS = 300
Programs = dict[str, str | None]  # path by tool; None where it is missing
Command = list[str]  # its last word is the file that it checks
# promtool lives for seconds; with the default, 100, it collects garbage a fifth of its time.
RARE_COLLECTIONS = {"GOGC": "400"}


def run_tools(
    root: Path, path: str | None = None, loki_program: Path | None = None
) -> tuple[list[Problem], list[str]]:
    """Run promtool, amtool and, where there is one, Loki over the generated files.

    Return the problems, and the names of the tools that are missing.
    """
    programs = find_programs(path)
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


def find_programs(path: str | None) -> Programs:
    """Return the tools' programs; `path` is searched before PATH."""
    folders = [folder for folder in (path, os.environ.get("PATH")) if folder]
    search_path = os.pathsep.join(folders)
    return {tool: shutil.which(tool, path=search_path) for tool in (PROMTOOL, AMTOOL)}


def list_commands(folder: Path, programs: Programs, loki_program: Path | None) -> list[Command]:
    """Return the commands that check the generated files in a folder.

    Each file of promtool's cases has a command of its own, so that they run side by side.
    """
    commands = []
    promtool = programs[PROMTOOL]
    if promtool:
        commands.append([promtool, "check", "rules", str(folder / prometheus.RULES)])
        cases = folder / promtool_tests.FOLDER
        for case in sorted(cases.glob("*.yaml")):
            commands.append([promtool, "test", "rules", str(case)])
    amtool = programs[AMTOOL]
    if amtool:
        commands.append([amtool, "check-config", str(folder / alertmanager.CONFIG)])
    if loki_program:
        verify = [str(loki_program), "-verify-config", "-config.expand-env=true"]
        commands.append([*verify, "-config.file", str(folder / loki.CONFIG)])
    return commands


def run_tool(command: Command) -> str:
    """Run a tool and return its complaint; empty when the tool accepts the file."""
    environment = RARE_COLLECTIONS | os.environ
    result = subprocess.run(  # noqa: S603
        command, env=environment, capture_output=True, text=True, check=False
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
