"""up, down, status, logs, doctor and clean of the native stack, as steps that a person can follow."""

import hashlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil

from observability import conventions as names
from observability.clients import Loki, Prometheus, Unreachable, exposed, inbox, polling, trusted
from observability.plan import Plan
from observability.promql import selector
from observability.stack import servers as server_files
from observability.stack.programs import (
    API,
    Program,
    announce,
    api_environment,
    conceal,
    configure,
    process_environment,
    programs,
    release,
    targets,
)
from observability.stack.site import COMPOSE, HOST, NATIVE, ROOT, Site, secrets_folder
from observability.stack.supervisor import Supervisor

READY_SECONDS = 120
NEEDED_BYTES = 500 << 20
TEST_ALERT = "PipelineTest"
CONTAINERS = ("tls", "grafana", "mailpit", "locust", "jaeger", "fluentd")  # listen in the compose stack alone
Tell = Callable[[str], None]


class Refused(Exception):
    """The stack cannot come up; the message says what is wrong and what mends it."""


@dataclass(frozen=True)
class Wait:
    """Something that must become true, and what to look at when it does not."""

    label: str
    true: Callable[[], bool]
    look_at: str


def up(site: Site, plan: Plan, step: "Steps") -> None:
    """Brings the stack up, or brings a running one to the present configuration; raises Refused."""
    supervisor = Supervisor(site)
    running = supervisor.alive()
    log_servers = server_files.log_servers()
    with step("checking ports and disk") as tell:
        if not running and supervisor.stop():
            tell("ended what a stale run had left behind")
        check_machine(site, running, ports(site, log_servers))
    with step("finding Prometheus and Alertmanager") as tell:
        if server_files.find("prometheus", site.servers) is None:
            tell(f"first run: downloads {server_files.DOWNLOAD}")
        try:
            servers = server_files.ensure(site.servers, tell) | log_servers
        except server_files.MissingServers as error:
            raise Refused(str(error)) from error
    with step("preparing configuration and database"):
        configure(site, plan, secrets_folder())
        if not running:
            conceal(site)
        prepare_database(site)
    everything = programs(site, plan, servers)
    site.remember(NATIVE)
    since = time.time()
    with step("starting the processes" if not running else "bringing the running processes up to date"):
        bring_up(site, supervisor, everything, running)
    before, after = waits(site, plan, 0 if running else since)
    after += log_waits(site, plan, since) if log_servers else []
    settle(site, before, after, supervisor.given_up, step)


class Steps:
    """Prints each step when it begins and how long it took; `tell` adds a line in between."""

    def __init__(self, say: Tell):
        self._say = say

    @contextmanager
    def __call__(self, label: str) -> Iterator[Tell]:
        started = time.monotonic()
        yield lambda text: self._say(f"    {text}")
        self._say(f"  [green]✓[/green] {label} [dim]{time.monotonic() - started:.1f} s[/dim]")


def ports(site: Site, log_servers: dict[str, server_files.Server]) -> dict[str, int]:
    """The ports that this stack will listen on: Loki's only where Loki takes part."""
    named = {name: port for name, port in site.ports.named().items() if name not in CONTAINERS}
    return {name: port for name, port in named.items() if log_servers or not name.startswith("loki")}


def check_machine(site: Site, running: bool, ports: dict[str, int]) -> None:
    """Refuses taken ports and a full disk, by name."""
    site.state.mkdir(parents=True, exist_ok=True)
    if not running:
        taken = [f"port {port} ({name}) is taken by {owner(port)}" for name, port in ports.items() if not is_free(port)]
        if taken:
            raise Refused("; ".join(taken) + ". Stop that process, or move this stack: EVARA_PORT_OFFSET=100 make up")
    free = shutil.disk_usage(site.state).free
    if free < NEEDED_BYTES:
        raise Refused(f"{site.state} has {free >> 20} MB free, {NEEDED_BYTES >> 20} MB are needed; free some, or set EVARA_STACK_DIR")


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
            if any(c.laddr.port == port and c.status == psutil.CONN_LISTEN for c in process.net_connections(kind="tcp")):
                return f"pid {process.pid} ({' '.join(process.info['cmdline'] or [])[:60]})"
        except psutil.Error:
            continue
    return "a process of another user"


def prepare_database(site: Site) -> None:
    """Migrates, seeds and makes keys, unless this database has been through the present migrations and seeds, and knows the keys."""
    sources = [path for folder in ("migrations/versions", "api/cli") for path in sorted((ROOT / folder).glob("*.py"))]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    stamp = site.state / "prepared"
    if site.database.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == digest and keys_work(site):
        return
    environment = process_environment(Program("flask", (), 0, api_environment(site)), site)
    environment.pop("PROMETHEUS_MULTIPROC_DIR")
    command = [sys.executable, "-m", "flask", "--app", "api.app", "seed", "--migrate", "--keys", str(site.keys)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if result.returncode:
        raise Refused(f"the database could not be prepared: {result.stderr.strip().splitlines()[-1]}")
    stamp.write_text(digest, encoding="utf-8")


def keys_work(site: Site) -> bool:
    """Whether the keys of the stack's own programs are there, and none of them was revoked."""
    digests = [hashlib.sha256(site.key(name).encode()).hexdigest() for name in ("prober", "load")]
    with closing(sqlite3.connect(f"file:{site.database}?mode=ro", uri=True)) as database:
        query = "SELECT count(*) FROM api_keys WHERE digest IN (?, ?) AND revoked_at IS NULL"
        return bool(database.execute(query, digests).fetchone()[0] == len(digests))


def bring_up(site: Site, supervisor: Supervisor, everything: list[Program], running: bool) -> None:
    """Starts the processes; running ones take a new configuration or a new release without an outage."""
    stamp, current = site.state / "release", release(*API)
    try:
        supervisor.start(everything)
    except (subprocess.CalledProcessError, OSError) as error:
        raise Refused(f"supervisord did not start: {error}; see {site.logs}/supervisord.log") from error
    stale = ["api"] if stamp.exists() and stamp.read_text(encoding="utf-8") != current else []
    stamp.write_text(current, encoding="utf-8")
    if running:
        alive = {process["name"] for process in supervisor.processes() if process["statename"] == "RUNNING"}
        for name in alive & {"prometheus", "alertmanager", *stale}:
            supervisor.signal(name, "HUP")


def waits(site: Site, plan: Plan, since: float) -> tuple[list[Wait], list[Wait]]:
    """What "up" means: what must work before Prometheus may know of it, and what must follow from that."""

    def synced() -> bool:
        last = exposed(site.url("metrics"), names.JOB_LAST_SUCCESS, names.JOB)
        return all(last.get(job, 0) > since for job in plan.jobs)

    def probed() -> bool:
        last = exposed(site.url("prober"), names.PROBE_LAST_SUCCESS, names.ROUTE)
        return all(last.get(route, 0) > since for route, _ in plan.probe_routes)

    return [
        ready(site),
        Wait("recorded readings were synced", synced, "make logs P=worker, and make logs P=replay"),
        Wait("the prober reaches the API", probed, "make logs P=prober"),
    ], watching(site, plan, lambda found: len(found) == len(targets(site)))


def ready(site: Site) -> Wait:
    return Wait("the API answers and is migrated", lambda: answers(site.url("api") + "/health/ready", 2), "make logs P=api")


def watching(site: Site, plan: Plan, complete: Callable[[list[dict[str, Any]]], bool]) -> list[Wait]:
    """That what watches works, from scrape to delivery; `complete` tells whether these targets are all."""
    prometheus = Prometheus(site.url("prometheus"))
    mark = f"{TEST_ALERT}-{time.time():.0f}"
    sent: list[str] = []

    def targets_up() -> bool:
        found = prometheus.targets()
        return complete(found) and {target["health"] for target in found} == {"up"}

    def measured() -> bool:
        groups = prometheus.rule_groups()
        soon = {rule["health"] for group in groups for rule in group["rules"] if group["interval"] <= plan.clock.evaluate}
        later = {rule["health"] for group in groups for rule in group["rules"]}  # slow groups take their first turn later
        series = prometheus.by_label(f"{names.BAD} or {names.FRESH}", names.SLO)
        return soon == {"ok"} and "err" not in later and len(series) == len(plan.slos)

    def delivered() -> bool:
        if not sent:
            send_test_alert(site, plan, mark)
            sent.append(mark)
        return any(alert["labels"].get(names.SLO) == mark for alert in inbox(site.url("console")))

    return [
        Wait("a test alert reached the inbox", delivered, "make logs P=alertmanager, and make logs P=console"),
        Wait("every target is scraped", targets_up, "make logs P=prometheus"),
        Wait("every rule is evaluated, every SLO measured", measured, "make logs P=prometheus, and make check"),
    ]


def log_waits(site: Site, plan: Plan, since: float) -> list[Wait]:
    """Where logs are kept: a line that was written after the start has gone all the way."""
    loki, stream = Loki(site.url("loki")), selector("", **{names.LOG_SERVICE: plan.service, names.LOG_PROGRAM: "api"})
    look_at = "make logs P=loki, and make logs P=fluent-bit"
    return [Wait("log lines arrive in Loki", lambda: bool(loki.lines(stream, since, limit=1)), look_at)]


def send_test_alert(site: Site, plan: Plan, mark: str) -> None:
    """An alert of its own group (the mark stands where groups have their SLO), so that it waits for no earlier one."""
    labels = {"alertname": TEST_ALERT, names.SLO: mark, names.SEVERITY: plan.heartbeat, names.OWNER: plan.owner}
    now = datetime.now(UTC)
    span = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(minutes=1)).isoformat()}
    alert = {"labels": labels, "annotations": {"summary": "Sent by `make up`, to see that alerts are delivered"}, **span}
    httpx.post(f"{site.url('alertmanager')}/api/v2/alerts", json=[alert], timeout=5).raise_for_status()


def settle(site: Site, before: list[Wait], after: list[Wait], dead: Callable[[], list[str]], step: "Steps") -> None:
    """Waits for what must work first, lets Prometheus know, and waits for what must follow; raises Refused."""
    for wait in before:
        with step(wait.label):
            until(wait, dead)
    announce(site)
    for wait in after:
        with step(wait.label):
            until(wait, dead)


def until(wait: Wait, dead: Callable[[], list[str]]) -> None:
    """Polls until the wait is over; Refused with the log to read when it takes too long or a process gave up."""
    last = "it stayed false"
    for _ in polling(READY_SECONDS, 0.2):
        try:
            if wait.true():
                return
        except (Unreachable, httpx.HTTPError) as error:
            last = str(error)
        if gone := dead():
            raise Refused(f"{', '.join(gone)} does not stay up; read: make logs P={gone[0]}")
    raise Refused(f"waited {READY_SECONDS} s in vain until {wait.label} ({last}); read: {wait.look_at}")


def addresses(site: Site, patience: float = 5.0) -> list[tuple[str, str]]:
    """What there is to look at and answers within `patience` seconds; nothing that would be a blank page."""
    pages = [
        ("Console", "console", ""),
        ("API", "api", "/docs"),
        ("Metrics of the API", "metrics", "/metrics"),
        ("Prometheus", "prometheus", "/alerts" if has_ui(site.url("prometheus")) else "/api/v1/rules"),
        ("Alertmanager", "alertmanager", "/" if has_ui(site.url("alertmanager")) else "/api/v2/alerts"),
        ("Labels of the logs in Loki", "loki", "/loki/api/v1/labels"),
    ]
    if site.mode == COMPOSE:
        pages += [("Grafana", "grafana", ""), ("Traces", "jaeger", ""), ("Mailbox", "mailpit", ""), ("Load runs", "locust", "")]
    return [(label, site.address(name) + path) for label, name, path in pages if answers(site.url(name) + path, patience)]


def answers(url: str, seconds: float) -> bool:
    try:
        return httpx.get(url, timeout=seconds, follow_redirects=True, verify=trusted()).is_success
    except httpx.HTTPError:
        return False


def has_ui(url: str) -> bool:
    """Whether the server's own page has the scripts that it asks for; the distribution packs some without."""
    try:
        page = httpx.get(url, follow_redirects=True, timeout=2, verify=trusted())
        sources = [part.split('"')[0] for part in page.text.split('src="')[1:]]
        found = [httpx.get(page.url.join(source), timeout=2, verify=trusted()) for source in sources]
    except httpx.HTTPError:
        return False
    return bool(found) and all(script.is_success for script in found)


def down(site: Site) -> bool:
    """Stops everything; False when nothing ran."""
    stopped = Supervisor(site).stop()
    server_files.forget_templates(site.servers)
    return stopped


def clean(site: Site) -> list[Path]:
    """Stops everything and removes what the stack wrote; returns the folders removed."""
    down(site)
    gone = [folder for folder in (site.reports, site.state) if folder.exists()]
    for folder in gone:
        shutil.rmtree(folder)
    return gone


def doctor(site: Site) -> list[tuple[str, bool, str]]:
    """(what, fine, how it is or what mends it) for everything that `up` depends on."""
    rows = [
        (f"{tool} on PATH", bool(shutil.which(tool)), shutil.which(tool) or f"install it: sudo apt install {tool}")
        for tool in ("git", "make")
    ]
    version = sys.version.split()[0]
    rows.append(("Python 3.11 or newer", sys.version_info >= (3, 11), version))
    free = shutil.disk_usage(ROOT).free >> 20
    rows.append(("disk space", free << 20 > NEEDED_BYTES, f"{free} MB free"))
    for name in server_files.WANTED:
        path = server_files.find(name, site.servers)
        rows.append((name, bool(path), str(path) if path else "missing; make up unpacks it"))
    for name in server_files.LOG_SERVERS:
        path = server_files.find_log_server(name)
        rows.append((name, True, str(path) if path else "not on PATH; without it logs stay in files, which is fine"))
    supervisor = Supervisor(site)
    running = supervisor.alive()
    rows.append(("the stack", True, "runs" if running else "does not run"))
    if running:
        rows += [(f"process {p['name']}", p["statename"] == "RUNNING", p["description"]) for p in supervisor.processes()]
    else:
        rows += port_rows(ports(site, server_files.log_servers()))
    return rows


def port_rows(ports: dict[str, int]) -> list[tuple[str, bool, str]]:
    return [(f"port {port}", is_free(port), "free" if is_free(port) else f"taken by {owner(port)}") for port in ports.values()]


def processes(site: Site) -> list[dict[str, Any]]:
    """name, statename, pid and description of every process; nothing when the stack is down."""
    supervisor = Supervisor(site)
    return supervisor.processes() if supervisor.alive() else []


def tail(site: Site, program: str | None, lines: int) -> Iterator[str]:
    """The last lines of one program's log, or of every program's."""
    paths = [site.logs / f"{program}.log"] if program else sorted(site.logs.glob("*.log"))
    for path in paths:
        if not path.exists():
            known = ", ".join(sorted(log.stem for log in site.logs.glob("*.log"))) or "none yet: make up"
            raise Refused(f"there is no log of {program!r}; known: {known}")
        text = path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        yield from (f"{path.stem}: {line}" if not program else line for line in text)
