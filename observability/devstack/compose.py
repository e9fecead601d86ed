"""up, down, status, logs, doctor and clean of the compose stack: its secrets and settings, and `docker compose` with them."""

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from observability.devstack import native, readiness
from observability.devstack.layout import COMPOSE, ROOT, StackLayout, present, secrets_folder
from observability.devstack.readiness import Refused, Steps, Wait
from observability.generate import alertmanager
from observability.lib.prometheus import Prometheus
from observability.spec import names
from observability.spec.plan import Plan

USER = 10001  # that containers run as when root starts them
PASSWORDS = (
    *("superuser_password", "postgres_password", "replication_password", "exporter_password"),
    *("grafana_password", "valkey_password", "valkey_watcher_password"),
)
CERTIFICATES = (
    "certificates"  # folder below the secrets: PEM files, each a certificate with its key
)
KEYS = ("prober_key", "load_key")  # of the API; the container `migrate` makes them known to it
GIVEN = (
    "slack_url",
    "pagerduty_key",
    "deadman_url",
    "evara_webhook_secret",
    "evara_sentry_dsn",
)  # by the user; empty: not used
WATCHER = "+ping +info +client|setname +config|get +slowlog|get +slowlog|len +latency|latest +latency|histogram"
EVERY = ("--profile", "*")
RUNNING, DONE = "RUNNING", "DONE"
Done = subprocess.CompletedProcess[str]
MOUNTED = "mounted.json"  # what files the running containers see, as digests


def engine() -> tuple[bool, str]:
    """Whether a Docker engine with Compose answers, and which, or what is missing."""
    if not shutil.which("docker"):
        return False, "docker is not on PATH"
    questions = (("version", "--format", "{{.Server.Version}}"), ("compose", "version", "--short"))
    try:
        server, plugin = (docker(*words, seconds=10) for words in questions)
    except subprocess.TimeoutExpired:
        return False, "the Docker engine hangs"
    if server.returncode or plugin.returncode:
        return (
            False,
            "no Docker engine answers" if server.returncode else "Docker has no Compose plugin",
        )
    return True, f"Docker {server.stdout.strip()}, Compose {plugin.stdout.strip()}"


def docker(
    *words: str,
    env: dict[str, str] | None = None,
    shown: bool = False,
    seconds: float | None = None,
) -> Done:
    """One `docker` command in the root of the code; `shown` leaves its output to the terminal."""
    command = ["docker", *words]
    return subprocess.run(  # noqa: S603
        command,
        cwd=ROOT,
        env=env,
        capture_output=not shown,
        text=True,
        check=False,
        timeout=seconds,
    )


def compose(layout: StackLayout, *words: str, shown: bool = False) -> Done:
    """One `docker compose` command with the site's settings."""
    return docker("compose", *words, env=environment(layout), shown=shown)


def environment(layout: StackLayout) -> dict[str, str]:
    """What compose.yaml asks of its surroundings; a user or group that is given stays, as a rootless engine may need it."""
    user, group = (os.getuid(), os.getgid()) if os.getuid() else (USER, USER)
    ports = {f"EVARA_PORT_{name.upper()}": str(port) for name, port in layout.ports.named().items()}
    folders = {
        "EVARA_SECRETS_DIR": str(secrets_folder()),
        "EVARA_ALERTMANAGER_CONFIG": str(layout.state / COMPOSE / "alertmanager.yaml"),
    }
    tls = {
        "EVARA_GATEWAY_CERTIFICATES": "/certificates"
        if list((secrets_folder() / CERTIFICATES).glob("*.pem"))
        else ""
    }
    return {"EVARA_UID": str(user), "EVARA_GID": str(group)} | os.environ | ports | folders | tls


def make_secrets(folder: Path) -> None:
    """Makes what is missing of the secrets; all are readable for the containers' user alone, who is root's stand-in or ourselves."""
    (folder / CERTIFICATES).mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)

    def keep(name: str, text: str) -> str:
        path = folder / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8")
        private(path)
        return path.read_text(encoding="utf-8").strip()

    password = {name: keep(name, secrets.token_urlsafe(32)) for name in PASSWORDS}
    for name in KEYS:
        keep(name, "evara_" + secrets.token_urlsafe(32))
    for name in GIVEN:
        keep(name, "")
    keep(
        "evara_database_url",
        f"postgresql+psycopg://evara:{password['postgres_password']}@postgres:5432/evara",
    )
    for number, name in enumerate(("evara_redis_url", "evara_limiter_url", "evara_jobs_url")):
        keep(name, f"redis://evara:{password['valkey_password']}@valkey:6379/{number}")
    digest = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in password.items()}
    users = (
        "default on nopass resetkeys resetchannels -@all +ping",  # for its health check
        f"evara on #{digest['valkey_password']} ~* &* +@all -@admin -@dangerous",
        f"watcher on #{digest['valkey_watcher_password']} resetkeys resetchannels -@all {WATCHER}",
    )
    keep("valkey_users.acl", "".join(f"user {user}\n" for user in users))
    for path in (folder / CERTIFICATES, *(folder / CERTIFICATES).iterdir()):
        private(path)
    keep(
        "valkey_watcher.json",
        json.dumps({"redis://watcher@valkey:6379": password["valkey_watcher_password"]}),
    )


def private(path: Path) -> None:
    """For the containers' user alone."""
    path.chmod(0o700 if path.is_dir() else 0o600)
    if os.geteuid() == 0:
        os.chown(path, USER, USER)


def configure(layout: StackLayout, plan: Plan) -> None:
    """Alertmanager's configuration with the integrations whose secrets are there."""
    path = layout.state / COMPOSE / "alertmanager.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        alertmanager.render(plan, present(secrets_folder()))[alertmanager.CONFIG], encoding="utf-8"
    )


def up(layout: StackLayout, plan: Plan, step: Steps) -> None:
    """Brings the containers up, or running ones to the present configuration; raises Refused."""
    fine, how = engine()
    if not fine:
        raise Refused(f"{how}; start Docker, or run without it: make up MODE=native")
    running, since = bool(processes(layout)), time.time()
    with step("checking ports and disk, making secrets and configuration"):
        native.check_machine(layout, running, ports(layout))
        make_secrets(secrets_folder())
        configure(layout, plan)
    layout.remember(COMPOSE)
    with step("building images and starting containers"):
        if compose(layout, "up", "--detach", "--build", "--remove-orphans", shown=True).returncode:
            raise Refused(
                "the containers did not come up; docker compose says why above, make logs P=NAME more"
            )
        renew(layout)
    for wait in waits(layout, plan, since):
        with step(wait.label):
            readiness.until(wait, lambda: given_up(layout))


def renew(layout: StackLayout) -> None:
    """Restarts what was started with other files than there are now: Compose does not look into those that it mounts."""
    stamp, config = layout.state / COMPOSE / MOUNTED, described(layout)
    before = json.loads(stamp.read_text(encoding="utf-8")) if stamp.exists() else {}
    now = {
        name: mounted(config, service)
        for name, service in config["services"].items()
        if service.get("restart") != "no"
    }
    if stale := [name for name, digest in now.items() if before.get(name, digest) != digest]:
        compose(layout, "restart", *stale)
    stamp.write_text(json.dumps(now), encoding="utf-8")


def described(layout: StackLayout) -> dict[str, Any]:
    """compose.yaml as Compose understands it with the site's settings."""
    asked = compose(layout, "config", "--format", "json")
    if asked.returncode:
        raise Refused(f"docker compose does not take compose.yaml: {asked.stderr.strip()}")
    return dict(json.loads(asked.stdout))


def mounted(config: dict[str, Any], service: dict[str, Any]) -> str:
    """A digest of all files that a service sees of this machine, secrets included."""
    binds = [
        Path(volume["source"]) for volume in service.get("volumes", ()) if volume["type"] == "bind"
    ]
    files = [
        file
        for path in binds
        for file in (sorted(path.rglob("*")) if path.is_dir() else [path])
        if file.is_file()
    ]
    files += [
        Path(config["secrets"][secret["source"]]["file"]) for secret in service.get("secrets", ())
    ]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def waits(layout: StackLayout, plan: Plan, since: float) -> list[Wait]:
    """As natively, but all is asked through the gateway and Prometheus: containers show nothing else."""
    prometheus = Prometheus(layout.url("prometheus"))
    jobs = f"max by ({names.JOB}) ({names.JOB_LAST_SUCCESS})"

    def synced() -> bool:
        return all(prometheus.query_by_label(jobs, names.JOB).get(job, 0) > 0 for job in plan.jobs)

    def complete(found: list[dict[str, Any]]) -> bool:
        return {target["scrapePool"] for target in found} == set(prometheus.scrape_pools())

    def healthy() -> bool:
        return {one["statename"] for one in processes(layout)} <= {RUNNING, DONE}

    first, *rest = readiness.watching(layout, plan, complete)
    logs = (
        readiness.log_waits(layout, plan, since)
        if {"loki", "fluent-bit"} <= described(layout)["services"].keys()
        else []
    )
    synced_first = Wait("recorded readings were synced", synced, "make logs P=worker")
    return [
        readiness.ready(layout),
        first,
        synced_first,
        *rest,
        *logs,
        Wait("every container is healthy", healthy, "make status"),
    ]


def ports(layout: StackLayout) -> dict[str, int]:
    """The ports that are published on this machine."""
    return {
        name: port
        for name, port in layout.ports.named().items()
        if name not in ("metrics", "prober", "loki_grpc", "locust")
    }


def containers(layout: StackLayout) -> list[dict[str, Any]]:
    """All that were made, running or not, as Docker describes them."""
    return [
        json.loads(line)
        for line in compose(layout, *EVERY, "ps", "--all", "--format", "json").stdout.splitlines()
    ]


def processes(layout: StackLayout) -> list[dict[str, Any]]:
    """name, statename, pid and description of every container; nothing when the stack is down."""
    found = containers(layout)
    rows = [
        {"name": one["Service"], "statename": state(one), "pid": None, "description": one["Status"]}
        for one in found
    ]
    return rows if any(one["State"] == "running" for one in found) else []


def state(container: dict[str, Any]) -> str:
    """RUNNING, also where there is no health check; DONE is what ends in time; else Docker's own word."""
    word, health = str(container["State"]), str(container["Health"])
    if word == "running":
        return RUNNING if health in ("", "healthy") else health.upper()
    return DONE if word == "exited" and not container["ExitCode"] else word.upper()


def given_up(layout: StackLayout) -> list[str]:
    return [
        one["name"]
        for one in processes(layout)
        if one["statename"] in ("EXITED", "RESTARTING", "DEAD", "UNHEALTHY")
    ]


def down(layout: StackLayout) -> bool:
    """Stops and removes the containers; volumes stay. False when nothing ran."""
    ran = bool(containers(layout))
    compose(layout, *EVERY, "down", "--remove-orphans", shown=True)
    (layout.state / COMPOSE / MOUNTED).unlink(missing_ok=True)
    return ran


def clean(layout: StackLayout) -> list[Path]:
    """The volumes go, too; secrets and images stay."""
    compose(layout, *EVERY, "down", "--remove-orphans", "--volumes", shown=True)
    return native.clean(layout)


def doctor(layout: StackLayout) -> list[tuple[str, bool, str]]:
    """(what, fine, how it is or what mends it) for everything that `up` depends on."""
    fine, how = engine()
    rows = [("Docker", fine, how)]
    if not fine:
        return rows
    given = sorted(present(secrets_folder()) & set(GIVEN))
    rows.append(("secrets", True, f"{secrets_folder()}; given: {', '.join(given) or 'none'}"))
    found = processes(layout)
    rows += [
        (f"container {one['name']}", one["statename"] in (RUNNING, DONE), one["description"])
        for one in found
    ]
    return rows + ([] if found else native.port_rows(ports(layout)))


def tail(layout: StackLayout, program: str | None, lines: int) -> Iterator[str]:
    """The last lines of one service's containers, or of all."""
    known = sorted({one["Service"] for one in containers(layout)})
    if program and program not in known:
        raise Refused(
            f"there is no log of {program!r}; known: {', '.join(known) or 'none yet: make up'}"
        )
    yield from compose(
        layout,
        *EVERY,
        "logs",
        "--no-color",
        f"--tail={lines}",
        *(["--no-log-prefix", program] if program else []),
    ).stdout.splitlines()
