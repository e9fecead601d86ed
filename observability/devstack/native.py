"""up, down, status, logs, doctor and clean of the native stack, as steps that a person can follow."""

import hashlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

from observability.devstack import binaries as server_files
from observability.devstack.layout import HOST, NATIVE, ROOT, StackLayout, secrets_folder
from observability.devstack.processes import (
    API,
    Program,
    api_environment,
    conceal,
    configure,
    process_environment,
    programs,
    release,
    targets,
)
from observability.devstack.readiness import (
    Refused,
    Steps,
    Wait,
    log_waits,
    ready,
    settle,
    watching,
)
from observability.devstack.supervisor import Supervisor
from observability.lib.prometheus import scrape_metric
from observability.spec import names
from observability.spec.plan import Plan

NEEDED_BYTES = 500 << 20
CONTAINERS = (
    "tls",
    "grafana",
    "mailpit",
    "locust",
    "jaeger",
    "fluentd",
)  # listen in the compose stack alone


def up(layout: StackLayout, plan: Plan, step: "Steps") -> None:
    """Brings the stack up, or brings a running one to the present configuration; raises Refused."""
    supervisor = Supervisor(layout)
    running = supervisor.alive()
    log_servers = server_files.log_servers()
    with step("checking ports and disk") as tell:
        if not running and supervisor.stop():
            tell("ended what a stale run had left behind")
        check_machine(layout, running, ports(layout, log_servers))
    with step("finding Prometheus and Alertmanager") as tell:
        if server_files.find("prometheus", layout.servers) is None:
            tell(f"first run: downloads {server_files.DOWNLOAD}")
        try:
            servers = server_files.ensure(layout.servers, tell) | log_servers
        except server_files.MissingServers as error:
            raise Refused(str(error)) from error
    with step("preparing configuration and database"):
        configure(layout, plan, secrets_folder())
        if not running:
            conceal(layout)
        prepare_database(layout)
    everything = programs(layout, plan, servers)
    layout.remember(NATIVE)
    since = time.time()
    with step(
        "starting the processes" if not running else "bringing the running processes up to date"
    ):
        bring_up(layout, supervisor, everything, running)
    before, after = waits(layout, plan, 0 if running else since)
    after += log_waits(layout, plan, since) if log_servers else []
    settle(layout, before, after, supervisor.given_up, step)


def ports(layout: StackLayout, log_servers: dict[str, server_files.Server]) -> dict[str, int]:
    """The ports that this stack will listen on: Loki's only where Loki takes part."""
    named = {name: port for name, port in layout.ports.named().items() if name not in CONTAINERS}
    return {
        name: port for name, port in named.items() if log_servers or not name.startswith("loki")
    }


def check_machine(layout: StackLayout, running: bool, ports: dict[str, int]) -> None:
    """Refuses taken ports and a full disk, by name."""
    layout.state.mkdir(parents=True, exist_ok=True)
    if not running:
        taken = [
            f"port {port} ({name}) is taken by {owner(port)}"
            for name, port in ports.items()
            if not is_free(port)
        ]
        if taken:
            raise Refused(
                "; ".join(taken)
                + ". Stop that process, or move this stack: EVARA_PORT_OFFSET=100 make up"
            )
    free = shutil.disk_usage(layout.state).free
    if free < NEEDED_BYTES:
        raise Refused(
            f"{layout.state} has {free >> 20} MB free, {NEEDED_BYTES >> 20} MB are needed; free some, or set EVARA_STACK_DIR"
        )


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def owner(port: int) -> str:
    """Who listens on a port, as far as this user may see."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        try:
            if any(
                c.laddr.port == port and c.status == psutil.CONN_LISTEN
                for c in process.net_connections(kind="tcp")
            ):
                return f"pid {process.pid} ({' '.join(process.info['cmdline'] or [])[:60]})"
        except psutil.Error:
            continue
    return "a process of another user"


def prepare_database(layout: StackLayout) -> None:
    """Migrates, seeds and makes keys, unless this database has been through the present migrations and seeds, and knows the keys."""
    sources = [
        path
        for folder in ("migrations/versions", "api/cli")
        for path in sorted((ROOT / folder).glob("*.py"))
    ]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    stamp = layout.state / "prepared"
    if (
        layout.database.exists()
        and stamp.exists()
        and stamp.read_text(encoding="utf-8") == digest
        and keys_work(layout)
    ):
        return
    environment = process_environment(Program("flask", (), 0, api_environment(layout)), layout)
    environment.pop("PROMETHEUS_MULTIPROC_DIR")
    command = [
        sys.executable,
        "-m",
        "flask",
        "--app",
        "api.app",
        "seed",
        "--migrate",
        "--keys",
        str(layout.keys),
    ]
    result = subprocess.run(  # noqa: S603
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise Refused(
            f"the database could not be prepared: {result.stderr.strip().splitlines()[-1]}"
        )
    stamp.write_text(digest, encoding="utf-8")


def keys_work(layout: StackLayout) -> bool:
    """Whether the keys of the stack's own programs are there, and none of them was revoked."""
    digests = [hashlib.sha256(layout.key(name).encode()).hexdigest() for name in ("prober", "load")]
    with closing(sqlite3.connect(f"file:{layout.database}?mode=ro", uri=True)) as database:
        query = "SELECT count(*) FROM api_keys WHERE digest IN (?, ?) AND revoked_at IS NULL"
        return bool(database.execute(query, digests).fetchone()[0] == len(digests))


def bring_up(
    layout: StackLayout, supervisor: Supervisor, everything: list[Program], running: bool
) -> None:
    """Starts the processes; running ones take a new configuration or a new release without an outage."""
    stamp, current = layout.state / "release", release(*API)
    try:
        supervisor.start(everything)
    except (subprocess.CalledProcessError, OSError) as error:
        raise Refused(
            f"supervisord did not start: {error}; see {layout.logs}/supervisord.log"
        ) from error
    stale = ["api"] if stamp.exists() and stamp.read_text(encoding="utf-8") != current else []
    stamp.write_text(current, encoding="utf-8")
    if running:
        alive = {
            process["name"]
            for process in supervisor.processes()
            if process["statename"] == "RUNNING"
        }
        for name in alive & {"prometheus", "alertmanager", *stale}:
            supervisor.signal(name, "HUP")


def waits(layout: StackLayout, plan: Plan, since: float) -> tuple[list[Wait], list[Wait]]:
    """What "up" means: what must work before Prometheus may know of it, and what must follow from that."""

    def synced() -> bool:
        last = scrape_metric(layout.url("metrics"), names.JOB_LAST_SUCCESS, names.JOB)
        return all(last.get(job, 0) > since for job in plan.jobs)

    def probed() -> bool:
        last = scrape_metric(layout.url("prober"), names.PROBE_LAST_SUCCESS, names.ROUTE)
        return all(last.get(route, 0) > since for route, _ in plan.probe_routes)

    return [
        ready(layout),
        Wait("recorded readings were synced", synced, "make logs P=worker, and make logs P=replay"),
        Wait("the prober reaches the API", probed, "make logs P=prober"),
    ], watching(layout, plan, lambda found: len(found) == len(targets(layout)))


def down(layout: StackLayout) -> bool:
    """Stops everything; False when nothing ran."""
    stopped = Supervisor(layout).stop()
    server_files.forget_templates(layout.servers)
    return stopped


def clean(layout: StackLayout) -> list[Path]:
    """Stops everything and removes what the stack wrote; returns the folders removed."""
    down(layout)
    gone = [folder for folder in (layout.reports, layout.state) if folder.exists()]
    for folder in gone:
        shutil.rmtree(folder)
    return gone


def doctor(layout: StackLayout) -> list[tuple[str, bool, str]]:
    """(what, fine, how it is or what mends it) for everything that `up` depends on."""
    rows = [
        (
            f"{tool} on PATH",
            bool(shutil.which(tool)),
            shutil.which(tool) or f"install it: sudo apt install {tool}",
        )
        for tool in ("git", "make")
    ]
    version = sys.version.split()[0]
    rows.append(("Python 3.11 or newer", sys.version_info >= (3, 11), version))
    free = shutil.disk_usage(ROOT).free >> 20
    rows.append(("disk space", free << 20 > NEEDED_BYTES, f"{free} MB free"))
    for name in server_files.WANTED:
        path = server_files.find(name, layout.servers)
        rows.append((name, bool(path), str(path) if path else "missing; make up unpacks it"))
    for name in server_files.LOG_SERVERS:
        path = server_files.find_log_server(name)
        rows.append(
            (
                name,
                True,
                str(path) if path else "not on PATH; without it logs stay in files, which is fine",
            )
        )
    supervisor = Supervisor(layout)
    running = supervisor.alive()
    rows.append(("the stack", True, "runs" if running else "does not run"))
    if running:
        rows += [
            (f"process {p['name']}", p["statename"] == "RUNNING", p["description"])
            for p in supervisor.processes()
        ]
    else:
        rows += port_rows(ports(layout, server_files.log_servers()))
    return rows


def port_rows(ports: dict[str, int]) -> list[tuple[str, bool, str]]:
    return [
        (f"port {port}", is_free(port), "free" if is_free(port) else f"taken by {owner(port)}")
        for port in ports.values()
    ]


def processes(layout: StackLayout) -> list[dict[str, Any]]:
    """name, statename, pid and description of every process; nothing when the stack is down."""
    supervisor = Supervisor(layout)
    return supervisor.processes() if supervisor.alive() else []


def tail(layout: StackLayout, program: str | None, lines: int) -> Iterator[str]:
    """The last lines of one program's log, or of every program's."""
    paths = [layout.logs / f"{program}.log"] if program else sorted(layout.logs.glob("*.log"))
    for path in paths:
        if not path.exists():
            known = (
                ", ".join(sorted(log.stem for log in layout.logs.glob("*.log")))
                or "none yet: make up"
            )
            raise Refused(f"there is no log of {program!r}; known: {known}")
        text = path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        yield from (f"{path.stem}: {line}" if not program else line for line in text)
