"""The `docker` and `docker compose` commands, with the settings of one stack."""

import os
import shutil
import subprocess
from typing import Any

from observability.devstack.compose_settings import missing_settings, project_name
from observability.devstack.layout import ROOT, StackLayout
from observability.devstack.steps import StackError

QUERY_SECONDS = 10
NOT_FOUND = 127  # a shell's exit code for a command that is not on PATH

CompletedProcess = subprocess.CompletedProcess[str]


def find_engine() -> tuple[bool, str]:
    """Return whether a Docker engine with Compose responds, and its versions or what is missing."""
    if not shutil.which("docker"):
        return False, "docker is not on PATH"
    try:
        server = run_docker("version", "--format", "{{.Server.Version}}", timeout=QUERY_SECONDS)
        plugin = run_docker("compose", "version", "--short", timeout=QUERY_SECONDS)
    except subprocess.TimeoutExpired:
        return False, "the Docker engine hangs"
    if server.returncode:
        return False, "no Docker engine answers"
    if plugin.returncode:
        return False, "Docker has no Compose plugin"
    return True, f"Docker {server.stdout.strip()}, Compose {plugin.stdout.strip()}"


def run_docker(*words: str, shown: bool = False, **options: Any) -> CompletedProcess:
    """Run one `docker` command in the root of the code, with options of `subprocess.run`.

    `shown` leaves its output to the terminal. Without `docker` the result is NOT_FOUND.
    """
    command = ["docker", *words]
    if not shutil.which("docker"):
        return CompletedProcess(command, NOT_FOUND, "", "docker is not on PATH")
    if not shown:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(command, cwd=ROOT, text=True, check=False, **options)  # noqa: S603


def image_id(tag: str) -> str:
    """Return the id of the image with this tag; empty when there is none."""
    return run_docker("image", "inspect", "--format", "{{.Id}}", tag).stdout.strip()


def run_compose(layout: StackLayout, *words: str, **options: Any) -> CompletedProcess:
    """Run one `docker compose` command on the stack, with the options of `run_docker`."""
    environment = os.environ | {"EVARA_STACK_DIR": str(layout.state)} | missing_settings(layout)
    return run_docker("compose", *words, env=environment, **options)


def run_on_containers(*words: str, **options: Any) -> CompletedProcess:
    """Run one `docker compose` command on what exists, found by the label of the project.

    Compose then reads neither compose.yaml nor settings: those of the next release may be here
    already, which need not fit the stack that runs.
    """
    return run_docker("compose", "--project-name", project_name(), *words, **options)


def output_of(result: CompletedProcess, failure: str, fix: str) -> str:
    """Return what a command printed; raise StackError with Docker's reason when it failed.

    Compose prints its progress to stderr, too: lines that begin with a space.
    """
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line and not line.startswith(" ")]
        reason = " ".join(lines) or result.stderr.strip() or f"exit code {result.returncode}"
        raise StackError(f"{failure}: {reason}; fix: {fix}")
    return result.stdout
