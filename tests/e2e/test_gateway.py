"""The gateway: HAProxy with the shipped configuration in front of two gunicorns.

HAProxy resolves the replicas by DNS, as it does in compose.
"""

import json
import os
import re
import shutil
import signal
import socket
import socketserver
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from observability.lib.bound_process import bind
from observability.spec import names
from observability.spec.loading import load_plan
from tests.alerting import alerting
from tests.api.collector import Collector, Received, collecting
from tests.e2e.test_workers import free_port, responds, seed_database, until
from tests.e2e.wire import open_connection, read_statuses, send_flood
from tests.raised_alerts import RaisedAlerts
from tests.serving import serving

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "observability" / "devstack" / "compose" / "gateway" / "haproxy.cfg"
REPLICAS = ("127.0.0.2", "127.0.0.3")
NODES = "/api/v1/nodes"
PROBLEM = "application/problem+json"
LIMIT = 1 << 20
UNKNOWN_OUTCOME = (
    "; it is unknown whether the request was executed. fix: repeat it with the Idempotency-Key that"
    " it had; if it had none, read what is stored first."
)
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class DnsHandler(socketserver.BaseRequestHandler):
    """A handler that answers queries of type A with the server's addresses, as Docker's DNS."""

    server: "DnsServer"

    def handle(self) -> None:
        query, connection = self.request
        end = query.index(b"\0", 12) + 5
        wanted = self.server.addresses if query[end - 4 : end - 2] == b"\0\1" else ()
        records = [
            b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address) for address in wanted
        ]
        head = query[:2] + b"\x81\x80\0\1" + len(records).to_bytes(2, "big") + b"\0\0\0\0"
        connection.sendto(head + query[12:end] + b"".join(records), self.client_address)


class DnsServer(socketserver.ThreadingUDPServer):
    """A DNS server that resolves every name to the same addresses."""

    def __init__(self, addresses: Sequence[str]):
        super().__init__(("127.0.0.1", 0), DnsHandler)
        self.addresses = tuple(addresses)


class DroppingHandler(socketserver.StreamRequestHandler):
    """A replica that is ready, reads every other request, and closes without a response."""

    server: "DroppingServer"

    def handle(self) -> None:
        method, path, _ = self.rfile.readline().decode().split()
        fields: dict[str, list[str]] = {}
        while line := self.rfile.readline().strip().decode():
            name, _, value = line.partition(": ")
            fields.setdefault(name.lower(), []).append(value)
        self.rfile.read(int(fields.get("content-length", ["0"])[0]))
        if path.startswith("/health/"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            self.server.received.append((method, fields))


class DroppingServer(socketserver.ThreadingTCPServer):
    """A TCP server of DroppingHandler; `received` has method and headers of each request."""

    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], received: list[tuple[str, dict[str, list[str]]]]):
        super().__init__(address, DroppingHandler)
        self.received = received


@dataclass(frozen=True)
class Gateway:
    """A running HAProxy: its ports, its log and a client."""

    port: int
    metrics: int
    log: Path
    client: httpx.Client = field(repr=False)

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the access log so far."""
        return [
            json.loads(line)
            for line in self.log.read_text(encoding="utf-8").splitlines()
            if line.startswith("{")
        ]

    def log_line(self, request_id: str) -> dict[str, Any]:
        """Return the only log line with this request id, once it is written."""
        until(
            lambda: [line for line in self.log_lines() if line["request_id"] == request_id],
            10,
            f"a log line with id {request_id}",
        )
        [matching] = [line for line in self.log_lines() if line["request_id"] == request_id]
        return matching

    def samples_by_label(
        self, metric: str, label: str, proxy: str = names.GATEWAY
    ) -> dict[str, float]:
        """Return the samples of a metric of one proxy, by the value of a label."""
        text = httpx.get(f"http://127.0.0.1:{self.metrics}/metrics", timeout=20).text
        samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]
        return {
            s.labels.get(label, ""): s.value
            for s in samples
            if s.name == metric and s.labels.get(names.PROXY) == proxy
        }

    def connect(self, *parts: bytes, source: str = "127.0.0.1") -> socket.socket:
        """Return a connection to the gateway on which these bytes have been sent."""
        return open_connection(self.port, *parts, source=source)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ready_replicas(self) -> float:
        """Return the number of replicas that HAProxy considers ready."""
        return sum(
            self.samples_by_label(names.GATEWAY_SERVERS, names.STATE, proxy="ready").values()
        )


def find_haproxy() -> str:
    """Return the path of HAProxy; fail if it is not installed."""
    path = shutil.which("haproxy")
    assert path, "haproxy is missing; install it: sudo apt install haproxy"
    return path


@contextmanager
def run_gateway(
    folder: Path, addresses: Sequence[str], port: int, key: str = "", **settings: str
) -> Iterator[Gateway]:
    """Run HAProxy for the replicas at these addresses; yield it when all of them are ready."""
    listen, metrics, log = free_port(), free_port(), folder / f"haproxy-{time.monotonic_ns()}.log"
    with serving(DnsServer(addresses)) as resolver, log.open("w") as output:
        environment = os.environ | {
            "EVARA_GATEWAY_BIND": f"127.0.0.1:{listen}",
            "EVARA_GATEWAY_METRICS_BIND": f"127.0.0.1:{metrics}",
            "EVARA_GATEWAY_SOCKET": f"abns@gateway-{listen}",  # a path may be too long
            "EVARA_GATEWAY_API": f"api:{port}",
            "EVARA_GATEWAY_RESOLVER": f"127.0.0.1:{resolver.server_address[1]}",
        }
        command = [find_haproxy(), "-db", "-f", str(CONFIG)]
        process = subprocess.Popen(
            bind(command, "TERM"),
            env=environment | settings,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            with httpx.Client(
                base_url=f"http://127.0.0.1:{listen}", headers=headers, timeout=60
            ) as client:
                gateway = Gateway(listen, metrics, log, client)
                until(lambda: responds(f"http://127.0.0.1:{metrics}/metrics"), 20, "HAProxy")
                until(
                    lambda: gateway.ready_replicas() == len(addresses),
                    20,
                    f"{len(addresses)} ready replicas",
                )
                yield gateway
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Replicas:
    """Two gunicorns over one database, on one port of two addresses."""

    port: int
    key: str
    database: Path
    fault: Path
    environment: dict[str, str]
    log: Path
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self) -> None:
        """Start the replicas that do not run, and wait until both are ready."""
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--config",
            "api/gunicorn.conf.py",
            "api.app:create_app()",
        ]
        with self.log.open("a") as output:
            for address in set(REPLICAS) - self.processes.keys():
                environment = self.environment | {"EVARA_BIND": f"{address}:{self.port}"}
                self.processes[address] = subprocess.Popen(
                    bind(command, "TERM"),
                    cwd=ROOT,
                    env=environment,
                    stderr=output,
                    start_new_session=True,
                )
        for address in REPLICAS:
            until(
                lambda: responds(f"http://{address}:{self.port}/health/ready"),  # noqa: B023
                60,
                "a ready replica",
            )

    def kill(self, address: str) -> None:
        """Kill a replica's master and workers at once, as when its container is killed."""
        process = self.processes.pop(address)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the JSON lines that the replicas have logged so far."""
        return [
            json.loads(line)
            for line in self.log.read_text(encoding="utf-8").splitlines()
            if line.startswith("{")
        ]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Replicas]:
    """Yield two running replicas; a test that kills one starts it again."""
    folder = tmp_path_factory.mktemp("replicas")
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EVARA_", "PROMETHEUS_"))
    }
    environment = inherited | {
        "EVARA_DATABASE_URL": f"sqlite:///{folder}/evara.db",
        "EVARA_LIMITER_URL": f"sqlite:///{folder}/limits.db",
        "EVARA_WORKERS": "1",
        "EVARA_PROXY_HOPS": "1",
        "EVARA_FAULTS_FILE": f"{folder}/fault.json",
    }
    key = seed_database(environment)
    environment |= {"EVARA_OTLP_ENDPOINT": collector.url}
    running = Replicas(
        free_port(),
        key,
        folder / "evara.db",
        folder / "fault.json",
        environment,
        folder / "api.log",
    )
    try:
        running.start()
        yield running
    finally:
        for address in list(running.processes):
            running.kill(address)


@pytest.fixture(scope="module")
def gateway(replicas: Replicas, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with run_gateway(
        tmp_path_factory.mktemp("gateway"), REPLICAS, replicas.port, replicas.key
    ) as running:
        yield running


def require_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Return the body; fail if it is not a complete problem document of this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == PROBLEM
    body: dict[str, Any] = answer.json()
    assert body.keys() >= {"type", "title", "status", "detail", "request_id"}
    assert body["status"] == status
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in answer.headers
    return body


def send_raw(gateway: Gateway, *lines: str, body: bytes = b"") -> httpx.Response:
    """Return the response to raw bytes, even if it comes before all of them are sent."""
    with gateway.connect() as connection:
        return exchange(connection, *lines, body=body)


def exchange(connection: socket.socket, *lines: str, body: bytes = b"") -> httpx.Response:
    """Send raw bytes on a connection and return the response."""
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    with suppress(OSError):  # the gateway has responded and closed the connection
        connection.sendall(body)
    return read_response(connection)


def read_response(connection: socket.socket) -> httpx.Response:
    """Return the response with a Content-Length that comes next on a connection."""
    received = b""
    while b"\r\n\r\n" not in received and (more := connection.recv(65536)):
        received += more
    head, _, content = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    length = int(httpx.Headers(fields)["Content-Length"])
    while len(content) < length and (more := connection.recv(65536)):
        content += more
    return httpx.Response(int(status[9:12]), headers=fields, content=content[:length])


def post_raw(gateway: Gateway, *lines: str, body: bytes = b"") -> httpx.Response:
    """Return the response to a POST of a node with these header lines and this body."""
    head = (f"POST {NODES} HTTP/1.1", "Host: x", "Content-Type: application/json")
    return send_raw(
        gateway,
        *head,
        f"Authorization: {gateway.client.headers['Authorization']}",
        *lines,
        body=body,
    )


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a certificate with its key, in a folder of its own."""
    path = tmp_path_factory.mktemp("certificates") / "localhost.pem"
    options = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
        "-keyout",
        "-",
        "-out",
        "-",
    ]
    result = subprocess.run(
        ["openssl", *options, "-addext", "subjectAltName=IP:127.0.0.1"],
        capture_output=True,
        check=True,
    )
    path.write_bytes(result.stdout)
    return path


@pytest.mark.parametrize("tls", [False, True])
def test_haproxy_accepts_the_configuration(tls: bool, certificate: Path) -> None:
    """HAProxy checks the configuration without a warning, with and without certificates."""
    settings = {"EVARA_GATEWAY_CERTIFICATES": str(certificate.parent) if tls else ""}
    settings["EVARA_GATEWAY_API"] = "localhost:8000"  # a name that this machine resolves
    result = subprocess.run(
        [find_haproxy(), "-c", "-f", str(CONFIG)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        result.returncode,
        [line for line in result.stderr.splitlines() if "NOTICE" not in line],
    ) == (0, [])


@dataclass(frozen=True)
class SecureGateway:
    """A gateway that also serves TLS."""

    gateway: Gateway
    port: int
    certificate: Path

    def connect_tls(
        self, protocol: str = "http/1.1", maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ) -> ssl.SSLSocket:
        """Return a connection over TLS that offers this protocol."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.maximum_version = maximum
        context.set_alpn_protocols([protocol])
        return context.wrap_socket(
            socket.create_connection(("127.0.0.1", self.port), timeout=20),
            server_hostname="127.0.0.1",
        )


@pytest.fixture(scope="module")
def secure_gateway(
    replicas: Replicas, certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecureGateway]:
    """Yield a gateway with a certificate."""
    port = free_port()
    settings = {
        "EVARA_GATEWAY_CERTIFICATES": str(certificate.parent),
        "EVARA_GATEWAY_TLS_BIND": f"127.0.0.1:{port}",
    }
    folder = tmp_path_factory.mktemp("secure")
    with run_gateway(folder, REPLICAS, replicas.port, replicas.key, **settings) as gateway:
        yield SecureGateway(gateway, port, certificate)


def test_a_provided_certificate_enables_tls(secure_gateway: SecureGateway) -> None:
    """The API is served over TLS 1.2 and later with HTTP/2; only HTTPS responses set HSTS."""
    gateway = secure_gateway.gateway
    context = ssl.create_default_context(cafile=str(secure_gateway.certificate))
    answer = httpx.get(
        f"https://127.0.0.1:{secure_gateway.port}{NODES}",
        headers=gateway.client.headers,
        verify=context,
        timeout=60,
    )
    assert answer.status_code == 200
    assert "max-age=" in answer.headers["Strict-Transport-Security"]
    assert gateway.log_line(answer.headers["X-Request-ID"])["tls"] == "TLSv1.3"
    url = f"https://127.0.0.1:{secure_gateway.port}/health/live"
    options = ("--http2", "--cacert", str(secure_gateway.certificate), "--write-out")
    result = subprocess.run(
        [
            "curl",
            "--silent",
            "--output",
            "/dev/null",
            *options,
            "%{http_version} %{http_code}",
            url,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "2 200"
    plain = gateway.client.get(NODES)
    assert "Strict-Transport-Security" not in plain.headers
    assert gateway.log_line(plain.headers["X-Request-ID"])["tls"] == "-"
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with secure_gateway.connect_tls("h2", version) as connection:
            assert (connection.version(), connection.selected_alpn_protocol()) == (
                version.name.replace("_", "."),
                "h2",
            )
    assert "ssl-min-ver TLSv1.2" in CONFIG.read_text(
        encoding="utf-8"
    )  # OpenSSL itself refuses older versions, so no request can use one


def test_requests_are_spread_and_responses_reveal_no_server(gateway: Gateway) -> None:
    """Both replicas respond; the gateway neither repeats nor extends the API's headers."""
    responses = [gateway.client.get(NODES) for _ in range(20)]
    assert {answer.status_code for answer in responses} == {200}
    assert {
        gateway.log_line(answer.headers["X-Request-ID"])["server"] for answer in responses
    } == set(REPLICAS)
    once = [name for name, _ in responses[0].headers.multi_items()]
    assert len(once) == len(set(once))
    assert {
        "content-security-policy",
        "x-content-type-options",
        "referrer-policy",
        "permissions-policy",
    } <= set(once)
    assert not {"server", "via", "x-forwarded-for"} & set(once)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("GET /api/v1/nodes/main%20branch HTTP/1.1", "/api/v1/nodes/main branch"),
        ("GET /a%22/%5C/b?c HTTP/1.1", r"/a\"/\\/b"),
        ("GET /100% HTTP/1.1", "/100"),
        (f"GET /{'a' * 60_000} HTTP/1.1", f"/{'a' * 3_999}"),
        (f"{'A' * 60_000} / HTTP/1.1", "/"),
    ],
    ids=["decoded", "escaped", "malformed", "long", "long method"],
)
def test_paths_are_logged_as_they_are_searched(gateway: Gateway, line: str, path: str) -> None:
    """The text of a line has the path as people write it, so that Loki finds it."""
    request_id = f"path-{uuid.uuid4().hex}"
    send_raw(gateway, line, "Host: x", f"X-Request-ID: {request_id}")
    gateway.log_line(request_id)
    [logged] = [line for line in gateway.log.read_text().splitlines() if request_id in line]
    assert f'"path":"{path}","status"' in logged


@pytest.mark.parametrize(
    ("sent", "is_kept"),
    [("abcd-1234:x", True), ("evara_abcdefgh", False), ("short", False), ("a b c d e f", False)],
)
def test_request_id_is_the_same_in_response_and_logs(
    gateway: Gateway, replicas: Replicas, sent: str, is_kept: bool
) -> None:
    """A well-formed request id of the caller is used, any other is replaced.

    The response and both logs have the same id.
    """
    answer = gateway.client.get(f"{NODES}/main-branch", headers={"X-Request-ID": sent})
    used = answer.headers["X-Request-ID"]
    assert (used == sent) is is_kept
    assert is_kept or re.fullmatch(r"[0-9a-f]{32}", used)
    ours = gateway.log_line(used)
    [theirs] = [line for line in replicas.log_lines() if line["request_id"] == used]
    assert ours["trace_id"] == theirs["trace_id"] == answer.headers["traceresponse"].split("-")[1]


def test_repeated_request_id_headers_use_one_id(gateway: Gateway, replicas: Replicas) -> None:
    """The API, the response and the gateway's log use the same of two request ids."""
    pair = [("X-Request-ID", "first-0001"), ("X-Request-ID", "second-0002")]
    used = gateway.client.get("/health/live", headers=pair).headers["X-Request-ID"]
    assert used == gateway.log_line("second-0002")["request_id"]
    assert [
        line["request_id"]
        for line in replicas.log_lines()
        if line["request_id"].startswith(("first", "second"))
    ] == [used]


KEY = b"evara_ABCDEFGH12345678"


@pytest.mark.parametrize(
    "line",
    [
        KEY + b" / HTTP/1.1",
        b"GET /x" + KEY + b" HTTP/1.1",
        b"GET /evara%5FABCDEFGH12345678 HTTP/1.1",
        b"GET /evar%252561%25255FABCDEFGH12345678 HTTP/1.1",
        b"GET /%00/evara_ABCDEFGH12345678 HTTP/1.1",
    ],
)
def test_keys_in_any_form_are_not_logged(gateway: Gateway, line: bytes) -> None:
    """A key as the method, within a word of the path, after a NUL, or percent-encoded."""
    request_id = f"key-{uuid.uuid4().hex}"
    headers = f"\r\nHost: x\r\nX-Request-ID: {request_id}\r\n\r\n".encode()
    read_statuses([gateway.connect(line + headers)])
    logged = json.dumps(gateway.log_line(request_id))
    assert "[redacted]" in logged
    assert "ABCDEFGH12345678" not in logged


@pytest.mark.parametrize("secret", [b"K" + KEY, b"token:ABCDEFGH12345678"])
def test_request_id_with_a_secret_is_replaced(gateway: Gateway, secret: bytes) -> None:
    """The API applies the same rule."""
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Request-ID: " + secret + b"\r\n\r\n"
    with gateway.connect(request) as connection:
        answer = connection.recv(65_536)
    assert b"ABCDEFGH12345678" not in answer
    assert re.search(rb"(?i)x-request-id: [0-9a-f]{32}\r\n", answer)


def test_log_line_is_complete_and_redacted(gateway: Gateway) -> None:
    """A log line has a parsable time, durations and sizes, but no query string and no key."""
    request_id = "line-0001"
    target = b'/api/v1/nodes/"\\evara_ABCDEFGH12345678?token=hunter2'
    headers = b"Host: x\r\nX-Request-ID: line-0001\r\n\r\n"
    request = b"GET " + target + b" HTTP/1.1\r\n" + headers
    assert read_statuses([gateway.connect(request)]) == [b"401"]
    line = gateway.log_line(request_id)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["timestamp"])
    assert line["path"] == '/api/v1/nodes/"\\[redacted]'
    assert "hunter2" not in json.dumps(line)
    expected = {
        "level": "INFO",
        "service": "evara-gateway",
        "method": "GET",
        "status": 401,
        "backend": "ready",
        "client": "127.0.0.1",
    }
    assert line.items() >= expected.items()
    assert line["retries"] == "0"
    assert {
        type(line[key])
        for key in (
            "duration_ms",
            "read_ms",
            "queue_ms",
            "connect_ms",
            "response_ms",
            "bytes_in",
            "bytes_out",
        )
    } == {int}


def test_trace_of_the_caller_is_continued(gateway: Gateway, collector: Collector) -> None:
    """The spans of gateway, API and database follow the caller's; the response has the trace id."""
    answer = gateway.client.get(NODES, headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    assert answer.headers["traceresponse"].split("-")[1] == TRACE

    def spans_of_trace() -> list[Received]:
        return [span for span in collector.spans() if span.trace_id == TRACE]

    # The gateway's span ends last; those of the database may be exported before it.
    until(lambda: [span for span in spans_of_trace() if span.parent_id == SPAN], 20, "spans")
    spans = spans_of_trace()
    [edge] = [span for span in spans if span.resource["service.name"] == "gateway"]
    [server] = [span for span in spans if span.parent_id == edge.span_id]
    assert (edge.parent_id, edge.name, edge.attributes["http.response.status_code"]) == (
        SPAN,
        "GET /api/v1/nodes",
        200,
    )
    assert edge.seconds >= server.seconds
    assert any(span.parent_id == server.span_id and span.name == "SELECT" for span in spans)


@pytest.mark.parametrize(
    ("ratio", "sampled"), [("1", {"01"}), ("0", {"00"}), ("0.5", {"00", "01"})]
)
def test_new_traces_are_sampled_at_the_configured_ratio(
    replicas: Replicas, tmp_path: Path, ratio: str, sampled: set[str]
) -> None:
    """The gateway samples with the API's ratio; a malformed traceparent is ignored."""
    with run_gateway(tmp_path, REPLICAS, replicas.port, EVARA_TRACE_RATIO=ratio) as gateway:
        responses = [
            gateway.client.get("/health/live", headers={"traceparent": f"00-{TRACE}-{'0' * 16}-01"})
            for _ in range(60)
        ]
    parts = [answer.headers["traceresponse"].split("-") for answer in responses]
    assert {flags for *_, flags in parts} == sampled
    assert len({trace for _, trace, *_ in parts} - {TRACE}) == len(responses)


@dataclass(frozen=True)
class DroppingStack:
    """A gateway in front of two dropping replicas, and the requests that they received."""

    gateway: Gateway
    received: list[tuple[str, dict[str, list[str]]]]


@pytest.fixture
def dropping_stack(tmp_path: Path) -> Iterator[DroppingStack]:
    """Yield a gateway in front of two dropping replicas."""
    port, received = free_port(), []
    with ExitStack() as stack:
        for address in REPLICAS:
            stack.enter_context(serving(DroppingServer((address, port), received)))
        yield DroppingStack(stack.enter_context(run_gateway(tmp_path, REPLICAS, port)), received)


def test_forged_proxy_headers_are_replaced(dropping_stack: DroppingStack) -> None:
    """The gateway replaces all headers of the caller about address, scheme and gateway span."""
    forged = {
        "X-Forwarded-For": "203.0.113.7",
        "X_Forwarded_For": "203.0.113.8",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Prefix": "/evil",
        "X-Real-IP": "203.0.113.9",
        "Forwarded": "for=203.0.113.10",
        "X-Request-Start": "1",
        "X-Request-Parent": SPAN,
    }
    httpx.post(f"{dropping_stack.gateway.url}{NODES}", headers=forged)
    [(_, headers)] = dropping_stack.received
    [began], [trace], [used] = (
        headers.pop(name) for name in ("x-request-start", "traceparent", "x-request-id")
    )
    assert re.fullmatch(
        rf"00-{dropping_stack.gateway.log_line(used)['trace_id']}-(?!0+-)[0-9a-f]{{16}}-0[01]",
        trace,
    )
    assert 0 <= time.time() - int(began) / 1000 < 60
    forwarded = {
        name: values
        for name, values in headers.items()
        if name.startswith(("x-", "x_", "forwarded"))
    }
    assert forwarded == {"x-forwarded-for": ["127.0.0.1"], "x-forwarded-proto": ["http"]}


def test_api_receives_the_parent_span(dropping_stack: DroppingStack) -> None:
    """The caller's span is the parent of the gateway's span, which is the parent of the API's."""
    httpx.post(
        f"{dropping_stack.gateway.url}{NODES}",
        headers={"traceparent": f"00-{TRACE}-{SPAN}-00", "X-Request-Parent": "f" * 16},
    )
    [(_, headers)] = dropping_stack.received
    assert headers["x-request-parent"] == [SPAN]
    assert re.fullmatch(rf"00-{TRACE}-(?!{SPAN})[0-9a-f]{{16}}-00", *headers["traceparent"])


@pytest.mark.parametrize("method", ["TRACE", "BREW", "get"])
def test_405_lists_the_allowed_methods(gateway: Gateway, method: str) -> None:
    """Unknown methods and CONNECT are refused with 405 and `Allow`."""
    with gateway.connect(f"{method} {NODES} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) as connection:
        answer = connection.recv(4096)
    assert answer[9:12] == b"405"
    assert b"\r\nallow: GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE\r\n" in answer
    assert read_statuses(
        [gateway.connect(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")]
    ) == [b"405"]


def test_one_thread_writes_the_log(gateway: Gateway) -> None:
    """HAProxy discards a line when another thread is writing to stdout."""
    text = httpx.get(f"http://127.0.0.1:{gateway.metrics}/metrics", timeout=20).text
    assert "\nhaproxy_process_nbthread 1\n" in text


@pytest.mark.parametrize("path", ["/metrics", "/METRICS", "//metrics", "/%6detrics?name[]=up"])
def test_metrics_are_not_exposed(gateway: Gateway, path: str) -> None:
    """The gateway responds 404 to every spelling of /metrics."""
    body = require_problem(send_raw(gateway, f"GET {path} HTTP/1.1", "Host: x"), 404)
    assert gateway.log_line(body["request_id"])["backend"] == names.GATEWAY


def test_health_is_available_through_the_gateway(gateway: Gateway) -> None:
    """Liveness, readiness and health respond through the gateway, without details."""
    for path in ("/health/live", "/health/ready", "/health"):
        answer = gateway.client.get(path)
        assert answer.status_code == 200
        assert all(check.keys() == {"ok"} for check in answer.json()["checks"].values())


def encode_chunks(size: int, piece: int) -> bytes:
    """Return a chunked body of at most `size` bytes in chunks of `piece` bytes."""
    whole = b"%x\r\n%s\r\n" % (piece, b" " * piece)
    return whole * (size // piece) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("backend", "lines", "body"),
    [
        (names.GATEWAY, [f"Content-Length: {LIMIT + 1}"], b""),
        ("ready", ["Transfer-Encoding: chunked"], encode_chunks(LIMIT + 60_000, 60_000)),
        ("ready", ["Transfer-Encoding: chunked"], encode_chunks(LIMIT + 1000, 500)),
    ],
    ids=["by length", "large chunks", "small chunks"],
)
def test_413_for_bodies_above_the_limit(
    gateway: Gateway, backend: str, lines: list[str], body: bytes
) -> None:
    """The gateway responds 413 by Content-Length at once, or when a chunked body gets too large."""
    answer = require_problem(post_raw(gateway, *lines, body=body), 413)
    assert "1048576" in answer["detail"]
    line = gateway.log_line(answer["request_id"])
    assert (line["backend"], line["retries"]) == (backend, "0")
    assert line["response_ms"] == -1, "no replica has answered"


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_at_the_limit_reach_the_api(gateway: Gateway, chunked: bool) -> None:
    """A body of exactly the allowed size is forwarded, and the API rejects its contents."""
    size = LIMIT // 1000 * 1000 if chunked else LIMIT
    body = encode_chunks(size, 1000) if chunked else b" " * LIMIT
    answer = post_raw(
        gateway, "Transfer-Encoding: chunked" if chunked else f"Content-Length: {LIMIT}", body=body
    )
    assert answer.status_code in (400, 422)
    assert gateway.log_line(answer.headers["X-Request-ID"])["backend"] == "ready"


@pytest.mark.parametrize(
    ("status", "path", "headers"),
    [
        (414, "/" + "a" * 4000, {}),
        (414, "/" + "a" * 60_000, {}),
        (431, NODES, {f"x-{n}": "y" * 1700 for n in range(10)}),
        (431, NODES, {f"x-{n}": "y" for n in range(101)}),
        (431, NODES, {f"x-{n}": "" for n in range(4000)}),
        (431, NODES, {"x-large": "y" * 1_000_000}),
    ],
    ids=["url", "huge url", "large", "many", "thousands", "huge"],
)
def test_long_urls_and_large_headers_are_refused(
    gateway: Gateway, status: int, path: str, headers: dict[str, str]
) -> None:
    """414 for a long URL, and 431 for large headers or too many."""
    require_problem(gateway.client.get(path, headers=headers), status)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (NODES, {"x-large": "y" * 16_000}),
        (NODES, {f"x-{n}": "y" * 150 for n in range(94)}),
        (f"{NODES}/{'a' * 3_900}", {}),
    ],
    ids=["one header", "many headers", "url"],
)
def test_heads_of_the_documented_size_reach_the_api(
    gateway: Gateway, path: str, headers: dict[str, str]
) -> None:
    """The API accepts whatever the gateway forwards."""
    answer = gateway.client.get(path, headers=headers)
    assert answer.status_code in (200, 404), answer.text
    assert gateway.log_line(answer.headers["X-Request-ID"])["backend"] == "ready"


REPEATED_LENGTHS = {
    "equal": ["Content-Length: 5", "Content-Length: 5"],
    "different": ["Content-Length: 5", "Content-Length: 6"],
    "apart": ["content-length:5", "X: y", "CONTENT-LENGTH : 5"],
    "list": ["Content-Length: 5, 5"],
}
CHUNKS = b"4;x=y\r\nab\n\n\r\n10\r\nContent-Length: \r\n0\r\nContent-Length: 5\r\n\r\n"
EARLIER_REQUESTS = {
    "none": [],
    "get": [([], b"")],
    "empty": [(["Content-Length: 0"], b"")],
    "body": [(["Content-Length: 40"], b"\nContent-Length: 1\nContent-Length: 2\n   ")],
    "chunks": [(["Transfer-Encoding: chunked"], CHUNKS), ([], b"")],
}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("earlier", EARLIER_REQUESTS.values(), ids=EARLIER_REQUESTS)
@pytest.mark.parametrize("lines", REPEATED_LENGTHS.values(), ids=REPEATED_LENGTHS)
def test_400_for_two_content_lengths(
    secure_gateway: SecureGateway,
    lines: list[str],
    earlier: list[tuple[list[str], bytes]],
    tls: bool,
) -> None:
    """On any request of a connection; HAProxy itself forwards equal ones as one.

    The gateway closes the connection, and has logged the request.
    """
    connect = secure_gateway.connect_tls if tls else secure_gateway.gateway.connect
    with connect() as connection:
        for fields, body in earlier:
            before = (f"POST {NODES} HTTP/1.1", "Host: x", *fields)
            assert exchange(connection, *before, body=body).status_code == 401
        head = (f"POST {NODES} HTTP/1.1", "Host: x", *lines)
        answer = exchange(connection, *head, body=b"{}   ")
        detail = require_problem(answer, 400)["detail"]
        assert detail.startswith("The request has two Content-Length headers")
        assert connection.recv(1) == b""
    logged = secure_gateway.gateway.log_line(answer.headers["X-Request-ID"])
    assert (logged["backend"], logged["status"]) == (names.GATEWAY, 400)


def test_a_head_with_a_nul_is_refused_at_once(gateway: Gateway) -> None:
    """Not after the time that an incomplete head has."""
    assert read_statuses([gateway.connect(b"GET\0 / HTTP/1.1\r\n\r\n")]) == [b"400"]


def test_a_body_may_contain_headers(gateway: Gateway) -> None:
    """The gateway looks for repeated headers in the head alone."""
    body = b"\nContent-Length: 1\nContent-Length: 2\n"
    answer = post_raw(gateway, f"Content-Length: {len(body)}", body=body)
    assert "not valid JSON" in require_problem(answer, 400)["detail"]


@pytest.mark.parametrize(
    "path", ["/api/v1//nodes", "/api/v1/./nodes", "/%2f", "/health//live", "//x.example//%2e%2e/"]
)
def test_no_url_is_redirected_to_the_host_of_the_request(gateway: Gateway, path: str) -> None:
    """Unusual slashes give 404 as a problem document, whatever the Host."""
    answer = send_raw(gateway, f"GET {path} HTTP/1.1", "Host: evil.example")
    require_problem(answer, 404)
    assert "evil.example" not in f"{answer.headers} {answer.text}"


def test_slow_requests_time_out_without_blocking_others(gateway: Gateway) -> None:
    """80 incomplete requests end with 408 as problem documents; the API responds meanwhile.

    A connection without a request is closed.
    """
    head = b"POST /api/v1/nodes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    incomplete_requests = (
        [b"GET /api/v1/nodes HTTP/1.1\r\nHost: x\r\nX-Slow"] * 40,
        [head + b"Content-Length: 20\r\n\r\n{"] * 20,
        [head + b"Content-Length: 200000\r\n\r\n" + b" " * 100_000] * 10,
        [head + b"Transfer-Encoding: chunked\r\n\r\n186a0\r\n" + b" " * 50_000] * 10,
    )
    incomplete = [
        gateway.connect(incomplete_request, source="127.0.0.8")
        for kind in incomplete_requests
        for incomplete_request in kind
    ]
    silent = gateway.connect(source="127.0.0.8")
    assert {gateway.client.get(NODES).status_code for _ in range(20)} == {200}
    for connection in incomplete:
        with connection:
            answer = read_response(connection)
        assert (answer.status_code, answer.headers["Content-Type"]) == (408, PROBLEM)
        assert answer.json()["detail"] == "The request was not complete within 10 s."
    with silent:
        assert silent.recv(1) == b""


@pytest.mark.parametrize(
    ("line", "status"), [("Content-Length: 0", 400), ("Connection: close", 200)]
)
def test_a_slow_head_is_treated_like_others(gateway: Gateway, line: str, status: int) -> None:
    """One that arrives in two parts, seconds apart, delays no other request."""
    head = b"GET /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nX-Sl"
    with gateway.connect(head, source="127.0.0.8") as connection:
        resume = time.monotonic() + 2
        while time.monotonic() < resume:
            assert gateway.client.get(NODES).status_code == 200
        connection.sendall(f"ow: 1\r\n{line}\r\n\r\n".encode())
        assert read_response(connection).status_code == status


def test_429_for_one_flooding_address(gateway: Gateway) -> None:
    """Above 2000 requests in 10 s an address gets 429 with Retry-After; others are served."""
    with gateway.connect(source="127.0.0.9") as connection:
        head, body = send_flood(connection, 2100)
    assert head[:3] == b"429"
    assert b"\r\nretry-after: 10\r\n" in head
    assert json.loads(body)["status"] == 429
    assert gateway.client.get(NODES).status_code == 200


def test_ipv6_networks_share_a_limit(gateway: Gateway) -> None:
    """Above 2000 requests in 10 s a whole /64 gets 429; other networks are served."""

    def connect(address: str) -> socket.socket:
        """Return a connection to the gateway's own socket, as from this address."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(30)
        connection.connect(b"\0" + f"gateway-{gateway.port}".encode().ljust(107, b"\0"))
        connection.sendall(f"PROXY TCP6 {address} 2001:db8::1 1024 80\r\n".encode())
        return connection

    with connect("2001:db8:1::1") as connection:
        head, _ = send_flood(connection, 2100)
    assert head[:3] == b"429"
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    neighbours = [connect(f"2001:db8:1:{host}") for host in (":ffff", "1::1")]
    for neighbour in neighbours:
        neighbour.sendall(request)
    assert read_statuses(neighbours) == [b"429", b"200"]


def refused_connections(gateway: Gateway) -> float:
    """Return how many connections the gateway has refused."""
    return gateway.samples_by_label(names.GATEWAY_REFUSED, names.PROXY, proxy="door")["door"]


def is_refused(gateway: Gateway, source: str) -> bool:
    """Return whether a request on a new connection from this address gets no answer."""
    before = refused_connections(gateway)
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    try:
        with gateway.connect(request, source=source) as connection:
            answer = connection.recv(64)
    except ConnectionError:  # it may be reset while sending or receiving
        answer = b""
    assert bool(answer) == (refused_connections(gateway) == before)
    return not answer


def test_connections_per_address_are_limited(replicas: Replicas, tmp_path: Path) -> None:
    """Idle connections count, too; an address that closes one may open another."""
    with (
        run_gateway(tmp_path, REPLICAS, replicas.port, EVARA_GATEWAY_CONNECTIONS="10") as gateway,
        ExitStack() as stack,
    ):
        idle = [stack.enter_context(gateway.connect(source="127.0.0.8")) for _ in range(10)]
        assert is_refused(gateway, "127.0.0.8")
        assert not is_refused(gateway, "127.0.0.9")
        idle[0].close()
        until(lambda: not is_refused(gateway, "127.0.0.8"), 20, "another connection")


@pytest.mark.raises_alert("GatewayRefusesConnections")
def test_new_connections_per_address_are_limited(
    replicas: Replicas, tmp_path: Path, raised_alerts: RaisedAlerts
) -> None:
    """However short each of them is; other addresses are served, and an alert fires."""
    with (
        run_gateway(
            tmp_path, REPLICAS, replicas.port, EVARA_GATEWAY_CONNECTION_RATE="10"
        ) as gateway,
        alerting(load_plan(), tmp_path / "prometheus", {"gateway": gateway.metrics}) as prometheus,
    ):
        assert [is_refused(gateway, "127.0.0.8") for _ in range(11)] == [False] * 10 + [True]
        assert not is_refused(gateway, "127.0.0.9")
        assert not raised_alerts.are_firing(prometheus, "GatewayRefusesConnections")

        def is_firing_after_many() -> bool:
            """Open connections again: a Prometheus that pauses does not see all of them."""
            for _ in range(150):
                with suppress(ConnectionError):
                    gateway.connect(source="127.0.0.8").close()
            return raised_alerts.are_firing(prometheus, "GatewayRefusesConnections")

        until(is_firing_after_many)


def test_503_after_the_queue_timeout(replicas: Replicas, tmp_path: Path) -> None:
    """With every slot in use a request waits 5 s, then gets 503 with Retry-After.

    Each 503 is counted by the metric that the gateway's SLO reads.
    """
    with run_gateway(
        tmp_path, REPLICAS, replicas.port, replicas.key, EVARA_GATEWAY_SLOTS="1"
    ) as gateway:
        before = gateway.samples_by_label(names.GATEWAY_RESPONSES, names.CODE)
        fault = {"route": "nodes.list", "kind": "slow", "seconds": 2.0, "until": time.time() + 60}
        replicas.fault.write_text(json.dumps(fault), encoding="utf-8")
        try:
            with ThreadPoolExecutor(20) as pool:
                responses = list(pool.map(lambda _: gateway.client.get(NODES), range(20)))
        finally:
            replicas.fault.unlink()
        after = gateway.samples_by_label(names.GATEWAY_RESPONSES, names.CODE)
    refused = [answer for answer in responses if answer.status_code != 200]
    assert 0 < len(refused) < len(responses)
    for answer in refused:
        body = require_problem(answer, 503)
        assert answer.headers["Retry-After"] == "5"
        assert (
            gateway.log_line(body["request_id"])["ended"] == "sQ"
        )  # HAProxy's code for a timeout in the queue
    assert {code: after[code] - before[code] for code in ("2xx", "5xx")} == {
        "2xx": len(responses) - len(refused),
        "5xx": len(refused),
    }


def test_live_replicas_respond_when_none_is_ready(replicas: Replicas, gateway: Gateway) -> None:
    """When no replica is ready, requests go to live ones: health has details, /docs works."""
    connection = sqlite3.connect(replicas.database)
    [(revision,)] = connection.execute("SELECT version_num FROM alembic_version")
    connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.commit()
    try:
        until(lambda: gateway.ready_replicas() == 0, 20, "replicas that are not ready")
        answer = gateway.client.get("/health/ready")
        assert (answer.status_code, answer.json()["status"], answer.headers["Retry-After"]) == (
            503,
            "unavailable",
            "5",
        )
        assert gateway.client.get("/docs").status_code == 200
        assert gateway.log_line(answer.headers["X-Request-ID"])["backend"] == "living"
    finally:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.commit()
        connection.close()
    until(lambda: gateway.ready_replicas() == len(REPLICAS), 20, "ready replicas")


def test_504_says_that_the_outcome_is_unknown() -> None:
    """The text of a 502 is compared with an answer below; a 504 takes too long."""
    [error] = [line for line in CONFIG.read_text().splitlines() if "http-error status 504" in line]
    assert json.loads(error.partition("lf-string ")[2].strip("'"))["detail"].endswith(
        UNKNOWN_OUTCOME
    )


@pytest.mark.parametrize(
    ("method", "times"), [("GET", 4), ("POST", 1), ("PATCH", 1), ("DELETE", 1)]
)
def test_only_reads_are_retried(dropping_stack: DroppingStack, method: str, times: int) -> None:
    """When replicas drop every request, a GET is tried four times, a write once."""
    # on a new connection: on a reused one HAProxy 2.6 sends no response (3.2 does)
    body = require_problem(
        httpx.request(method, f"{dropping_stack.gateway.url}{NODES}", timeout=60), 502
    )
    assert body["detail"].endswith(UNKNOWN_OUTCOME)
    assert [received for received, _ in dropping_stack.received] == [method] * times
    assert dropping_stack.gateway.log_line(body["request_id"])["retries"].lstrip("+") == str(
        times - 1
    )


def test_503_with_retry_after_without_replicas(tmp_path: Path) -> None:
    """The gateway itself responds 503 with Retry-After to reads and writes."""
    with run_gateway(tmp_path, (), free_port()) as gateway:
        for method in ("GET", "POST"):
            answer = gateway.client.request(method, NODES)
            require_problem(answer, 503)
            assert answer.headers["Retry-After"] == "5"


def test_killed_replica_fails_only_requests_in_progress(
    replicas: Replicas, gateway: Gateway
) -> None:
    """SIGKILL under load fails only responses that had begun and at most one write.

    Without any replica the gateway responds 503.
    """
    stop = threading.Event()
    read: list[int] = []
    wrote: list[int] = []
    broken_reads: list[httpx.HTTPError] = []
    broken_writes: list[httpx.HTTPError] = []

    def send_reads() -> None:
        with httpx.Client(base_url=gateway.url, headers=gateway.client.headers, timeout=60) as http:
            while not stop.wait(0.005):
                try:
                    read.append(http.get(NODES).status_code)
                except httpx.RemoteProtocolError as error:
                    broken_reads.append(error)

    def send_writes() -> None:
        while not stop.wait(0.005):
            node_id = f"fire-{len(wrote) + len(broken_writes)}"
            node = {"id": node_id, "name": "Under fire", "kind": "flow_meter"}
            try:  # a new connection: a POST on a closed one is not retried
                answer = httpx.post(
                    f"{gateway.url}{NODES}", json=node, headers=gateway.client.headers, timeout=60
                )
            except httpx.RemoteProtocolError as error:
                broken_writes.append(error)
            else:
                wrote.append(answer.status_code)

    with ThreadPoolExecutor(5) as pool:
        work = [*(pool.submit(send_reads) for _ in range(4)), pool.submit(send_writes)]
        try:
            until(lambda: len(read) > 50 and len(wrote) > 5, 60, "answers")
            replicas.kill(REPLICAS[0])
            until(lambda: gateway.ready_replicas() == 1, 20, "one ready replica")
            count = len(read)
            until(lambda: len(read) > count + 50, 60, "responses of the remaining replica")
        finally:
            stop.set()
        for done in work:
            done.result()
    assert set(read) == {200}
    assert len(broken_reads) <= 4, "at most one response in progress per reader"
    for error in (*broken_reads, *broken_writes):
        assert "complete message body" in str(error)
    assert set(wrote) <= {201, 502}
    assert wrote.count(502) + len(broken_writes) <= 1, "at most one write in progress"
    replicas.kill(REPLICAS[1])
    require_problem(gateway.client.get(NODES), 503)
    replicas.start()
    until(lambda: gateway.ready_replicas() == len(REPLICAS), 20, "ready replicas")
    assert gateway.client.get(NODES).status_code == 200
