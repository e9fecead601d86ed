"""The compose stack: up, down, status, logs, doctor and clean."""

import time
from collections.abc import Iterator
from pathlib import Path

from observability.devstack import native
from observability.devstack.compose_secrets import USER_SECRETS, make_secrets
from observability.devstack.containers import DONE, containers, failed_containers, processes
from observability.devstack.docker import CONFIG, EVERY_PROFILE, find_engine, run_compose
from observability.devstack.job_failures import LOG_LINES, JobFailures, job_failures
from observability.devstack.layout import (
    COMPOSE,
    StackLayout,
    filled_secrets,
    ports_except,
    secrets_folder,
)
from observability.devstack.machine import (
    CheckResult,
    check_ports,
    require_disk_space,
    require_free_ports,
)
from observability.devstack.mounted_files import compose_config, digests_file, restart_changed
from observability.devstack.readiness import (
    Targets,
    Wait,
    api_wait,
    job_wait,
    log_wait,
    monitoring_waits,
    wait_for_each,
)
from observability.devstack.steps import StackError, Steps
from observability.devstack.supervisor import RUNNING
from observability.generate import alertmanager
from observability.lib.prometheus import Prometheus
from observability.spec import names
from observability.spec.plan import Plan

UNPUBLISHED = ("metrics", "prober", "loki_grpc", "locust")  # names of ports
LOG_SERVICES = {"loki", "fluent-bit"}


def up(layout: StackLayout, plan: Plan, step: Steps) -> None:
    """Start the containers, or bring running ones up to date; raise StackError."""
    has_engine, explanation = find_engine()
    if not has_engine:
        raise StackError(
            f"{explanation}; fix: start Docker, or run without it: make up MODE=native"
        )
    since = time.time()
    with step("checking ports and disk, making secrets and configuration"):
        require_disk_space(layout.state)
        if not processes(layout):
            require_free_ports(ports_except(layout.ports, UNPUBLISHED))
        make_secrets(secrets_folder())
        write_alertmanager_config(layout, plan)
    layout.remember_mode(COMPOSE)
    with step("building images and starting containers"):
        start_containers(layout)
    wait_for_each(waits(layout, plan, since), lambda: failed_containers(layout), step)
    for failure in failures_of_jobs(layout, since):
        step.warn(str(failure))


def write_alertmanager_config(layout: StackLayout, plan: Plan) -> None:
    """Write Alertmanager's configuration with the integrations whose secrets exist."""
    path = layout.state / COMPOSE / CONFIG
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = alertmanager.render(plan, filled_secrets(secrets_folder()))
    path.write_text(texts[alertmanager.CONFIG], encoding="utf-8")


def start_containers(layout: StackLayout) -> None:
    """Build the images, start what does not run, restart what has changed; raise StackError."""
    words = ("up", "--detach", "--build", "--remove-orphans")
    if run_compose(layout, *words, shown=True).returncode:
        raise StackError(
            "the containers did not start; fix: read the output above, and make logs P=NAME"
        )
    restart_changed(layout)


def waits(layout: StackLayout, plan: Plan, since: float) -> list[Wait]:
    """Return the waits, all of which ask the gateway, Prometheus or Docker.

    Containers publish nothing else. A log line must be newer than `since`, Unix seconds.
    """
    prometheus = Prometheus(layout.url("prometheus"))
    last_success = f"max by ({names.JOB}) ({names.JOB_LAST_SUCCESS})"

    def last_successes() -> dict[str, float]:
        return prometheus.query_by_label(last_success, names.JOB)

    def failures() -> JobFailures:
        return failures_of_jobs(layout, since)

    def every_job_has_targets(targets: Targets) -> bool:
        return {target["scrapePool"] for target in targets} == set(prometheus.scrape_pools())

    def containers_are_healthy() -> bool:
        return {row["statename"] for row in processes(layout)} <= {RUNNING, DONE}

    delivery_wait, *later_waits = monitoring_waits(layout, plan, every_job_has_targets, failures)
    if compose_config(layout)["services"].keys() >= LOG_SERVICES:
        later_waits.append(log_wait(layout, plan, since))
    return [
        api_wait(layout),
        delivery_wait,
        job_wait(plan, last_successes, failures, 0, "make logs P=worker"),
        *later_waits,
        Wait("every container is healthy", containers_are_healthy, "make status"),
    ]


def failures_of_jobs(layout: StackLayout, since: float) -> JobFailures:
    """Return the failed runs of jobs, [] before there is a worker."""
    try:
        return job_failures(tail(layout, "worker", LOG_LINES), since)
    except StackError:
        return []


def down(layout: StackLayout) -> bool:
    """Stop and remove the containers, but not the volumes; return False when nothing ran."""
    existed = bool(containers(layout))
    run_compose(layout, *EVERY_PROFILE, "down", "--remove-orphans", shown=True)
    digests_file(layout).unlink(missing_ok=True)
    return existed


def clean(layout: StackLayout) -> list[Path]:
    """Remove containers, volumes and what the stack wrote, but not secrets and images."""
    run_compose(layout, *EVERY_PROFILE, "down", "--remove-orphans", "--volumes", shown=True)
    return native.clean(layout)


def doctor(layout: StackLayout) -> list[CheckResult]:
    """Return the checks of everything that `up` depends on."""
    has_engine, explanation = find_engine()
    rows = [("Docker", has_engine, explanation)]
    if not has_engine:
        return rows
    given = sorted(filled_secrets(secrets_folder()) & set(USER_SECRETS))
    listed = ", ".join(given) or "none"
    rows.append(("secrets", True, f"{secrets_folder()}; given: {listed}"))
    running = processes(layout)
    if not running:
        return rows + check_ports(ports_except(layout.ports, UNPUBLISHED))
    for row in running:
        is_fine = row["statename"] in (RUNNING, DONE)
        rows.append((f"container {row['name']}", is_fine, row["description"]))
    return rows


def tail(layout: StackLayout, program: str | None, lines: int) -> Iterator[str]:
    """Yield the last lines of one service's containers, or of all; raise StackError."""
    words = [*EVERY_PROFILE, "logs", "--no-color", f"--tail={lines}"]
    if program:
        services = {container["Service"] for container in containers(layout)}
        if program not in services:
            known = ", ".join(sorted(services)) or "none yet: make up"
            raise StackError(f"there is no log of {program!r}; known: {known}")
        words += ["--no-log-prefix", program]
    yield from run_compose(layout, *words).stdout.splitlines()
