"""Every process of the native stack: command, environment and order; `up` gives them to supervisor, drills start them alone."""

import hashlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import yaml

from observability.devstack.binaries import Server
from observability.devstack.layout import DEVELOPMENT_KEY, HOST, ROOT, Ports, StackLayout, present
from observability.generate import alertmanager, fluentbit, loki, prometheus
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.quantities import format_duration
from observability.spec.schema.policy import IntegrationEntry, LinksEntry

DAY = 86_400
PROMETHEUS_YAML = ROOT / "observability" / "devstack" / "prometheus.yaml"
WORKERS = 2
MARK = "EVARA_STACK"
API = ("api", "observability")  # folders that the API's processes read
RECEIVERS = ("EVARA_OTLP_ENDPOINT", "EVARA_SENTRY_DSN", "EVARA_WEBHOOK_URL")
PASSED = (
    *RECEIVERS,
    "EVARA_WEBHOOK_SECRET",
    "EVARA_TRACE_RATIO",
    "EVARA_VERSION",
)  # of the user, to the API; not to drills


@dataclass(frozen=True)
class Program:
    """One supervised process. Lower priorities start first and stop last."""

    name: str
    command: Sequence[str]
    priority: int
    environment: dict[str, str] = field(default_factory=dict)


def api_environment(layout: StackLayout, *, faults: bool = False) -> dict[str, str]:
    """What every process of the API needs to know."""
    environment = {
        "EVARA_DATABASE_URL": f"sqlite:///{layout.database}",
        "EVARA_LIMITER_URL": f"sqlite:///{layout.state}/limits.db",
        "EVARA_JOBS_URL": f"sqlite:///{layout.state}/jobs.db",
        "EVARA_THINGSPEAK_URL": layout.url("replay"),
        "EVARA_DEVELOPMENT_KEY": DEVELOPMENT_KEY,
        "EVARA_BIND": f"{HOST}:{layout.ports.api}",
        "EVARA_WORKERS": str(WORKERS),
        "PROMETHEUS_MULTIPROC_DIR": str(layout.metrics),
        "PYTHONUNBUFFERED": "1",
    }
    if faults:  # empty, not absent: the API reads .env as well
        return (
            environment
            | dict.fromkeys((*RECEIVERS, "EVARA_REDIS_URL"), "")
            | {"EVARA_FAULTS_FILE": str(layout.fault)}
        )
    return environment | {name: os.environ[name] for name in PASSED if name in os.environ}


def console_environment(layout: StackLayout) -> dict[str, str]:
    """Where the console finds the stack that it shows."""
    return {
        "EVARA_STACK_DIR": str(layout.state),
        "EVARA_PORT_OFFSET": str(layout.ports.api - Ports().api),
    }


def console_command(layout: StackLayout) -> tuple[str, ...]:
    """One worker, because the inbox lives in its memory; threads, because readers wait for Prometheus."""
    address = f"{HOST}:{layout.ports.console}"
    settings = (
        "--workers",
        "1",
        "--threads",
        "8",
        "--graceful-timeout",
        "5",
        "--no-control-socket",
    )
    return (
        sys.executable,
        "-m",
        "gunicorn",
        "--bind",
        address,
        *settings,
        "observability.console.pages:main()",
    )


def release(*folders: str) -> str:
    """A digest of what the processes from these folders read at their start: when it changes, they must start anew."""
    read = (
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".yaml", ".html"}
    )
    sources = sorted(path for path in read if "generated" not in path.parts)
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def programs(
    layout: StackLayout, plan: Plan, servers: dict[str, Server], *, faults: bool = False
) -> list[Program]:
    """The processes in the order of their start."""
    python, ports = sys.executable, layout.ports
    environment = api_environment(layout, faults=faults)
    # A new release restarts its processes; gunicorn changes its workers one by one instead, and the prober stays while they do.
    api, watching, upstream = (
        {"EVARA_RELEASE": release(*folders)} for folders in (API, API[1:], ("loadtests",))
    )
    hurry = (
        {} if plan.clock.scrape == plan.policy.clock.scrape.seconds else {"EVARA_SYNC_EVERY": "1"}
    )  # drills have a faster clock
    retention = f"{int(plan.period.seconds) // DAY + 1}d"
    return [
        Program(
            "replay",
            (
                python,
                "-m",
                "loadtests.thingspeak_stub",
                "--host",
                HOST,
                "--port",
                str(ports.replay),
            ),
            10,
            upstream,
        ),
        Program("console", console_command(layout), 10, watching | console_environment(layout)),
        Program(
            "metrics",
            (python, "-m", "api.platform.telemetry.exporter", HOST, str(ports.metrics)),
            10,
            environment | api,
        ),
        Program(
            "api",
            (python, "-m", "gunicorn", "--config", "api/gunicorn.conf.py", "api.app:create_app()"),
            20,
            environment,
        ),
        Program(
            "worker",
            (python, "-m", "flask", "--app", "api.app", "worker"),
            30,
            environment | api | hurry,
        ),
        Program(
            "alertmanager",
            servers["alertmanager"].command(
                f"--config.file={layout.config}/alertmanager.yaml",
                f"--storage.path={layout.state}/alertmanager",
                f"--web.listen-address={HOST}:{ports.alertmanager}",
                "--cluster.listen-address=",  # one of them: no gossip port
            ),
            30,
        ),
        Program(
            "prober",
            (
                python,
                "-m",
                "observability.slo",
                layout.url("api"),
                HOST,
                str(ports.prober),
                format_duration(plan.probe_every),
            ),
            40,
            watching | {"EVARA_API_KEY": layout.key("prober")},
        ),
        Program(
            "prometheus",
            servers["prometheus"].command(
                f"--config.file={layout.config}/prometheus.yaml",
                f"--storage.tsdb.path={layout.state}/prometheus",
                f"--storage.tsdb.retention.time={retention}",
                f"--web.listen-address={HOST}:{ports.prometheus}",
            ),
            50,
        ),
        *(log_programs(layout, plan, servers) if "loki" in servers else ()),
    ]


def log_programs(layout: StackLayout, plan: Plan, servers: dict[str, Server]) -> list[Program]:
    """Loki and Fluent Bit: the first to start and the last to stop, so that they see everything; a new configuration restarts them."""
    texts = loki.render(plan)[loki.CONFIG] + fluentbit.render(plan)[fluentbit.NATIVE]
    environment = log_environment(layout) | {
        "EVARA_RELEASE": hashlib.sha256(texts.encode()).hexdigest()[:16]
    }
    config = (f"-config.file={layout.config}/loki.yaml", "-config.expand-env=true")
    return [
        Program("loki", servers["loki"].command(*config), 5, environment),
        Program(
            "fluent-bit",
            servers["fluent-bit"].command(f"--config={layout.config}/fluent-bit.yaml"),
            6,
            environment,
        ),
    ]


def log_environment(layout: StackLayout) -> dict[str, str]:
    """What the generated configurations of Loki and Fluent Bit leave to the place where they run."""
    return {
        "EVARA_LOKI_HOST": HOST,
        "EVARA_LOKI_PORT": str(layout.ports.loki),
        "EVARA_LOKI_GRPC_PORT": str(layout.ports.loki_grpc),
        "EVARA_LOKI_FOLDER": f"{layout.state}/loki",
        "EVARA_LOKI_RULES": f"{layout.config}/loki-rules",
        "EVARA_LOKI_ALERTMANAGER": layout.url("alertmanager"),
        "EVARA_LOG_FOLDER": str(layout.logs),
        "EVARA_LOG_STATE": f"{layout.state}/fluent-bit",
    }


def configure(layout: StackLayout, plan: Plan, secrets: Path | None = None) -> None:
    """Writes the servers' configuration for this site's addresses below its folder."""
    rules = layout.config / "loki-rules" / loki.TENANT
    for folder in (
        layout.config / "targets",
        layout.logs,
        layout.metrics,
        layout.state / "fluent-bit",
        rules,
    ):
        folder.mkdir(parents=True, exist_ok=True)
    here_too = {
        name: entry
        for name, entry in plan.policy.integrations.items()
        if not (entry.email or entry.webhook_url_file)
    }
    local = {
        "integrations": here_too
        | {"inbox": IntegrationEntry(webhook=f"{layout.url('console')}/api/inbox")},
        "links": LinksEntry(console=layout.url("console")),
    }
    here = replace(plan, policy=plan.policy.model_copy(update=local))
    given = present(secrets) if secrets else frozenset[str]()
    for path, text in (
        (layout.config / "prometheus.yaml", prometheus_config(plan)),
        (layout.config / "rules.yaml", prometheus.render(here)[prometheus.RULES]),
        (
            layout.config / "alertmanager.yaml",
            alertmanager.render(here, given, str(secrets))[alertmanager.CONFIG],
        ),
        (layout.config / "loki.yaml", loki.render(here)[loki.CONFIG]),
        (rules / "rules.yaml", loki.render(here)[loki.RULES]),
        (layout.config / "fluent-bit.yaml", fluentbit.render(here)[fluentbit.NATIVE]),
    ):
        path.write_text(text, encoding="utf-8")


def targets(layout: StackLayout) -> dict[str, int]:
    """File of targets → port, as devstack/prometheus.yaml names them."""
    ports = layout.ports
    return {
        names.SCRAPE_API: ports.metrics,
        names.SCRAPE_PROBER: ports.prober,
        names.SCRAPE_PROMETHEUS: ports.prometheus,
        "alertmanagers": ports.alertmanager,
    }


def announce(layout: StackLayout) -> None:
    """Tells Prometheus whom to scrape: not before they work, because from then on their silence counts against them."""
    for name, port in targets(layout).items():
        draft = layout.config / f"{name}.new"
        draft.write_text(yaml.safe_dump([{"targets": [f"{HOST}:{port}"]}]), encoding="utf-8")
        draft.replace(layout.config / "targets" / f"{name}.yaml")


def conceal(layout: StackLayout) -> None:
    """Takes the announcement back, for a stack that is about to start."""
    for path in (layout.config / "targets").glob("*.yaml"):
        path.unlink()


def prometheus_config(plan: Plan) -> str:
    """The hand-written file; a drill's faster clock is the only thing that is changed in it."""
    text = PROMETHEUS_YAML.read_text(encoding="utf-8")
    if plan.clock.scrape == plan.policy.clock.scrape.seconds:
        return text
    config = yaml.safe_load(text)
    scrape = format_duration(plan.clock.scrape)
    config["global"] = {
        "scrape_interval": scrape,
        "scrape_timeout": scrape,
        "evaluation_interval": format_duration(plan.clock.evaluate),
    }
    return yaml.safe_dump(config, sort_keys=False)


def process_environment(program: Program, layout: StackLayout) -> dict[str, str]:
    """The environment that the process starts with: ours, without settings meant for other stacks, and its own."""
    return clean_environment(layout) | program.environment


def clean_environment(layout: StackLayout) -> dict[str, str]:
    """What all processes of a site inherit; the mark is how they are found again when their supervisor is gone."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("EVARA_", "PROMETHEUS_"))
    }
    return inherited | {MARK: str(layout.state)}


def leftovers(layout: StackLayout) -> list[psutil.Process]:
    """Every process of this user that was started for the site, except the one that asks."""

    def marked(process: psutil.Process) -> bool:
        try:
            return process.pid != os.getpid() and process.environ().get(MARK) == str(layout.state)
        except (psutil.Error, OSError):
            return False  # somebody else's, or gone meanwhile

    return [process for process in psutil.process_iter() if marked(process)]


def end(processes: list[psutil.Process], seconds: float) -> None:
    """Asks processes to stop, and kills those that do not."""
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    for process in psutil.wait_procs(processes, timeout=seconds)[1]:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=seconds)
