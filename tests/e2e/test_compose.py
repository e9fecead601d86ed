"""The compose stack on a real engine, with its own name, ports and secrets, while parts fail.

A service whose image can neither be found nor pulled is left out, by name. Without an engine, or
without an image that everything needs, the file is skipped.
"""

import json
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from observability.devstack import docker
from observability.devstack.layout import PORTS, ROOT, StackLayout, servers_folder
from observability.drill.sandbox import free_ports
from observability.generate.dashboards.registry import boards
from observability.lib.loki import Loki
from observability.lib.prometheus import Prometheus
from observability.lib.promql import selector
from observability.spec import names
from observability.spec.loading import load_plan
from tests.alertmanager_server import AlertmanagerServer
from tests.e2e.conftest import Stack
from tests.e2e.waiting import eventually
from tests.e2e.wire import open_connection, read_statuses, send_flood

OPTIONAL = (
    "loki",
    "fluent-bit",
    "grafana",
    "jaeger",
)  # no distribution packages them, so an image may be missing
PULL_SECONDS = 60
MOST = 2_000  # requests that exceed 60 a minute in each of six processes
FILL_AND_KILL = """
import os, psutil

filler = os.open("/metrics/filler", os.O_CREAT | os.O_WRONLY)
for size in (1 << 16, 1):
    try:
        while os.write(filler, bytes(size)) == size:
            pass
    except OSError:
        continue
for process in psutil.process_iter(["cmdline"]):
    parent = process.parent()
    if parent and "supervisord" in " ".join(parent.cmdline()) and "gunicorn" in " ".join(
        process.info["cmdline"]
    ):
        process.kill()
"""
NODE = {"id": "kept", "name": "Kept", "kind": "water_tank", "fields": {"field1": "level"}}


@dataclass(frozen=True)
class Containers(Stack):
    """A compose stack, the key of load runs, and the services that it runs without."""

    key: str = ""
    without: list[str] = field(default_factory=list)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=10))

    @property
    def secrets(self) -> Path:
        """Return the folder of secrets."""
        return Path(self.environment["EVARA_SECRETS_DIR"])

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` and return its output; fail if it fails."""
        result = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the API's response to a request with the key of load runs."""
        headers = {"Authorization": f"Bearer {self.key}"} | options.pop("headers", {})
        return self.http.request(method, self.layout.url("api") + path, headers=headers, **options)

    def collect_statuses(self, path: str) -> set[int]:
        """Return the statuses of requests that reach several replicas and workers.

        After an outage each process notices the recovery independently.
        """
        return {self.call("GET", path).status_code for _ in range(20)}

    def require(self, *services: str) -> None:
        """Skip the test, by name, if one of these services is left out."""
        if missing := sorted({*services} & {*self.without}):
            pytest.skip(f"{', '.join(missing)} left out: the image is not available")

    def log_lines(self, **metadata: str) -> dict[str, str]:
        """Return one line of each program from the last minutes with this metadata."""
        filters = "".join(f' | {key}="{value}"' for key, value in metadata.items())
        stream = selector("", **{names.LOG_SERVICE: "evara-api"})
        labelled_lines = Loki(self.layout.url("loki")).query_lines(
            stream + filters, time.time() - 300
        )
        return {labels[names.LOG_PROGRAM]: line for labels, line in labelled_lines}

    def has_mail(self, *words: str) -> bool:
        """Return whether the subject of a mail contains all of these words."""
        messages = httpx.get(f"{self.layout.url('mailpit')}/api/v1/messages", timeout=5).json()[
            "messages"
        ]
        return any(all(word in message["Subject"] for word in words) for message in messages)

    def containers(self, *services: str) -> list[dict[str, Any]]:
        """Return the engine's description of the containers of these services."""
        ids = self.compose("ps", "--all", "--quiet", *services).split()
        return list(
            json.loads(
                subprocess.run(
                    ["docker", "inspect", *ids], capture_output=True, text=True, check=True
                ).stdout
            )
        )


def missing_images(services: dict[str, dict[str, Any]]) -> list[str]:
    """Return the services whose image is neither present nor pullable; our own are built."""
    built = {service["image"] for service in services.values() if "build" in service}
    pulled = {service["image"] for service in services.values()} - built
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
    return sorted(name for name, service in services.items() if service["image"] in missing)


def write_override(services: dict[str, dict[str, Any]], without: list[str], folder: Path) -> Path:
    """Write a Compose override that leaves services out, and return its path."""
    jobs = yaml.safe_load(
        (ROOT / "observability/devstack/compose/prometheus.yaml").read_text(encoding="utf-8")
    )
    jobs["scrape_configs"] = [
        job for job in jobs["scrape_configs"] if job["job_name"] not in without
    ]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(jobs, sort_keys=False), encoding="utf-8")
    lines = ["services:"]
    for name in services:
        changes = ["profiles: [left-out]"] if name in without else []
        if "fluent-bit" in without:
            changes.append("logging: !override {driver: json-file, options: {max-size: 10m}}")
        if name in ("api", "worker") and "jaeger" in without:
            changes.append('environment: {EVARA_OTLP_ENDPOINT: ""}')
        if name == "prometheus":
            changes.append(
                f"volumes: ['{folder}/prometheus.yaml:/etc/prometheus/prometheus.yaml:ro']"
            )
        lines += [f"  {name}:", *(f"    {change}" for change in changes)] if changes else []
    path = folder / "left-out.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """Yield a stack that is up; remove it with its volumes afterwards."""
    available, reason = docker.find_engine()
    if not available:
        pytest.skip(f"no compose stack here: {reason}")
    folder = tmp_path_factory.mktemp("compose")
    ports = free_ports()
    settings = {
        "COMPOSE_PROJECT_NAME": f"evara-test-{os.getpid()}",
        "COMPOSE_FILE": "compose.yaml",
        "COMPOSE_PROFILES": "replica,backup,load",
        "EVARA_STACK_DIR": str(folder / "state"),
        "EVARA_SECRETS_DIR": str(folder / "secrets"),
        "EVARA_PORT_OFFSET": str(ports["api"] - PORTS["api"]),
        "EVARA_SERVERS_DIR": str(servers_folder()),
    }
    plain = Containers(
        StackLayout(folder / "state", ports, servers_folder()), os.environ | settings
    )
    services = json.loads(plain.compose("config", "--format", "json"))["services"]
    without = missing_images(services)
    if required := sorted(set(without) - set(OPTIONAL)):
        images = ", ".join(services[name]["image"] for name in required)
        pytest.skip(f"images are missing and cannot be pulled: {images}")
    files = [
        "compose.yaml",
        "tests/e2e/compose.offline.yaml",
        str(write_override(services, without, folder)),
    ]
    environment = plain.environment | {"COMPOSE_FILE": ":".join(files)}
    offline = Containers(plain.layout, environment, without=without)
    (folder / "secrets").mkdir()
    (folder / "secrets" / "deadman_url").write_text(
        "http://127.0.0.1:9/beat", encoding="utf-8"
    )  # Alertmanager accepts the URL, where nothing listens
    try:
        up = offline.run("up", "--mode", "compose", timeout=1200)
        assert up.returncode == 0, up.stdout + up.stderr
        print(f"left out, because their images are missing: {', '.join(without) or 'nothing'}")
        yield Containers(
            offline.layout,
            environment,
            (folder / "secrets" / "load_key").read_text(encoding="utf-8"),
            without,
        )
    finally:
        offline.run("clean")


def test_all_services_are_healthy(stack: Containers) -> None:
    """Every container is healthy or has completed; `status`, `logs` and `doctor` agree."""
    states = {process["name"]: process["statename"] for process in stack.json("status")}
    assert states.pop("migrate") == states.pop("prepare") == "DONE"
    assert set(states.values()) == {"RUNNING"}
    assert {
        "gateway",
        "api",
        "worker",
        "postgres",
        "valkey",
        "prometheus",
        "alertmanager",
        "console",
        "mailpit",
    } <= states.keys()
    assert {"postgres-replica", "backup"} <= states.keys()
    assert eventually(lambda: "restored and compared" in stack.run("logs", "backup").stdout)
    assert "started streaming" in stack.run("logs", "postgres-replica").stdout
    assert "Booting worker" in stack.run("logs", "api", "--lines", "400").stdout
    assert (
        "url_file: /run/secrets/deadman_url"
        in httpx.get(f"{stack.layout.url('alertmanager')}/api/v2/status").json()["config"][
            "original"
        ]
    )
    doctor = stack.run("doctor")
    assert doctor.returncode == 0, doctor.stdout


def test_requests_pass_the_gateway(stack: Containers) -> None:
    """A response has a request id, which is the caller's own when there is one."""
    answer = stack.call("GET", "/api/v1/nodes")
    assert answer.status_code == 200
    assert {node["id"] for node in answer.json()["items"]} >= {
        "main-branch",
        "north-well",
        "hill-tank",
    }
    assert answer.headers["X-Request-ID"]
    assert (
        stack.call("GET", "/api/v1/nodes", headers={"X-Request-ID": "mine-12345678"}).headers[
            "X-Request-ID"
        ]
        == "mine-12345678"
    )


def test_gateway_refuses_invalid_requests(stack: Containers) -> None:
    """The gateway refuses /metrics, TRACE, large bodies and heads that never end."""
    begun = b"POST /api/v1/nodes HTTP/1.1\r\nHost: x\r\n"
    sent = {
        b"404": b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"405": b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"413": begun + b"Content-Length: 1048577\r\n\r\n",
        b"408": begun + b"X-Slow",
    }
    assert read_statuses(
        [open_connection(stack.layout.ports["api"], request) for request in sent.values()]
    ) == [*sent]


def test_request_appears_in_logs_and_trace(stack: Containers) -> None:
    """The request id finds log lines of gateway and API; the trace has both and the database."""
    stack.require("loki", "fluent-bit", "jaeger")
    trace, request = secrets.token_hex(16), f"followed-{secrets.token_hex(8)}"
    headers = {"X-Request-ID": request, "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
    assert stack.call("GET", "/api/v1/nodes/main-branch/live", headers=headers).status_code == 200
    assert eventually(lambda: stack.log_lines(request_id=request).keys() >= {"gateway", "api"})
    assert all(trace in line for line in stack.log_lines(request_id=request).values())

    def service_by_operation() -> dict[str, str]:
        """Return operation → service for the spans of the trace so far."""
        data = httpx.get(f"{stack.layout.url('jaeger')}/api/traces/{trace}", timeout=5).json()[
            "data"
        ]
        return {
            span["operationName"]: found_trace["processes"][span["processID"]]["serviceName"]
            for found_trace in data or ()
            for span in found_trace["spans"]
        }

    assert eventually(
        lambda: (
            {"gateway", "evara-api"} <= set(service_by_operation().values())
            and {"SELECT", "GET"} <= service_by_operation().keys()
        )
    ), service_by_operation()


def test_log_lines_survive_a_loki_outage(stack: Containers) -> None:
    """Lines that are logged while Loki is stopped arrive when it is back."""
    stack.require("loki", "fluent-bit")
    request = f"waiting-{secrets.token_hex(8)}"
    stack.compose("stop", "loki")
    assert stack.call("GET", "/api/v1/nodes", headers={"X-Request-ID": request}).status_code == 200
    stack.compose("start", "loki")
    assert eventually(lambda: stack.log_lines(request_id=request).keys() >= {"gateway", "api"})


def test_grafana_requires_its_password(stack: Containers) -> None:
    """Without the password 401; with it every board exists and every data source responds."""
    stack.require("grafana")
    grafana = f"{stack.layout.url('grafana')}/api"
    assert httpx.get(f"{grafana}/search").status_code == 401
    password = (stack.secrets / "grafana_password").read_text(encoding="utf-8").strip()
    with httpx.Client(base_url=grafana, auth=("admin", password), timeout=10) as admin:
        uids = {board["uid"] for board in admin.get("/search", params={"type": "dash-db"}).json()}
        assert uids == {names.board_uid("evara-api", board.slug) for board in boards(load_plan())}
        for source in {"prometheus", "loki", "jaeger"} - {*stack.without}:
            health = admin.get(f"/datasources/uid/{source}/health")
            assert health.json()["status"] == "OK", f"{source}: {health.text}"


def test_all_targets_rules_and_slos_are_healthy(stack: Containers) -> None:
    """Every target and replica is scraped, no rule fails, and every SLO is measured."""
    prometheus = Prometheus(stack.layout.url("prometheus"))
    assert eventually(
        lambda: {target["health"] for target in prometheus.targets()} == {"up"}
    )  # Loki has just come back
    targets = prometheus.targets()
    assert sum(target["scrapePool"] == "api" for target in targets) == 3, (
        "two replicas and the worker"
    )
    assert {rule["health"] for group in prometheus.rule_groups() for rule in group["rules"]} <= {
        "ok",
        "unknown",
    }
    assert "unmeasured" not in {row["verdict"] for row in stack.json("slo")["slos"]}


def test_only_the_gateway_is_published(stack: Containers) -> None:
    """Only the gateway is published beyond 127.0.0.1; three networks are internal."""
    hosts: dict[str, set[str]] = {}
    for container in stack.containers():
        bindings = [
            binding
            for addresses in container["HostConfig"]["PortBindings"].values()
            for binding in addresses
        ]
        hosts.setdefault(container["Config"]["Labels"]["com.docker.compose.service"], set()).update(
            b["HostIp"] for b in bindings
        )
    assert {name for name, addresses in hosts.items() if addresses - {"127.0.0.1"}} == {"gateway"}
    networks = json.loads(
        subprocess.run(
            [
                "docker",
                "network",
                "inspect",
                *(
                    f"{stack.environment['COMPOSE_PROJECT_NAME']}_{name}"
                    for name in ("edge", "data", "watch")
                ),
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    assert [network["Internal"] for network in networks] == [True] * 3


def test_containers_are_hardened(stack: Containers) -> None:
    """Containers run without root, capabilities or a writable root, and with bounded memory."""
    for container in stack.containers():
        name, host = (
            container["Config"]["Labels"]["com.docker.compose.service"],
            container["HostConfig"],
        )
        assert (container["Config"]["User"] == "0:0") == (name == "prepare"), name
        assert (host["ReadonlyRootfs"], host["CapDrop"], host["SecurityOpt"]) == (
            True,
            ["ALL"],
            ["no-new-privileges:true"],
        ), name
        assert host["Memory"] > 0, name
    status = stack.compose("exec", "-T", "api", "cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in status
    assert "Uid:\t0\t" not in status
    result = subprocess.run(
        ["docker", "compose", "exec", "-T", "api", "touch", "/srv/evara/x"],
        cwd=ROOT,
        env=stack.environment,
        capture_output=True,
        check=False,
    )
    assert result.returncode != 0


def test_pages_are_mailed(stack: Containers) -> None:
    """A page arrives by mail."""
    now = datetime.now(UTC).isoformat()
    alert = {
        "labels": {"alertname": "MailTest", "severity": "page", "owner": "platform"},
        "startsAt": now,
    }
    httpx.post(
        f"{stack.layout.url('alertmanager')}/api/v2/alerts", json=[alert], timeout=5
    ).raise_for_status()

    assert eventually(lambda: stack.has_mail("MailTest"))


def test_load_and_slo_work_with_containers(stack: Containers) -> None:
    """`load` and `slo` measure containers as they do native processes; no request fails."""
    report = stack.json("load", "--users", "4", "--rate", "10", "--time", "10s")
    assert report["verdict"] != "unknown", report
    assert {row["clients"]["failed"] for row in report["routes"]} == {0}
    assert (
        sum(
            row["total"] or 0
            for row in stack.json("slo", "--window", "5m")["slos"]
            if row["slo"] == "nodes.list-availability"
        )
        > 0
    )


def test_distributed_load_is_judged_by_its_master(stack: Containers) -> None:
    """The profile `load` shows the verdict on what its worker sent; no request fails."""
    page = stack.layout.url("locust")
    assert eventually(lambda: bool(httpx.get(f"{page}/stats/requests").json()["workers"]))
    httpx.post(f"{page}/swarm", data={"user_count": 2, "spawn_rate": 2})
    assert eventually(lambda: httpx.get(f"{page}/stats/requests").json()["total_rps"] > 0)
    httpx.post(f"{page}/stop", timeout=60)
    report = httpx.get(f"{page}/verdict").json()
    assert (report["errors"], report["exceptions"]) == ([], [])
    assert sum(row["sent"] for row in report["routes"]) == report["total"]["requests"] > 0


def test_valkey_outage_falls_back_to_local_limits(stack: Containers) -> None:
    """Without Valkey each process counts in memory, the fallback is counted, the API is ready."""
    prometheus, fallbacks = (
        Prometheus(stack.layout.url("prometheus")),
        f"sum({names.LIMITER_FALLBACKS}_total)",
    )
    [(_, before)] = prometheus.query(fallbacks)
    stack.compose("stop", "valkey")
    assert stack.collect_statuses("/api/v1/nodes/hill-tank") == {200}
    assert stack.collect_statuses("/health/ready") == {200}
    responses = (
        stack.http.post(f"{stack.layout.url('api')}/api/v1/keys") for _ in range(MOST)
    )  # without a key: the key of load runs has no limit
    assert any(
        answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0 for answer in responses
    )
    assert eventually(lambda: prometheus.query(fallbacks)[0][1] > before)
    stack.compose("start", "valkey")


def test_killed_replica_fails_no_get(stack: Containers) -> None:
    """One of three replicas is killed under load: no GET fails but those in progress.

    See docs/adr/0019-gateway.md.
    """
    stack.compose("up", "--detach", "--no-recreate", "--scale", "api=3", "api")
    prometheus = Prometheus(stack.layout.url("prometheus"))
    assert eventually(
        lambda: (
            sum(t["scrapePool"] == "api" and t["health"] == "up" for t in prometheus.targets()) == 4
        )
    )
    stop, codes, interrupted = threading.Event(), list[int](), list[httpx.RemoteProtocolError]()

    def send_requests() -> None:
        """Send requests until the test stops."""
        while not stop.is_set():
            try:
                codes.append(stack.call("GET", "/api/v1/nodes/hill-tank").status_code)
            except httpx.RemoteProtocolError as error:
                interrupted.append(error)
            time.sleep(0.02)  # the gateway allows 200 requests a second per address

    with ThreadPoolExecutor(4) as clients:
        running_clients = [clients.submit(send_requests) for _ in range(4)]
        assert eventually(lambda: len(codes) > 100)
        [victim, *_] = stack.containers("api")
        subprocess.run(["docker", "kill", victim["Id"]], check=True, capture_output=True)
        after = len(codes)
        assert eventually(lambda: len(codes) > after + 300)
        stop.set()
        for client in running_clients:
            client.result()
    assert set(codes) == {200}, f"{sum(status != 200 for status in codes)} of {len(codes)} failed"
    assert len(interrupted) <= 4, "at most one response in progress per client"
    subprocess.run(["docker", "start", victim["Id"]], check=True, capture_output=True)


def test_killed_masters_are_replaced_on_a_full_disk(stack: Containers) -> None:
    """Replicas whose gunicorn is killed, and whose metrics have no space, answer again."""
    before = {row["Id"]: row["RestartCount"] for row in stack.containers("api")}
    for container in before:
        subprocess.run(["docker", "exec", container, "python", "-c", FILL_AND_KILL], check=True)
    assert eventually(lambda: stack.collect_statuses("/api/v1/nodes") == {200})

    def readiness() -> set[str]:
        """Return the states of replicas and workers."""
        answers = [stack.call("GET", "/health/ready") for _ in range(20)]
        return {answer.json()["status"] for answer in answers}

    assert eventually(lambda: readiness() == {"degraded"})
    for container in before:
        subprocess.run(["docker", "exec", container, "rm", "/metrics/filler"], check=True)
    assert eventually(lambda: readiness() == {"ok"})
    assert {row["Id"]: row["RestartCount"] for row in stack.containers("api")} == before


def test_database_outage_gives_503_and_recovers(stack: Containers) -> None:
    """503 with Retry-After while PostgreSQL is stopped; the API recovers without a restart."""
    stack.compose("stop", "postgres")
    assert eventually(lambda: stack.call("GET", "/health/ready").status_code == 503)
    refused = stack.call("GET", "/api/v1/nodes/hill-tank")
    assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (503, True)
    assert stack.call("GET", "/health/live").status_code == 200
    assert eventually(lambda: stack.has_mail("FIRING", "DatabaseDown"))
    stack.compose("start", "postgres")
    assert eventually(lambda: stack.collect_statuses("/health/ready") == {200})
    assert eventually(lambda: stack.collect_statuses("/api/v1/nodes/hill-tank") == {200})


def test_429_for_a_flood(stack: Containers) -> None:
    """An address above its rate gets 429, and is served again later."""
    with open_connection(stack.layout.ports["api"]) as connection:
        head, _ = send_flood(connection, 2100)
    assert head[:3] == b"429"
    assert eventually(lambda: stack.call("GET", "/health/live").status_code == 200)


def test_resolved_alerts_are_mailed(stack: Containers) -> None:
    """A mail says that an alert has ended."""
    alertmanager = AlertmanagerServer(stack.layout.url("alertmanager"))
    alert = {"alertname": "Mailed", "severity": "page", "owner": "platform"}
    alertmanager.fire(alert)
    assert eventually(lambda: stack.has_mail("FIRING", "Mailed"))
    alertmanager.resolve(alert)
    assert eventually(lambda: stack.has_mail("RESOLVED", "Mailed"))


def test_data_survives_down_and_up(stack: Containers) -> None:
    """Nodes, silences and Prometheus' data survive `down` and `up`."""
    assert stack.call("POST", "/api/v1/nodes", json=NODE).status_code in (201, 409)
    silences = f"{stack.layout.url('alertmanager')}/api/v2/silences"
    matcher = {"name": "alertname", "value": "Kept", "isRegex": False}
    now = datetime.now(UTC)
    times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat()}
    httpx.post(
        silences,
        json={"matchers": [matcher], "createdBy": "test", "comment": "kept"} | times,
        timeout=5,
    ).raise_for_status()
    since = time.time()
    down = stack.run("down")
    assert (down.returncode, "stopped" in down.stdout) == (0, True)
    assert stack.run("status").returncode == 2
    up = stack.run("up", "--mode", "compose", timeout=600)
    assert up.returncode == 0, up.stdout + up.stderr
    assert stack.call("GET", "/api/v1/nodes/kept").json()["name"] == "Kept"
    assert Prometheus(stack.layout.url("prometheus")).query("up", since - 10)
    assert [
        (silence["comment"], silence["status"]["state"])
        for silence in httpx.get(silences, timeout=5).json()
    ] == [("kept", "active")]
