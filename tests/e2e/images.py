"""The images of the compose stack, and what a stack looks like without those that are missing."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.devstack import compose_settings, docker
from observability.devstack.layout import ROOT

OPTIONAL = ("loki", "fluent-bit", "grafana", "jaeger")  # no distribution packages them
PULL_SECONDS = 60
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(
    compose_settings.SERVICES.read_text(encoding="utf-8")
)["services"]


def require_engine() -> None:
    """Skip the tests if no Docker engine answers."""
    is_available, reason = docker.find_engine()
    if not is_available:
        pytest.skip(f"no compose stack here: {reason}")


def services_to_leave_out() -> list[str]:
    """Return the services whose image is missing; skip the tests if one of them is needed."""
    without = missing_images()
    needed = sorted(set(without) - set(OPTIONAL))
    if needed:
        images = ", ".join(SERVICES[name]["image"] for name in needed)
        pytest.skip(f"images are missing and cannot be pulled: {images}")
    return without


def missing_images() -> list[str]:
    """Return the services whose image is neither present nor pullable; our own are built."""
    built = {service["image"] for service in SERVICES.values() if "build" in service}
    pulled = {service["image"] for service in SERVICES.values()} - built
    missing = set()
    for image in pulled:
        if subprocess.run(
            ["docker", "image", "inspect", image], capture_output=True, check=False
        ).returncode:
            try:
                exit_code = subprocess.run(
                    ["docker", "pull", "--quiet", image],
                    capture_output=True,
                    timeout=PULL_SECONDS,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                exit_code = 1
            missing |= {image} if exit_code else set()
    return sorted(name for name, service in SERVICES.items() if service["image"] in missing)


def write_override(without: list[str], folder: Path) -> Path:
    """Write a Compose override that leaves services out, and return its path.

    Stand-ins of PostgreSQL's image do not make up a name of their user, which initdb asks for.
    """
    shutil.copy(ROOT / "tests" / "e2e" / "passwd", folder)
    jobs = yaml.safe_load(
        (ROOT / "observability/devstack/compose/prometheus.yaml").read_text(encoding="utf-8")
    )
    jobs["scrape_configs"] = [
        job for job in jobs["scrape_configs"] if job["job_name"] not in without
    ]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(jobs, sort_keys=False), encoding="utf-8")
    lines = ["services:"]
    for name in SERVICES:
        changes = ["profiles: [left-out]"] if name in without else []
        if "fluent-bit" in without:
            changes.append("logging: !override {driver: json-file, options: {max-size: 10m}}")
        if name in ("api", "worker") and "jaeger" in without:
            changes.append('environment: {EVARA_OTLP_ENDPOINT: ""}')
        if name in ("postgres", "postgres-replica", "backup"):
            changes.append(f"volumes: ['{folder}/passwd:/etc/passwd:ro'] # for stand-ins")
        if name == "prometheus":
            changes.append(
                f"volumes: ['{folder}/prometheus.yaml:/etc/prometheus/prometheus.yaml:ro']"
            )
        lines += [f"  {name}:", *(f"    {change}" for change in changes)] if changes else []
    path = folder / "left-out.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
