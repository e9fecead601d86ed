"""The native stack: up, down, status, logs, doctor and clean."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from xmlrpc.client import Fault

from observability.devstack import binaries
from observability.devstack.alertmanager_templates import remove_template_link
from observability.devstack.binaries import Server
from observability.devstack.database import prepare_database
from observability.devstack.flask_command import require_valid_settings
from observability.devstack.job_failures import LOG_LINES, JobFailures, job_failures
from observability.devstack.layout import NATIVE, StackLayout, ports_except, secrets_folder
from observability.devstack.machine import (
    CheckResult,
    check_ports,
    check_servers,
    check_tools,
    require_disk_space,
    require_free_ports,
)
from observability.devstack.private_files import make_private
from observability.devstack.programs import Program, programs
from observability.devstack.readiness import (
    Wait,
    api_wait,
    job_wait,
    log_wait,
    monitoring_waits,
    wait_for_each,
)
from observability.devstack.server_configs import write_server_configs
from observability.devstack.steps import StackError, Steps
from observability.devstack.supervisor import RUNNING, Supervisor
from observability.devstack.targets import announced_at_end, target_ports, withdraw_targets
from observability.lib.json_object import Json
from observability.lib.prometheus import scrape_metric
from observability.spec import names
from observability.spec.plan import Plan

RECENT_SECONDS = 900  # failures of jobs that `up` reports in a stack that ran before
COMPOSE_ONLY = ("tls", "grafana", "mailpit", "locust", "jaeger", "fluentd")  # names of ports


def up(layout: StackLayout, plan: Plan, step: Steps) -> None:
    """Start the stack, or bring a running one up to date; raise StackError."""
    supervisor = Supervisor(layout)
    is_running = supervisor.is_alive()
    log_servers = binaries.log_servers()
    with step("checking ports and disk") as tell:
        require_disk_space(layout.state)
        if not is_running:
            if supervisor.stop():
                tell("ended what a stale run had left behind")
            require_free_ports(listening_ports(layout, log_servers))
    with step("finding Prometheus and Alertmanager") as tell:
        if binaries.find_server("prometheus", layout.servers) is None:
            tell(f"first run: downloads {binaries.DOWNLOAD}")
        servers = binaries.ensure_servers(layout.servers, tell) | log_servers
    layout.remember_mode(NATIVE)  # decides where its keys are
    with step("checking that the API starts with its settings"):
        require_valid_settings(layout)
    with step("preparing configuration and database"):
        write_server_configs(layout, plan, secrets_folder())
        if not is_running:
            withdraw_targets(layout)
        prepare_database(layout)
        make_private(layout.state, layout.servers)
    every_program = programs(layout, plan, servers)
    now = time.time()
    since = 0 if is_running else now
    before, after = waits(layout, plan, since)
    if log_servers:
        after.append(log_wait(layout, plan, now))
    label = "bringing the running processes up to date" if is_running else "starting the processes"
    with announced_at_end(layout):
        with step(label):
            start_programs(layout, supervisor, every_program, is_running=is_running)
        wait_for_each(before, supervisor.failed_programs, step)
    wait_for_each(after, supervisor.failed_programs, step)
    for failure in failures_of_jobs(layout, now - RECENT_SECONDS if is_running else now):
        step.warn(str(failure))


def listening_ports(layout: StackLayout, log_servers: dict[str, Server]) -> dict[str, int]:
    """Return the ports of this stack by name; Loki's only when it takes part."""
    if log_servers:
        return ports_except(layout.ports, COMPOSE_ONLY)
    return ports_except(layout.ports, (*COMPOSE_ONLY, "loki", "loki_grpc"))


def start_programs(
    layout: StackLayout, supervisor: Supervisor, everything: list[Program], *, is_running: bool
) -> None:
    """Start the programs, or give running ones a new configuration or release without an outage.

    Raise StackError when supervisord does not start, or refuses. It never quotes supervisord's
    own texts, which may quote the configuration.
    """
    log = layout.logs / "supervisord.log"
    try:
        supervisor.start(everything)
        if is_running:
            supervisor.reload({"prometheus", "alertmanager"})
    except (subprocess.CalledProcessError, OSError) as error:
        raise StackError(
            f"supervisord did not start: {error}; see {log}; fix: make down, then make up"
        ) from error
    except Fault as fault:
        raise StackError(
            f"supervisord refuses its configuration (fault {fault.faultCode}); see {log};"
            " fix: make down, then make up"
        ) from None


def waits(layout: StackLayout, plan: Plan, since: float) -> tuple[list[Wait], list[Wait]]:
    """Return the waits before and after Prometheus learns its targets.

    Probes must have succeeded after `since`, Unix seconds, and jobs must have run.
    """

    def last_successes() -> dict[str, float]:
        return scrape_metric(layout.url("metrics"), names.JOB_LAST_SUCCESS, names.JOB)

    def failures() -> JobFailures:
        return failures_of_jobs(layout, since)

    def probes_have_run() -> bool:
        last = scrape_metric(layout.url("prober"), names.PROBE_LAST_SUCCESS, names.ROUTE)
        return all(last.get(route, 0) > since for route, _ in plan.probe_routes)

    job_programs = ("worker", *plan.stack.programs)
    job_logs = ", and ".join(f"make logs P={name}" for name in job_programs)
    before = [
        api_wait(layout),
        job_wait(plan, last_successes, failures, since, job_logs),
        Wait("the prober reaches the API", probes_have_run, "make logs P=prober"),
    ]
    count = len(target_ports(layout))
    after = monitoring_waits(layout, plan, lambda targets: len(targets) == count, failures)
    return before, after


def failures_of_jobs(layout: StackLayout, since: float) -> JobFailures:
    """Return the failed runs of jobs, [] before the worker has written a line."""
    try:
        return job_failures(tail(layout, "worker", LOG_LINES), since)
    except StackError:
        return []


def down(layout: StackLayout) -> bool:
    """Stop everything; return False when nothing ran."""
    stopped = Supervisor(layout).stop()
    remove_template_link(layout.servers)
    return stopped


def clean(layout: StackLayout) -> list[Path]:
    """Stop everything and remove what the stack wrote; return the removed folders."""
    down(layout)
    removed = [folder for folder in (layout.reports, layout.state) if folder.exists()]
    for folder in removed:
        shutil.rmtree(folder)
    return removed


def doctor(layout: StackLayout) -> list[CheckResult]:
    """Return the checks of everything that `up` depends on."""
    supervisor = Supervisor(layout)
    rows = [*check_tools(layout.state), *check_servers(layout.servers)]
    if not supervisor.is_alive():
        rows.append(("the stack", True, "does not run"))
        return rows + check_ports(listening_ports(layout, binaries.log_servers()))
    rows.append(("the stack", True, "runs"))
    for process in supervisor.processes():
        is_running = process["statename"] == RUNNING
        rows.append((f"process {process['name']}", is_running, process["description"]))
    return rows


def processes(layout: StackLayout) -> list[Json]:
    """Return name, statename, pid and description of every process, [] when the stack is down."""
    supervisor = Supervisor(layout)
    return supervisor.processes() if supervisor.is_alive() else []


def tail(layout: StackLayout, program: str | None, lines: int) -> Iterator[str]:
    """Yield the last lines of one program's log, or of every program's; raise StackError."""
    paths = sorted(layout.logs.glob("*.log"))
    if program:
        log_of_program = layout.logs / f"{program}.log"
        if not log_of_program.exists():
            known = ", ".join(path.stem for path in paths) or "none yet: make up"
            raise StackError(f"there is no log of {program!r}; known: {known}")
        paths = [log_of_program]
    for path in paths:
        prefix = "" if program else f"{path.stem}: "
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]:
            yield prefix + line
