"""The `docker` and `docker compose` commands, with the settings of one stack."""

import os
import shutil
import subprocess
from typing import Any

from observability.devstack.layout import COMPOSE, ROOT, StackLayout, secrets_folder

USER = 10001  # of the containers when root starts them
CERTIFICATES = "certificates"  # folder below the secrets: PEM files, each a certificate and its key
CONFIG = "alertmanager.yaml"
EVERY_PROFILE = ("--profile", "*")
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
    return subprocess.run(  # noqa: S603
        command, cwd=ROOT, capture_output=not shown, text=True, check=False, **options
    )


def run_compose(layout: StackLayout, *words: str, shown: bool = False) -> CompletedProcess:
    """Run one `docker compose` command with the settings of the stack."""
    return run_docker("compose", *words, env=compose_environment(layout), shown=shown)


def compose_environment(layout: StackLayout) -> dict[str, str]:
    """Return our environment and the variables that compose.yaml needs.

    A user or group that is already set wins: a rootless engine may need another one.
    """
    user, group = os.getuid(), os.getgid()
    if user == 0:
        user, group = USER, USER
    environment = {"EVARA_UID": str(user), "EVARA_GID": str(group)} | os.environ
    for name, port in layout.ports.items():
        environment[f"EVARA_PORT_{name.upper()}"] = str(port)
    environment["EVARA_SECRETS_DIR"] = str(secrets_folder())
    environment["EVARA_ALERTMANAGER_CONFIG"] = str(layout.state / COMPOSE / CONFIG)
    environment["EVARA_GATEWAY_CERTIFICATES"] = ""
    if any((secrets_folder() / CERTIFICATES).glob("*.pem")):
        environment["EVARA_GATEWAY_CERTIFICATES"] = "/certificates"
    return environment
