"""The compose stack on a real engine, with its own name, ports and secrets, while parts of it die.

Images that can neither be found nor pulled leave out their service, by name; without an engine or
one of the images that everything needs, the file is skipped.
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
from tests.e2e.conftest import Stack
from tests.e2e.waiting import eventually
from tests.e2e.wire import connected, flooded, statuses

OPTIONAL = (
    "loki",
    "fluent-bit",
    "grafana",
    "jaeger",
)  # in no distribution, so there may be no stand-in for their images
PULL_SECONDS = 60
MOST = 2_000  # requests until a limit of 60 a minute is met in each of six processes
NODE = {"id": "kept", "name": "Kept", "kind": "water_tank", "fields": {"field1": "level"}}


@dataclass(frozen=True)
class Containers(Stack):
    """A compose stack, the key of load runs, and what it does without."""

    key: str = ""
    without: list[str] = field(default_factory=list)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=10))

    @property
    def secrets(self) -> Path:
        return Path(self.environment["EVARA_SECRETS_DIR"])

    def compose(self, *words: str) -> str:
        asked = subprocess.run(
            ["docker", "compose", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert asked.returncode == 0, asked.stderr
        return asked.stdout

    def call(self, method: str, path: str, **words: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"} | words.pop("headers", {})
        return self.http.request(method, self.layout.url("api") + path, headers=headers, **words)

    def statuses(self, path: str) -> set[int]:
        """Return the statuses of requests that reach several replicas and workers.

        After an outage each process finds by itself that it is over.
        """
        return {self.call("GET", path).status_code for _ in range(20)}

    def needs(self, *services: str) -> None:
        """Skips, by name, what a stack without one of these cannot show."""
        if gone := sorted({*services} & {*self.without}):
            pytest.skip(f"{', '.join(gone)} left out: no registry here offers the image")

    def lines(self, **metadata: str) -> dict[str, str]:
        """Return one line of each program from the last minutes with this metadata."""
        asked = "".join(f' | {key}="{value}"' for key, value in metadata.items())
        stream = selector("", **{names.LOG_SERVICE: "evara-api"})
        found = Loki(self.layout.url("loki")).query_lines(stream + asked, time.time() - 300)
        return {labels[names.LOG_PROGRAM]: line for labels, line in found}

    def mails(self, *words: str) -> bool:
        """Whether a mail about all of these lies in the mailbox."""
        messages = httpx.get(f"{self.layout.url('mailpit')}/api/v1/messages", timeout=5).json()[
            "messages"
        ]
        return any(all(word in message["Subject"] for word in words) for message in messages)

    def containers(self, *services: str) -> list[dict[str, Any]]:
        """What the engine itself says of them."""
        ids = self.compose("ps", "--all", "--quiet", *services).split()
        return list(
            json.loads(
                subprocess.run(
                    ["docker", "inspect", *ids], capture_output=True, text=True, check=True
                ).stdout
            )
        )


def missing_images(services: dict[str, dict[str, Any]]) -> list[str]:
    """Services whose image is neither here nor to be had; our own are built."""
    built = {service["image"] for service in services.values() if "build" in service}
    pulled = {service["image"] for service in services.values()} - built
    gone = set()
    for image in pulled:
        if subprocess.run(
            ["docker", "image", "inspect", image], capture_output=True, check=False
        ).returncode:
            try:
                got = subprocess.run(
                    ["docker", "pull", "--quiet", image],
                    capture_output=True,
                    timeout=PULL_SECONDS,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                got = 1
            gone |= {image} if got else set()
    return sorted(name for name, service in services.items() if service["image"] in gone)


def left_out(services: dict[str, dict[str, Any]], without: list[str], folder: Path) -> Path:
    """Return an override that leaves services out: no profile in use starts them, no one waits."""
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
    """A stack that is up, and gone with its volumes afterwards."""
    fine, how = docker.find_engine()
    if not fine:
        pytest.skip(f"no compose stack here: {how}")
    folder = tmp_path_factory.mktemp("compose")
    ports = free_ports()
    settings = {
        "COMPOSE_PROJECT_NAME": f"evara-test-{os.getpid()}",
        "COMPOSE_FILE": "compose.yaml",
        "COMPOSE_PROFILES": "replica,backup",
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
    if needed := sorted(set(without) - set(OPTIONAL)):
        images = ", ".join(services[name]["image"] for name in needed)
        pytest.skip(f"images are missing and cannot be pulled: {images}")
    files = [
        "compose.yaml",
        "tests/e2e/compose.offline.yaml",
        str(left_out(services, without, folder)),
    ]
    environment = plain.environment | {"COMPOSE_FILE": ":".join(files)}
    made = Containers(plain.layout, environment, without=without)
    (folder / "secrets").mkdir()
    (folder / "secrets" / "deadman_url").write_text(
        "http://127.0.0.1:9/beat", encoding="utf-8"
    )  # Alertmanager takes the setting; nobody is there
    try:
        up = made.run("up", "--mode", "compose", timeout=1200)
        assert up.returncode == 0, up.stdout + up.stderr
        print(
            f"left out, because their images are not to be had: {', '.join(without) or 'nothing'}"
        )
        yield Containers(
            made.layout,
            environment,
            (folder / "secrets" / "load_key").read_text(encoding="utf-8"),
            without,
        )
    finally:
        made.run("clean")


def test_everything_is_up(stack: Containers) -> None:
    """Every container runs and is healthy, or has done what it had to.

    The commands know the stack.
    """
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


def test_a_request_goes_through_the_gateway(stack: Containers) -> None:
    """It comes back with its id, and the caller's own id is kept."""
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


def test_the_gateway_keeps_out_what_must_not_come_in(stack: Containers) -> None:
    """Metrics, other methods, bodies above the limit, and heads that never end.

    It answers by itself.
    """
    begun = b"POST /api/v1/nodes HTTP/1.1\r\nHost: x\r\n"
    sent = {
        b"404": b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"405": b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"413": begun + b"Content-Length: 1048577\r\n\r\n",
        b"408": begun + b"X-Slow",
    }
    assert statuses(
        [connected(stack.layout.ports["api"], request) for request in sent.values()]
    ) == [*sent]


def test_a_request_is_found_in_log_and_trace(stack: Containers) -> None:
    """By its id in the lines of gateway and API, and by its trace id in one trace.

    Gateway, API, and below it the database.
    """
    stack.needs("loki", "fluent-bit", "jaeger")
    trace, request = secrets.token_hex(16), f"followed-{secrets.token_hex(8)}"
    headers = {"X-Request-ID": request, "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
    assert stack.call("GET", "/api/v1/nodes/main-branch/live", headers=headers).status_code == 200
    assert eventually(lambda: stack.lines(request_id=request).keys() >= {"gateway", "api"})
    assert all(trace in line for line in stack.lines(request_id=request).values())

    def spans() -> dict[str, str]:
        """Operation → service, of the trace as far as it is there."""
        data = httpx.get(f"{stack.layout.url('jaeger')}/api/traces/{trace}", timeout=5).json()[
            "data"
        ]
        return {
            span["operationName"]: one["processes"][span["processID"]]["serviceName"]
            for one in data or ()
            for span in one["spans"]
        }

    assert eventually(
        lambda: (
            {"gateway", "evara-api"} <= set(spans().values())
            and {"SELECT", "GET"} <= spans().keys()
        )
    ), spans()


def test_lines_wait_for_loki(stack: Containers) -> None:
    """What is logged while Loki is away arrives when it is back."""
    stack.needs("loki", "fluent-bit")
    request = f"waiting-{secrets.token_hex(8)}"
    stack.compose("stop", "loki")
    assert stack.call("GET", "/api/v1/nodes", headers={"X-Request-ID": request}).status_code == 200
    stack.compose("start", "loki")
    assert eventually(lambda: stack.lines(request_id=request).keys() >= {"gateway", "api"})


def test_grafana_lets_in_who_has_the_password(stack: Containers) -> None:
    """Nobody without it.

    With the secret's, every board is there, and each source of data answers.
    """
    stack.needs("grafana")
    grafana = f"{stack.layout.url('grafana')}/api"
    assert httpx.get(f"{grafana}/search").status_code == 401
    password = (stack.secrets / "grafana_password").read_text(encoding="utf-8").strip()
    with httpx.Client(base_url=grafana, auth=("admin", password), timeout=10) as admin:
        found = {board["uid"] for board in admin.get("/search", params={"type": "dash-db"}).json()}
        assert found == {names.board_uid("evara-api", board.slug) for board in boards(load_plan())}
        for source in {"prometheus", "loki", "jaeger"} - {*stack.without}:
            health = admin.get(f"/datasources/uid/{source}/health")
            assert health.json()["status"] == "OK", f"{source}: {health.text}"


def test_everything_is_watched(stack: Containers) -> None:
    """Every target is scraped, every replica of its own; no rule fails; every SLO is measured."""
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


def test_only_the_gateway_listens_for_others(stack: Containers) -> None:
    """The engine's own word on who is published where."""
    hosts: dict[str, set[str]] = {}
    for container in stack.containers():
        bindings = [
            binding
            for found in container["HostConfig"]["PortBindings"].values()
            for binding in found
        ]
        hosts.setdefault(container["Config"]["Labels"]["com.docker.compose.service"], set()).update(
            b["HostIp"] for b in bindings
        )
    assert {name for name, found in hosts.items() if found - {"127.0.0.1"}} == {"gateway"}
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


def test_containers_may_little(stack: Containers) -> None:
    """What compose.yaml asks for is what the engine does.

    No root, no capability, no writing, bounded memory.
    """
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
    touched = subprocess.run(
        ["docker", "compose", "exec", "-T", "api", "touch", "/srv/evara/x"],
        cwd=ROOT,
        env=stack.environment,
        capture_output=True,
        check=False,
    )
    assert touched.returncode != 0


def test_an_alert_reaches_the_mailbox(stack: Containers) -> None:
    """A page is mailed, beside the inbox."""
    now = datetime.now(UTC).isoformat()
    alert = {
        "labels": {"alertname": "MailTest", "severity": "page", "owner": "platform"},
        "startsAt": now,
    }
    httpx.post(
        f"{stack.layout.url('alertmanager')}/api/v2/alerts", json=[alert], timeout=5
    ).raise_for_status()

    assert eventually(lambda: stack.mails("MailTest"))


def test_load_is_measured_on_both_sides(stack: Containers) -> None:
    """`load` and `slo` work against containers as they do natively; no answer fails."""
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


def test_without_valkey_requests_are_answered_and_limited(stack: Containers) -> None:
    """Each process counts by itself meanwhile, which is counted too, and the API stays ready."""
    prometheus, counted = (
        Prometheus(stack.layout.url("prometheus")),
        f"sum({names.LIMITER_FALLBACKS}_total)",
    )
    [(_, before)] = prometheus.query(counted)
    stack.compose("stop", "valkey")
    assert stack.statuses("/api/v1/nodes/hill-tank") == {200}
    assert stack.statuses("/health/ready") == {200}
    strangers = (
        stack.http.post(f"{stack.layout.url('api')}/api/v1/keys") for _ in range(MOST)
    )  # the key of load runs has no limit
    assert any(
        answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0 for answer in strangers
    )
    assert eventually(lambda: prometheus.query(counted)[0][1] > before)
    stack.compose("start", "valkey")


def test_a_replica_that_is_killed_is_not_noticed(stack: Containers) -> None:
    """Three replicas under load.

    One is killed, and not one GET fails, save an answer that had begun
    (docs/adr/0019-gateway.md).
    """
    stack.compose("up", "--detach", "--no-recreate", "--scale", "api=3", "api")
    prometheus = Prometheus(stack.layout.url("prometheus"))
    assert eventually(
        lambda: (
            sum(t["scrapePool"] == "api" and t["health"] == "up" for t in prometheus.targets()) == 4
        )
    )
    stop, statuses, broken = threading.Event(), list[int](), list[httpx.RemoteProtocolError]()

    def ask() -> None:
        while not stop.is_set():
            try:
                statuses.append(stack.call("GET", "/api/v1/nodes/hill-tank").status_code)
            except httpx.RemoteProtocolError as error:
                broken.append(error)
            time.sleep(0.02)  # 200 a second from one address is what the gateway lets through

    with ThreadPoolExecutor(4) as clients:
        asked = [clients.submit(ask) for _ in range(4)]
        assert eventually(lambda: len(statuses) > 100)
        [victim, *_] = stack.containers("api")
        subprocess.run(["docker", "kill", victim["Id"]], check=True, capture_output=True)
        after = len(statuses)
        assert eventually(lambda: len(statuses) > after + 300)
        stop.set()
        for one in asked:
            one.result()
    assert set(statuses) == {200}, (
        f"{sum(status != 200 for status in statuses)} of {len(statuses)} failed"
    )
    assert len(broken) <= 4, "each client at most the one that was being answered"
    subprocess.run(["docker", "start", victim["Id"]], check=True, capture_output=True)


def test_without_its_database_the_api_says_so_and_comes_back(stack: Containers) -> None:
    """503 with Retry-After while PostgreSQL is away; nobody has to do anything but start it."""
    stack.compose("stop", "postgres")
    assert eventually(lambda: stack.call("GET", "/health/ready").status_code == 503)
    refused = stack.call("GET", "/api/v1/nodes/hill-tank")
    assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (503, True)
    assert stack.call("GET", "/health/live").status_code == 200
    assert eventually(lambda: stack.mails("FIRING", "DatabaseDown"))
    stack.compose("start", "postgres")
    assert eventually(lambda: stack.statuses("/health/ready") == {200})
    assert eventually(lambda: stack.statuses("/api/v1/nodes/hill-tank") == {200})


def test_a_flood_is_refused(stack: Containers) -> None:
    """Above the rate of one address it is told to wait; later it is let in again."""
    with connected(stack.layout.ports["api"]) as connection:
        head, _ = flooded(connection, 2100)
    assert head[:3] == b"429"
    assert eventually(lambda: stack.call("GET", "/health/live").status_code == 200)


def test_the_mailbox_is_told_that_it_is_over(stack: Containers) -> None:
    """The page about the database is resolved by itself."""
    assert eventually(lambda: stack.mails("RESOLVED", "DatabaseDown"))


def test_data_survives_down_and_up(stack: Containers) -> None:
    """Containers go and come; nodes, silences, and what Prometheus knows, stay."""
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
