"""The images of the compose stack: pulled where they are missing, and built from the code."""

import re
import subprocess
from pathlib import Path

from observability.devstack import docker
from observability.devstack.docker import run_compose
from observability.devstack.layout import COMPOSE, StackLayout
from observability.devstack.mounted_files import compose_config
from observability.devstack.steps import StackError, Steps

LAST_LINES = 15  # of a log, in a message
BASE = re.compile(r"^FROM (\w[\w./-]*:\S+)", re.MULTILINE)  # stages of the Dockerfile have no tag


def pull_images(layout: StackLayout, step: Steps) -> None:
    """Pull the images that are missing; raise StackError with the names of those that stay so."""
    missing = missing_images(layout)
    for image in missing:
        with step(f"pulling {image}"):
            pulled = docker.run_docker("pull", "--quiet", image)
        if pulled.returncode:
            raise StackError(
                f"images are missing and cannot be pulled: {', '.join(missing_images(layout))}"
                f" ({pulled.stderr.strip()});"
                " fix: load them under these names, or run without them: make up MODE=native"
            )


def missing_images(layout: StackLayout) -> list[str]:
    """Return the missing images that are not built here, those that builds start from included."""
    needed, built = set[str](), set[str]()
    for service in compose_config(layout)["services"].values():
        build = service.get("build")
        if build:
            dockerfile = Path(build["context"], build["dockerfile"])
            needed |= set(BASE.findall(dockerfile.read_text(encoding="utf-8")))
            built.add(service["image"])
        needed.add(service["image"])
    return [image for image in sorted(needed - built) if not docker.image_id(image)]


def run_logged(layout: StackLayout, command: str, *words: str) -> None:
    """Run a `docker compose` command that writes to a log of its own.

    Raise StackError with the log's path and its last lines when it fails.
    """
    path = layout.state / COMPOSE / f"{command}.log"
    path.touch(mode=0o600)
    with path.open("w") as log:
        result = run_compose(layout, command, *words, stdout=log, stderr=subprocess.STDOUT)
    if result.returncode:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
        last = "\n    ".join(lines)
        raise StackError(f"docker compose {command} failed:\n    {last}\n  fix: read {path}")
