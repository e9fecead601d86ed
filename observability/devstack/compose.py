"""The compose stack: up, down, status, logs, doctor and clean."""

import time
from collections.abc import Collection, Iterator
from pathlib import Path

from observability.devstack import certificates, native, releases
from observability.devstack.compose_files import install_files, prepare_files
from observability.devstack.compose_secrets import USER_SECRETS, make_secrets
from observability.devstack.compose_settings import CERTIFICATES, write_settings
from observability.devstack.containers import DONE, LOOK, containers, failed_containers, processes
from observability.devstack.docker import NOT_FOUND, find_engine, output_of, run_on_containers
from observability.devstack.images import pull_images, run_logged
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
from observability.devstack.networks import require_networks
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
from observability.lib.prometheus import ServicePrometheus
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
    before = releases.remember(layout)
    with step("checking ports and disk, making secrets and configuration"):
        require_disk_space(layout.state)
        if not processes(layout):
            require_free_ports(ports_except(layout.ports, UNPUBLISHED))
        write_files(layout, plan)
    layout.remember_mode(COMPOSE)
    replaced = releases.Replaced()
    with releases.taken_back(layout, before):
        write_settings(layout)
        if before:
            require_networks(compose_config(layout), releases.RELEASED)
        pull_images(layout, step)
        with step(f"building images; output in {layout.state / COMPOSE / 'build.log'}"):
            run_logged(layout, "build")
        if before:
            replaced = releases.replace(layout, step)
    releases.end_old(replaced, step)
    with step("starting containers"):
        start_containers(layout, replaced.services)
    wait_for_each(waits(layout, plan, since), lambda: failed_containers(layout), step)
    for failure in failures_of_jobs(layout, since):
        step.warn(str(failure))


def write_files(layout: StackLayout, plan: Plan) -> None:
    """Write secrets, and prepare configuration; raise StackError before any container changes."""
    folder = secrets_folder()
    try:
        make_secrets(folder)
        problems = list(certificates.find_problems(folder / CERTIFICATES))
        if problems:
            raise StackError(
                f"{'; '.join(problems)}; no container was changed;"
                " fix: replace the file, or remove it to serve http alone"
            )
        prepare_files(layout, plan)
    except OSError as error:
        raise StackError(
            f"{error.filename or folder}: {error.strerror}; no container was changed; fix: let this"
            " user write there, or set EVARA_SECRETS_DIR or EVARA_STACK_DIR with another folder"
        ) from error


def start_containers(layout: StackLayout, replaced: Collection[str]) -> None:
    """Start what does not run, and restart what has changed but was not replaced.

    Raise StackError.
    """
    install_files(layout)
    earlier = {container["ID"] for container in containers()}
    run_logged(layout, "up", "--detach", "--no-build", "--remove-orphans")
    kept = {row["Service"] for row in containers() if row["ID"] in earlier}
    restart_changed(layout, kept.difference(replaced))


def waits(layout: StackLayout, plan: Plan, since: float) -> list[Wait]:
    """Return the waits, all of which ask the gateway, Prometheus or Docker.

    Containers publish nothing else. A log line must be newer than `since`, Unix seconds.
    """
    prometheus = ServicePrometheus(layout.url("prometheus"), plan)
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
    """Stop and remove the containers, but not the volumes; return False when nothing ran.

    Raise StackError.
    """
    existed = bool(containers())
    remove_containers()
    digests_file(layout).unlink(missing_ok=True)
    return existed


def clean(layout: StackLayout) -> list[Path]:
    """Remove containers, volumes and what the stack wrote, but not secrets and images.

    Raise StackError; what the stack wrote then stays, so that it can be repeated.
    """
    remove_containers("--volumes")
    return native.clean(layout)


def remove_containers(*words: str) -> None:
    """Stop and remove all containers and networks; raise StackError. Without Docker, do nothing."""
    result = run_on_containers("down", *words, shown=True)
    if result.returncode not in (0, NOT_FOUND):
        raise StackError("docker compose down failed; fix: correct what it says above, then repeat")


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


def tail(_: StackLayout, program: str | None, lines: int) -> Iterator[str]:
    """Yield the last lines of one service's containers, or of all; raise StackError."""
    words = ["logs", "--no-color", f"--tail={lines}"]
    if program:
        services = {container["Service"] for container in containers()}
        if program not in services:
            known = ", ".join(sorted(services)) or "none yet: make up"
            raise StackError(f"there is no log of {program!r}; known: {known}")
        words += ["--no-log-prefix", program]
    yield from output_of(run_on_containers(*words), "the logs cannot be read", LOOK).splitlines()
