"""The compose stack on a real engine, with its own name, ports and secrets, while parts fail.

A service whose image can neither be found nor pulled is left out, by name. Without an engine, or
without an image that everything needs, the file is skipped.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from observability.devstack.layout import PORTS, ROOT, StackLayout, servers_folder
from observability.devstack.mounted_files import GATEWAY_CHECK
from observability.drill.sandbox import free_ports
from observability.generate.dashboards.registry import boards
from observability.lib.alerts import fetch_delivered_alerts
from observability.lib.loki import Loki
from observability.lib.prometheus import Prometheus
from observability.lib.promql import selector
from observability.spec import names
from observability.spec.loading import load_plan
from tests.alertmanager_server import AlertmanagerServer
from tests.e2e import reachability
from tests.e2e.conftest import Stack
from tests.e2e.documented_commands import compose_commands
from tests.e2e.images import SERVICES, require_engine, services_to_leave_out, write_override
from tests.e2e.steady_clients import CLIENTS, steady_traffic
from tests.e2e.waiting import eventually
from tests.e2e.wire import open_connection, read_statuses, send_flood

MISSING_ALERTS = (
    f'{names.ALERTS}{{alertname=~"ProgramMissing|ReplicaMissing", alertstate="firing"}}'
)
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
BROKEN = {"EVARA_COMMAND": "false"}  # environment of a container that ends at once
RELEASES = ("next", "broken")  # versions of the releases that tests make
OPERATIONS = compose_commands(ROOT / "docs" / "operations.md")
ELSEWHERE = ("Commands", "Deployment")  # sections whose commands other tests run
RUNBOOK = compose_commands(ROOT / "observability" / "catalogue.yaml")[""]
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

    def shell(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a documented command as it is written, with the variables of a second stack."""
        return subprocess.run(
            ["bash", "-ec", command],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def sql(self, statement: str, *, service: str = "postgres") -> str:
        """Return the output of a statement that the superuser runs inside the container."""
        psql = "PGPASSWORD=$(cat /run/secrets/superuser_password) psql -U postgres -d evara -Atc"
        return self.compose("exec", "-T", service, "bash", "-c", f'{psql} "$0"', statement).strip()

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

    def mails(self) -> list[dict[str, Any]]:
        """Return the mails that Mailpit lists, the newest first."""
        url = f"{self.layout.url('mailpit')}/api/v1/messages"
        return list(httpx.get(url, timeout=5).json()["messages"])

    def has_mail(self, *words: str) -> bool:
        """Return whether the subject of a mail contains all of these words."""
        return any(all(word in mail["Subject"] for word in words) for mail in self.mails())

    def mail(self, word: str) -> str:
        """Return the text of the newest mail whose subject contains the word."""
        mail = next(mail for mail in self.mails() if word in mail["Subject"])
        if "Text" not in mail:  # the list of a stand-in has it
            url = f"{self.layout.url('mailpit')}/api/v1/message/{mail['ID']}"
            mail = httpx.get(url, timeout=5).json()
        return str(mail["Text"])

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


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """Yield a stack that is up; remove it with its volumes afterwards."""
    require_engine()
    folder = tmp_path_factory.mktemp("compose")
    ports = free_ports()
    settings = {
        "COMPOSE_PROJECT_NAME": f"evara-test-{os.getpid()}",
        "COMPOSE_PROFILES": "replica,backup,load",
        "EVARA_STACK_DIR": str(folder / "state"),
        "EVARA_SECRETS_DIR": str(folder / "secrets"),
        "EVARA_PORT_OFFSET": str(ports["api"] - PORTS["api"]),
        "EVARA_SERVERS_DIR": str(servers_folder()),
    }
    without = services_to_leave_out()
    files = ["compose.yaml", str(write_override(without, folder))]
    layout = StackLayout(folder / "state", ports, servers_folder())
    environment = os.environ | settings | {"COMPOSE_FILE": ":".join(files)}
    offline = Containers(layout, environment, without=without)
    (folder / "secrets").mkdir()
    (folder / "secrets" / "deadman_url").write_text(
        "http://127.0.0.1:9/beat", encoding="utf-8"
    )  # Alertmanager accepts the URL, where nothing listens
    try:
        up = offline.run("up", "--mode", "compose", timeout=1200)
        assert up.returncode == 0, up.stdout + up.stderr
        print(f"left out, because their images are missing: {', '.join(without) or 'nothing'}")
        yield Containers(
            layout,
            environment,
            (folder / "secrets" / "load_key").read_text(encoding="utf-8"),
            without,
        )
    finally:
        offline.run("clean")
        tags = [
            f"{settings['COMPOSE_PROJECT_NAME']}-{image}:{tag}"
            for image in ("api", "tools")
            for tag in ("dev", *RELEASES)
        ]
        # --no-prune: the layers are the cache of the next build
        subprocess.run(
            ["docker", "image", "rm", "--no-prune", *tags], capture_output=True, check=False
        )


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


@pytest.mark.parametrize(
    ("status", "head"),
    [
        (400, b"GET\0 / HTTP/1.1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n"),
        (400, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\n"),
        (408, b"GET / HTTP/1.1\r\nX-Slow"),
        (422, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
    ],
    ids=["NUL", "no colon", "lengths", "slow", "encoding"],
)
def test_gateway_answers_what_it_cannot_parse(stack: Containers, status: int, head: bytes) -> None:
    """What HAProxy refuses before its rules gets a problem document, which its 2.6 cannot send."""
    with open_connection(stack.layout.ports["api"]) as connection:
        with suppress(OSError):  # the gateway answers before it has everything
            connection.sendall(head)
        answer = connection.recv(4096)
    start, _, body = answer.partition(b"\r\n\r\n")
    status_line, *fields = start.split(b"\r\n")
    assert status_line.startswith(b"HTTP/1.1 %d " % status)
    assert {b"content-type: application/problem+json", b"connection: close"} <= {*fields}
    assert json.loads(body)["status"] == status


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
    assert {address for addresses in hosts.values() for address in addresses} == {
        "0.0.0.0",
        "127.0.0.1",
    }
    with pytest.raises(ConnectionRefusedError):  # Docker would hide the addresses of IPv6 callers
        socket.create_connection(("::1", stack.layout.ports["api"]))


def test_services_reach_what_they_need_and_nothing_else(stack: Containers) -> None:
    """Inside each container every port of every other service is tried.

    docs/security.md has the table of those that are reached.
    """
    running = [one for one in stack.containers() if one["State"]["Running"]]
    measured = reachability.measure(running)
    services = {reachability.service_of(container) for container in running}
    assert ("gateway", "8000") in measured
    assert reachability.differences(measured, reachability.documented(), services) == []


def test_only_three_services_have_a_way_out(stack: Containers) -> None:
    """The default route of all other services leads into a network without one, or nowhere."""
    running = [one for one in stack.containers() if one["State"]["Running"]]
    outward = {
        service
        for service, network in reachability.default_networks(running).items()
        if network and "egress" in network
    }
    assert outward == {"api", "worker", "alertmanager"}


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
    """A page arrives by mail, and its links open on a stack with a port offset."""
    groups = Prometheus(stack.layout.url("prometheus")).rule_groups()
    [texts] = [
        rule["annotations"]
        for group in groups
        for rule in group["rules"]
        if rule["name"] == "DatabaseDown"
    ]
    labels = {"alertname": "MailTest", "severity": "page", "owner": "platform"}
    alertmanager = AlertmanagerServer(stack.layout.url("alertmanager"))
    alertmanager.fire(labels, annotations=texts)
    assert eventually(lambda: stack.has_mail("MailTest"))
    links = set(re.findall(r"https?://\S+", stack.mail("MailTest")))
    pages = {stack.layout.address(name) for name in ("alertmanager", "console", "grafana")}
    assert {"/".join(link.split("/")[:3]) for link in links} == pages
    missing = tuple(stack.layout.address(name) for name in stack.without if name == "grafana")
    for link in {link for link in links if not link.startswith(missing)}:
        assert httpx.get(link, follow_redirects=True, timeout=10).status_code == 200, link


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


def ids(stack: Containers, *services: str) -> set[str]:
    """Return the ids of the containers of these services."""
    return {container["Id"] for container in stack.containers(*services)}


def release(stack: Containers, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run `make up` with these settings, and return its result."""
    released = replace(stack, environment=stack.environment | settings)
    return released.run("up", "--mode", "compose", timeout=1200)


def write_release(stack: Containers, folder: Path, **changes: dict[str, Any]) -> dict[str, str]:
    """Return the settings of a release that changes these sections of compose.services.yaml."""
    path = folder / "release.yaml"
    path.write_text(yaml.safe_dump(changes), encoding="utf-8")
    return {"COMPOSE_FILE": f"{stack.environment['COMPOSE_FILE']}:{path}"}


def test_release_loses_no_request_and_no_alert(stack: Containers) -> None:
    """Image, settings and a secret change, while clients write and read and alerts fire."""
    (stack.secrets / "evara_webhook_secret").write_text("of the next release", encoding="utf-8")
    replicas = {"api": 2, "worker": 1, "console": 1}  # of the release, whatever --scale made before
    before = {service: ids(stack, service) for service in replicas}
    alertmanager = AlertmanagerServer(stack.layout.url("alertmanager"))
    alerts: list[str] = []

    def fire_alerts(stopped: threading.Event) -> None:
        for number in count():
            slo = f"released-{number}"
            labels = {names.SLO: slo, "severity": "ticket", "owner": "platform"}
            with suppress(httpx.TimeoutException):  # it has not acknowledged the alert
                alertmanager.fire({"alertname": "Released"} | labels)
                alerts.append(slo)
            if stopped.wait(1):
                return

    url = f"{stack.layout.url('api')}/api/v1/nodes/hill-tank"
    with steady_traffic(url, stack.key) as traffic, ThreadPoolExecutor(1) as pool:
        pool.submit(fire_alerts, traffic.stopped)
        assert eventually(lambda: traffic.total > 50)
        up = release(stack, EVARA_VERSION="next", EVARA_WEBHOOK_URL="http://replay:8091/none")
        traffic.stopped.set()
    print(f"{sum(traffic.failures.values())} of {traffic.total} requests failed in the release")
    assert up.returncode == 0, up.stdout + up.stderr
    assert traffic.failures == {}
    for service, number in replicas.items():
        after = ids(stack, service)
        assert len(after) == number
        assert after.isdisjoint(before[service]), service
    for metric, number in traffic.acknowledged.items():
        start = (datetime.now(UTC) - timedelta(hours=12)).isoformat()
        query = {"metric": metric, "from": start, "page_size": "1"}
        readings = stack.call("GET", "/api/v1/nodes/hill-tank/readings", params=query).json()
        assert readings["total"] == number

    def missing_alerts() -> set[str]:
        delivered = fetch_delivered_alerts(stack.layout.url("console"))
        return set(alerts) - {alert["labels"].get(names.SLO, "") for alert in delivered}

    assert alerts
    assert eventually(lambda: not missing_alerts()), missing_alerts()
    prometheus = Prometheus(stack.layout.url("prometheus"))
    assert not prometheus.query(f"count_over_time({MISSING_ALERTS}[30m])")


def test_missing_replicas_and_programs_raise_alerts(stack: Containers) -> None:
    """A stopped replica is a ticket, other stopped programs a page; a larger --scale is fine."""
    stack.compose("up", "--detach", "--no-recreate", "--scale", "api=3", "api")
    prometheus = Prometheus(stack.layout.url("prometheus"))
    programs = ("worker", "replay", "mailpit")
    containers = (*stack.containers(*programs, "console"), *stack.containers("api")[:2])
    stopped = [container["Id"] for container in containers]
    present = f'{names.INSTANCES_PRESENT}{{program="api"}} == 3'
    assert eventually(lambda: prometheus.query(present), 180)
    assert not prometheus.query(MISSING_ALERTS)
    subprocess.run(["docker", "stop", *stopped], check=True, capture_output=True)

    def firing() -> set[tuple[str, str]]:
        rows = prometheus.query(MISSING_ALERTS)
        return {(labels["alertname"], labels[names.LOG_PROGRAM]) for labels, _ in rows}

    expected = {("ReplicaMissing", "api"), *((names.PROGRAM_ALERT, name) for name in programs)}
    assert eventually(lambda: firing() == expected, 180), firing()
    down = selector(names.ALERTS, alertname="TargetDown", alertstate="firing", job="console")
    assert eventually(lambda: prometheus.query(down), 180)
    subprocess.run(["docker", "start", *stopped], check=True, capture_output=True)
    stack.compose("up", "--detach", "--no-recreate", "--scale", "api=2", "api")
    assert eventually(lambda: not firing(), 180), firing()


def test_gateway_reads_its_files_again_without_a_failed_request(stack: Containers) -> None:
    """HAProxy closes idle connections, one of each client; a request that meets that is lost."""
    url = f"{stack.layout.url('api')}/api/v1/nodes/hill-tank"
    reloads = 3
    with steady_traffic(url, stack.key) as traffic:
        for _ in range(reloads):
            before = traffic.total
            stack.compose("exec", "-T", "gateway", *GATEWAY_CHECK)
            stack.compose("kill", "--signal", "SIGUSR2", "gateway")
            assert eventually(lambda before=before: traffic.total > before + 100)
    assert traffic.failures.keys() <= {"RemoteProtocolError", "ReadError"}
    assert sum(traffic.failures.values()) <= CLIENTS * reloads


def test_up_without_changes_replaces_nothing(stack: Containers) -> None:
    """The containers are those of the last release."""
    before = ids(stack, "api", "worker", "console", "gateway")
    up = release(stack, EVARA_VERSION="next", EVARA_WEBHOOK_URL="http://replay:8091/none")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "migrating" not in up.stdout
    assert ids(stack, "api", "worker", "console", "gateway") == before


@pytest.fixture
def other_folder(tmp_path: Path) -> Path:
    """Return a copy of the code, as a release in a folder of its own has it."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in listing.stdout.decode().split("\0")[:-1]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_release_in_another_folder_restarts_no_server(
    stack: Containers, other_folder: Path
) -> None:
    """The gateway reads a changed file, or keeps the earlier one when HAProxy refuses it."""
    config = other_folder / "observability/devstack/compose/gateway/haproxy.cfg"
    text = config.read_text(encoding="utf-8")
    next_text = f"{text}# of the next release\n"
    ours = {name for name, service in SERVICES.items() if "pull_policy" in service}  # new images
    upstream = SERVICES.keys() - ours - {"prepare"} - {*stack.without}
    settings = {"EVARA_VERSION": "next", "EVARA_WEBHOOK_URL": "http://replay:8091/none"}

    def mounted() -> str:
        path = "/usr/local/etc/haproxy/haproxy.cfg"
        return stack.compose("exec", "-T", "gateway", "cat", path)

    def starts() -> dict[str, str]:
        return {row["Id"]: row["State"]["StartedAt"] for row in stack.containers(*upstream)}

    def up(root: Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "observability", "up", "--mode", "compose"],
            cwd=root,
            env=stack.environment | settings,
            capture_output=True,
            text=True,
            check=False,
        )

    before = starts()
    config.write_text(next_text, encoding="utf-8")
    assert mounted() == text
    released = up(other_folder)
    assert released.returncode == 0, released.stdout + released.stderr
    assert mounted() == next_text
    config.write_text("nonsense\n", encoding="utf-8")
    refused = up(other_folder)
    assert refused.returncode == 1
    assert "the gateway refuses its new configuration" in refused.stderr
    assert mounted() == next_text
    assert up(ROOT).returncode == 0
    assert mounted() == text
    assert starts() == before


@pytest.mark.parametrize(
    ("service", "change", "sentence"),
    [
        ("migrate", {"command": ["sh", "-c", "echo half-way; exit 3"]}, "the step migrate failed"),
        ("api", {"environment": BROKEN}, "the new api does not become healthy"),
        ("worker", {"environment": BROKEN}, "the new worker does not become"),
        ("console", {"command": ["false"]}, "the new console does not become healthy"),
    ],
)
def test_release_that_does_not_work_is_taken_back(
    stack: Containers, tmp_path: Path, service: str, change: dict[str, Any], sentence: str
) -> None:
    """The old containers answer meanwhile and afterwards, also after a bare Compose command."""
    services = ("api", "worker", "console", "gateway")
    before = ids(stack, *services)
    changed = {name: {"labels": {"release": "broken"}} for name in ("api", "worker", "console")}
    changed[service] = changed.get(service, {}) | change
    url = f"{stack.layout.url('api')}/api/v1/nodes/hill-tank"
    with steady_traffic(url, stack.key) as traffic:
        broken = write_release(stack, tmp_path, services=changed)
        up = release(stack, EVARA_VERSION="broken", **broken)
    assert up.returncode == 1
    assert sentence in up.stderr
    assert "the old release keeps serving" in up.stderr
    assert traffic.failures == {}
    assert traffic.total > 20
    assert ids(stack, *services) == before
    stack.compose("up", "--detach", "--no-build", "--no-deps", *services)
    assert ids(stack, *services) == before
    log = (stack.layout.state / "compose" / "failed-release.log").read_text(encoding="utf-8")
    assert service in log


def test_release_starts_a_stopped_database(stack: Containers, tmp_path: Path) -> None:
    """A release that does not work is taken back then, too, but the database stays up."""
    before = ids(stack, "api", "worker", "postgres")
    subprocess.run(["docker", "stop", *ids(stack, "postgres")], check=True, capture_output=True)
    broken = write_release(stack, tmp_path, services={"api": {"environment": BROKEN}})
    up = release(stack, EVARA_VERSION="broken", **broken)
    assert up.returncode == 1
    assert "starting postgres, which does not run" in up.stdout
    assert "the old release keeps serving" in up.stderr
    assert ids(stack, "api", "worker", "postgres") == before
    assert stack.call("GET", "/api/v1/nodes/hill-tank").status_code == 200


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"networks": {"postgres": {"driver_opts": {"com.docker.network.driver.mtu": "1400"}}}},
            "(postgres has other options)",
        ),
        (
            {
                "services": {name: {"networks": {"other": {}}} for name in ("api", "valkey")},
                "networks": {"other": {}},
            },
            "(valkey is not in other yet)",
        ),
    ],
)
def test_release_that_changes_networks_is_refused(
    stack: Containers, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    """Before anything changes: Compose would stop containers, or new ones reach no server."""
    before = ids_by_service(stack)
    url = f"{stack.layout.url('api')}/api/v1/nodes/hill-tank"
    with steady_traffic(url, stack.key) as traffic:
        changed = write_release(stack, tmp_path, **changes)
        up = release(stack, EVARA_VERSION="broken", **changed)
    assert up.returncode == 1
    assert sentence in up.stderr
    assert "the old release keeps serving" in up.stderr
    assert "building" not in up.stdout
    assert traffic.failures == {}
    assert ids_by_service(stack) == before


def test_commands_on_what_runs_need_no_settings_of_the_next_release(
    stack: Containers, tmp_path: Path
) -> None:
    """A new release may require a variable that its `make up` has not written yet."""
    changes = {"api": {"environment": {"EVARA_NEXT": "${MAKE_UP_NEXT:?is missing}"}}}
    settings = write_release(stack, tmp_path, services=changes)
    checkout = replace(stack, environment=stack.environment | settings)
    assert "is missing" in checkout.shell("docker compose config").stderr
    assert checkout.run("status").returncode == 0
    assert checkout.run("logs", "api").stdout.strip()
    assert "container gateway" in checkout.run("doctor").stdout
    up = checkout.run("up", "--mode", "compose")
    assert up.returncode == 1
    assert "is missing" in up.stderr
    assert "the old release keeps serving" in up.stderr


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


def ids_by_service(stack: Containers) -> dict[str, set[str]]:
    """Return the ids of the containers of each service that keeps running."""
    ids: dict[str, set[str]] = {}
    for container in stack.containers():
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        if container["HostConfig"]["RestartPolicy"]["Name"] != "no":
            ids.setdefault(service, set()).add(container["Id"])
    return ids


def test_bare_commands_replace_no_container(stack: Containers) -> None:
    """A profile and another number of replicas leave the containers of `make up` as they are."""
    profiles = {
        name: value for name, value in stack.environment.items() if name != "COMPOSE_PROFILES"
    }
    bare = Containers(stack.layout, profiles)
    before = ids_by_service(stack)
    up = bare.shell("docker compose --profile backup up --detach --scale api=3")
    assert up.returncode == 0, up.stderr
    after = ids_by_service(stack)
    assert len(after["api"]) == 3
    assert after["api"] >= before.pop("api")
    del after["api"]
    assert after == before
    down = bare.shell("docker compose up --detach --scale api=2")
    assert down.returncode == 0, down.stderr


@pytest.mark.parametrize("command", RUNBOOK)
def test_commands_of_the_runbook_work(stack: Containers, command: str) -> None:
    """The commands of an alert's next steps run as they are written."""
    result = stack.shell(command)
    assert result.returncode == 0, result.stderr


def test_a_restore_removes_what_is_newer(stack: Containers, tmp_path: Path) -> None:
    """The data is that of the backup; the load run's key, which is registered again, works."""
    dump = tmp_path / "evara.dump"
    assert stack.shell(f"make backup FILE={dump}").returncode == 0
    assert dump.stat().st_mode & 0o777 == 0o600
    assert stack.call("POST", "/api/v1/nodes", json=NODE | {"id": "newer"}).status_code == 201
    restored = stack.shell(f"make restore FILE={dump}")
    assert restored.returncode == 0, restored.stderr
    # The gateway may take a replica out once more, until two checks have succeeded.
    assert eventually(lambda: stack.collect_statuses("/api/v1/nodes/newer") == {404})
    assert stack.collect_statuses("/api/v1/nodes/hill-tank") == {200}
    assert stack.sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'evara%'") == "1"


def test_a_failed_restore_changes_nothing(stack: Containers, tmp_path: Path) -> None:
    """It stops at the step that failed, says so, and the API answers with the present data."""
    stack.call("POST", "/api/v1/nodes", json=NODE)
    dump = tmp_path / "evara.dump"
    assert stack.shell(f"make backup FILE={dump}").returncode == 0
    cut = tmp_path / "cut.dump"
    cut.write_bytes(dump.read_bytes()[:-100])
    before = ids_by_service(stack)
    refused = stack.shell(f"make restore FILE={cut}; echo unreachable")
    assert refused.returncode == 2
    assert "unreachable" not in refused.stdout
    assert "failed at its step fill" in refused.stderr
    assert "the data is unchanged, and API and worker run" in refused.stderr
    # A migration that was applied already fails: the exchange is undone
    newest = stack.sql("SELECT version_num FROM alembic_version")
    stack.sql("UPDATE alembic_version SET version_num = '0001'")
    stack.shell(f"make backup FILE={dump}")
    stack.sql(f"UPDATE alembic_version SET version_num = '{newest}'")  # noqa: S608
    refused = stack.shell(f"make restore FILE={dump}")
    assert refused.returncode == 2
    assert "cannot be migrated" in refused.stderr
    assert "the data is unchanged, and API and worker run" in refused.stderr
    assert stack.sql("SELECT version_num FROM alembic_version") == newest
    assert eventually(lambda: stack.collect_statuses("/api/v1/nodes/kept") == {200})
    assert ids_by_service(stack) == before


@pytest.fixture
def written_files() -> Iterator[None]:
    """Remove the backups that documented commands write into the checkout."""

    def list_files() -> set[Path]:
        return {path for folder in (ROOT, ROOT / "backups") for path in folder.glob("*.dump*")}

    before = list_files()
    yield
    for path in list_files() - before:
        path.unlink()


@pytest.mark.usefixtures("written_files")
@pytest.mark.parametrize("section", [name for name in OPERATIONS if name not in ELSEWHERE])
def test_documented_operations_work(stack: Containers, section: str) -> None:
    """The commands of docs/operations.md run as they are written; what was stored is kept."""
    stack.call("POST", "/api/v1/nodes", json=NODE)
    for command in OPERATIONS[section]:
        result = stack.shell(command)
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    assert eventually(lambda: stack.collect_statuses("/api/v1/nodes/kept") == {200})
    assert eventually(lambda: stack.sql("SELECT count(*) FROM pg_stat_replication") == "1")
