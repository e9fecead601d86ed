"""The gateway.

A real HAProxy with the shipped configuration before two real gunicorns, which it finds by DNS as it
does in compose.
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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from observability.spec import names
from tests.api.collector import Collector, collecting
from tests.e2e.test_workers import answers, free_port, seeded, until
from tests.e2e.wire import connected, flooded, statuses
from tests.serving import serving

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "observability" / "devstack" / "compose" / "haproxy.cfg"
REPLICAS = ("127.0.0.2", "127.0.0.3")
NODES = "/api/v1/nodes"
PROBLEM = "application/problem+json"
LIMIT = 1 << 20
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Answering(socketserver.BaseRequestHandler):
    """Gives every question of type A the server's addresses, as Docker's DNS does for a service."""

    server: "Names"

    def handle(self) -> None:
        query, connection = self.request
        end = query.index(b"\0", 12) + 5
        wanted = self.server.addresses if query[end - 4 : end - 2] == b"\0\1" else ()
        records = [
            b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address) for address in wanted
        ]
        head = query[:2] + b"\x81\x80\0\1" + len(records).to_bytes(2, "big") + b"\0\0\0\0"
        connection.sendto(head + query[12:end] + b"".join(records), self.client_address)


class Names(socketserver.ThreadingUDPServer):
    """A name server that knows one service."""

    def __init__(self, addresses: Sequence[str]):
        super().__init__(("127.0.0.1", 0), Answering)
        self.addresses = tuple(addresses)


class Losing(socketserver.StreamRequestHandler):
    """A replica that is ready, reads every other request, and closes without a response."""

    server: "Lossy"

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
            self.server.taken.append((method, fields))


class Lossy(socketserver.ThreadingTCPServer):
    """`taken` has the method and the header fields of each request."""

    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], taken: list[tuple[str, dict[str, list[str]]]]):
        super().__init__(address, Losing)
        self.taken = taken


@dataclass(frozen=True)
class Gateway:
    """A running HAProxy: where it answers and counts, and what it wrote."""

    port: int
    metrics: int
    log: Path
    client: httpx.Client = field(repr=False)

    def lines(self) -> list[dict[str, Any]]:
        """Its access log so far."""
        return [
            json.loads(line)
            for line in self.log.read_text(encoding="utf-8").splitlines()
            if line.startswith("{")
        ]

    def line(self, request_id: str) -> dict[str, Any]:
        until(
            lambda: [line for line in self.lines() if line["request_id"] == request_id],
            10,
            f"a line about {request_id}",
        )
        [found] = [line for line in self.lines() if line["request_id"] == request_id]
        return found

    def counted(self, metric: str, label: str, proxy: str = names.GATEWAY) -> dict[str, float]:
        """The samples of one metric of one proxy, by a label."""
        text = httpx.get(f"http://127.0.0.1:{self.metrics}/metrics", timeout=20).text
        samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]
        return {
            s.labels.get(label, ""): s.value
            for s in samples
            if s.name == metric and s.labels.get(names.PROXY) == proxy
        }

    def raw(self, *parts: bytes, source: str = "127.0.0.1") -> socket.socket:
        return connected(self.port, *parts, source=source)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ready(self) -> float:
        """How many replicas it finds ready."""
        return sum(self.counted(names.GATEWAY_SERVERS, names.STATE, proxy="ready").values())


def haproxy() -> str:
    found = shutil.which("haproxy")
    assert found, "haproxy is missing; install it: sudo apt install haproxy"
    return found


@contextmanager
def fronting(
    folder: Path, addresses: Sequence[str], port: int, key: str = "", **settings: str
) -> Iterator[Gateway]:
    """HAProxy before the replicas at these addresses, once it has found as many to be ready."""
    listen, metrics, log = free_port(), free_port(), folder / f"haproxy-{time.monotonic_ns()}.log"
    with serving(Names(addresses)) as resolver, log.open("w") as output:
        environment = os.environ | {
            "EVARA_GATEWAY_BIND": f"127.0.0.1:{listen}",
            "EVARA_GATEWAY_METRICS_BIND": f"127.0.0.1:{metrics}",
            "EVARA_GATEWAY_API": f"api:{port}",
            "EVARA_GATEWAY_RESOLVER": f"127.0.0.1:{resolver.server_address[1]}",
        }
        command = [haproxy(), "-db", "-f", str(CONFIG)]
        process = subprocess.Popen(
            command, env=environment | settings, stdout=output, stderr=subprocess.STDOUT
        )
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            with httpx.Client(
                base_url=f"http://127.0.0.1:{listen}", headers=headers, timeout=60
            ) as client:
                made = Gateway(listen, metrics, log, client)
                until(lambda: answers(f"http://127.0.0.1:{metrics}/metrics"), 20, "HAProxy")
                until(
                    lambda: made.ready() == len(addresses), 20, f"{len(addresses)} ready replicas"
                )
                yield made
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
        """Those that do not run; ready afterwards."""
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
                    command, cwd=ROOT, env=environment, stderr=output, start_new_session=True
                )
        for address in REPLICAS:
            until(
                lambda: answers(f"http://{address}:{self.port}/health/ready"),  # noqa: B023
                60,
                "a ready replica",
            )

    def kill(self, address: str) -> None:
        """As when its container is killed: master and workers at once."""
        process = self.processes.pop(address)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def lines(self) -> list[dict[str, Any]]:
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
    """Two that run; a test that kills some starts them again."""
    folder = tmp_path_factory.mktemp("replicas")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EVARA_", "PROMETHEUS_"))
    }
    environment = kept | {
        "EVARA_DATABASE_URL": f"sqlite:///{folder}/evara.db",
        "EVARA_LIMITER_URL": f"sqlite:///{folder}/limits.db",
        "EVARA_WORKERS": "1",
        "EVARA_PROXY_HOPS": "1",
        "EVARA_FAULTS_FILE": f"{folder}/fault.json",
    }
    key = seeded(environment)
    environment |= {"EVARA_OTLP_ENDPOINT": collector.url}
    made = Replicas(
        free_port(),
        key,
        folder / "evara.db",
        folder / "fault.json",
        environment,
        folder / "api.log",
    )
    try:
        made.start()
        yield made
    finally:
        for address in list(made.processes):
            made.kill(address)


@pytest.fixture(scope="module")
def gateway(replicas: Replicas, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with fronting(
        tmp_path_factory.mktemp("gateway"), REPLICAS, replicas.port, replicas.key
    ) as made:
        yield made


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Return the body, which must be a complete problem document of this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == PROBLEM
    body: dict[str, Any] = answer.json()
    assert body.keys() >= {"type", "title", "status", "detail", "request_id"}
    assert body["status"] == status
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in answer.headers
    return body


def request(gateway: Gateway, *lines: str, body: bytes = b"") -> httpx.Response:
    """Return the response to raw bytes, even if it comes before all of them are sent."""
    with gateway.raw("\r\n".join([*lines, "", ""]).encode()) as connection:
        with suppress(OSError):  # it has answered and closed
            connection.sendall(body)
        answer = b""
        while b"}" not in answer and (more := connection.recv(65536)):
            answer += more
    head, _, content = answer.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return httpx.Response(
        int(head[9:12]), headers=fields, content=content[: int(fields["content-length"])]
    )


def post(gateway: Gateway, *lines: str, body: bytes = b"") -> httpx.Response:
    head = (f"POST {NODES} HTTP/1.1", "Host: x", "Content-Type: application/json")
    return request(
        gateway,
        *head,
        f"Authorization: {gateway.client.headers['Authorization']}",
        *lines,
        body=body,
    )


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key, in a folder of its own, as a user drops it in."""
    path = tmp_path_factory.mktemp("certificates") / "localhost.pem"
    words = [
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
    made = subprocess.run(
        ["openssl", *words, "-addext", "subjectAltName=IP:127.0.0.1"],
        capture_output=True,
        check=True,
    )
    path.write_bytes(made.stdout)
    return path


@pytest.mark.parametrize("tls", [False, True])
def test_haproxy_accepts_the_configuration(tls: bool, certificate: Path) -> None:
    """Without a word of warning, with certificates and without."""
    settings = {"EVARA_GATEWAY_CERTIFICATES": str(certificate.parent) if tls else ""}
    result = subprocess.run(
        [haproxy(), "-c", "-f", str(CONFIG)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        result.returncode,
        [line for line in result.stderr.splitlines() if "NOTICE" not in line],
    ) == (0, [])


def test_a_certificate_that_was_dropped_in_is_served(
    replicas: Replicas, certificate: Path, tmp_path: Path
) -> None:
    """The same API over TLS 1.2 and later, HTTP/2 too.

    Callers are told to stay with it, on plain HTTP they are not.
    """
    port = free_port()
    settings = {
        "EVARA_GATEWAY_CERTIFICATES": str(certificate.parent),
        "EVARA_GATEWAY_TLS_BIND": f"127.0.0.1:{port}",
    }
    trusting = ssl.create_default_context(cafile=str(certificate))

    def greeting(most: ssl.TLSVersion) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(certificate))
        context.maximum_version = most
        context.set_alpn_protocols(["h2"])
        return context.wrap_socket(
            socket.create_connection(("127.0.0.1", port), timeout=20), server_hostname="127.0.0.1"
        )

    with fronting(tmp_path, REPLICAS, replicas.port, replicas.key, **settings) as made:
        answer = httpx.get(
            f"https://127.0.0.1:{port}{NODES}",
            headers=made.client.headers,
            verify=trusting,
            timeout=60,
        )
        assert answer.status_code == 200
        assert "max-age=" in answer.headers["Strict-Transport-Security"]
        assert made.line(answer.headers["X-Request-ID"])["tls"] == "TLSv1.3"
        assert "Strict-Transport-Security" not in made.client.get(NODES).headers
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with greeting(version) as connection:
                assert (connection.version(), connection.selected_alpn_protocol()) == (
                    version.name.replace("_", "."),
                    "h2",
                )
    assert "ssl-min-ver TLSv1.2" in CONFIG.read_text(
        encoding="utf-8"
    )  # its library refuses older ones, too, so none can be tried


def test_both_replicas_answer_and_nothing_says_what_they_are(gateway: Gateway) -> None:
    """Requests are spread, and the gateway neither repeats nor extends the API's headers."""
    found = [gateway.client.get(NODES) for _ in range(20)]
    assert {answer.status_code for answer in found} == {200}
    assert {gateway.line(answer.headers["X-Request-ID"])["server"] for answer in found} == set(
        REPLICAS
    )
    once = [name for name, _ in found[0].headers.multi_items()]
    assert len(once) == len(set(once))
    assert {
        "content-security-policy",
        "x-content-type-options",
        "referrer-policy",
        "permissions-policy",
    } <= set(once)
    assert not {"server", "via", "x-forwarded-for"} & set(once)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abcd-1234:x", True), ("evara_abcdefgh", False), ("short", False), ("a b c d e f", False)],
)
def test_ids_are_the_same_everywhere(
    gateway: Gateway, replicas: Replicas, given: str, kept: bool
) -> None:
    """A well-formed id of the caller is kept, any other replaced.

    Answer, both logs and the caller know the request by one.
    """
    answer = gateway.client.get(f"{NODES}/main-branch", headers={"X-Request-ID": given})
    used = answer.headers["X-Request-ID"]
    assert (used == given) is kept
    assert kept or re.fullmatch(r"[0-9a-f]{32}", used)
    ours = gateway.line(used)
    [theirs] = [line for line in replicas.lines() if line["request_id"] == used]
    assert ours["trace_id"] == theirs["trace_id"] == answer.headers["traceresponse"].split("-")[1]


def test_of_two_ids_one_is_used(gateway: Gateway, replicas: Replicas) -> None:
    """The API does not get one while answer and log name another."""
    pair = [("X-Request-ID", "first-0001"), ("X-Request-ID", "second-0002")]
    used = gateway.client.get("/health/live", headers=pair).headers["X-Request-ID"]
    assert used == gateway.line("second-0002")["request_id"]
    assert [
        line["request_id"]
        for line in replicas.lines()
        if line["request_id"].startswith(("first", "second"))
    ] == [used]


def test_the_log_line_is_whole(gateway: Gateway) -> None:
    """A log line has a parsable time, durations and bytes; no query, no key; quotes are escaped."""
    marked = "line-0001"
    target = b'/api/v1/nodes/"\\evara_ABCDEFGH12345678?token=hunter2'
    headers = b"Host: x\r\nX-Request-ID: line-0001\r\n\r\n"
    request = b"GET " + target + b" HTTP/1.1\r\n" + headers
    assert statuses([gateway.raw(request)]) == [b"401"]
    line = gateway.line(marked)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["timestamp"])
    assert line["path"] == '/api/v1/nodes/"\\[redacted]'
    assert "hunter2" not in json.dumps(line)
    wanted = {
        "level": "INFO",
        "service": "evara-gateway",
        "method": "GET",
        "status": 401,
        "backend": "ready",
        "client": "127.0.0.1",
    }
    assert line.items() >= wanted.items()
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


def test_a_callers_trace_is_continued(gateway: Gateway, collector: Collector) -> None:
    """The collector has caller → gateway → API → database, and the answer names the trace."""
    answer = gateway.client.get(NODES, headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    assert answer.headers["traceresponse"].split("-")[1] == TRACE
    until(
        lambda: len([span for span in collector.spans() if span.trace_id == TRACE]) >= 3,
        20,
        "spans",
    )
    spans = [span for span in collector.spans() if span.trace_id == TRACE]
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
def test_a_trace_that_begins_here_is_sampled_as_the_ratio_says(
    replicas: Replicas, tmp_path: Path, ratio: str, sampled: set[str]
) -> None:
    """The gateway decides with the API's own ratio, and the API keeps to it.

    An ill-formed traceparent is none.
    """
    with fronting(tmp_path, REPLICAS, replicas.port, EVARA_TRACE_RATIO=ratio) as gateway:
        found = [
            gateway.client.get("/health/live", headers={"traceparent": f"00-{TRACE}-{'0' * 16}-01"})
            for _ in range(60)
        ]
    parts = [answer.headers["traceresponse"].split("-") for answer in found]
    assert {flags for *_, flags in parts} == sampled
    assert len({trace for _, trace, *_ in parts} - {TRACE}) == len(found)


@dataclass(frozen=True)
class Lost:
    """A gateway before two lossy replicas, and what they took."""

    gateway: Gateway
    taken: list[tuple[str, dict[str, list[str]]]]


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[Lost]:
    port, taken = free_port(), []
    with ExitStack() as stack:
        for address in REPLICAS:
            stack.enter_context(serving(Lossy((address, port), taken)))
        yield Lost(stack.enter_context(fronting(tmp_path, REPLICAS, port)), taken)


def test_the_api_sees_the_caller_and_no_forgery(lost: Lost) -> None:
    """What callers say about addresses, the scheme and the gateway's span is dropped.

    Each thing is said once, by the gateway.
    """
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
    httpx.post(f"{lost.gateway.url}{NODES}", headers=forged)
    [(_, seen)] = lost.taken
    [began], [trace], [used] = (
        seen.pop(name) for name in ("x-request-start", "traceparent", "x-request-id")
    )
    assert re.fullmatch(
        rf"00-{lost.gateway.line(used)['trace_id']}-(?!0+-)[0-9a-f]{{16}}-0[01]", trace
    )
    assert 0 <= time.time() - int(began) / 1000 < 60
    told = {
        name: values for name, values in seen.items() if name.startswith(("x-", "x_", "forwarded"))
    }
    assert told == {"x-forwarded-for": ["127.0.0.1"], "x-forwarded-proto": ["http"]}


def test_the_api_is_told_whose_trace_it_continues(lost: Lost) -> None:
    """The caller's span is the gateway's parent, the gateway's the API's."""
    httpx.post(
        f"{lost.gateway.url}{NODES}",
        headers={"traceparent": f"00-{TRACE}-{SPAN}-00", "X-Request-Parent": "f" * 16},
    )
    [(_, seen)] = lost.taken
    assert seen["x-request-parent"] == [SPAN]
    assert re.fullmatch(rf"00-{TRACE}-(?!{SPAN})[0-9a-f]{{16}}-00", *seen["traceparent"])


@pytest.mark.parametrize("method", ["TRACE", "BREW", "get"])
def test_other_methods_are_refused(gateway: Gateway, method: str) -> None:
    """With those that there are; CONNECT is no way through either."""
    with gateway.raw(f"{method} {NODES} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) as connection:
        answer = connection.recv(4096)
    assert answer[9:12] == b"405"
    assert b"\r\nallow: GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE\r\n" in answer
    assert statuses(
        [gateway.raw(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")]
    ) == [b"405"]


@pytest.mark.parametrize("path", ["/metrics", "/METRICS", "//metrics", "/%6detrics?name[]=up"])
def test_metrics_are_not_for_callers(gateway: Gateway, path: str) -> None:
    """However they are spelled, the gateway answers itself."""
    body = problem(request(gateway, f"GET {path} HTTP/1.1", "Host: x"), 404)
    assert gateway.line(body["request_id"])["backend"] == names.GATEWAY


def test_health_is_asked_through_the_gateway(gateway: Gateway) -> None:
    """Whether it lives and is ready is for everybody.

    Details are for admins, as the API decides.
    """
    for path in ("/health/live", "/health/ready", "/health"):
        answer = gateway.client.get(path)
        assert answer.status_code == 200
        assert all(check.keys() == {"ok"} for check in answer.json()["checks"].values())


def chunks(size: int, piece: int) -> bytes:
    whole = b"%x\r\n%s\r\n" % (piece, b" " * piece)
    return whole * (size // piece) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ([f"Content-Length: {LIMIT + 1}"], b""),
        (["Transfer-Encoding: chunked"], chunks(LIMIT + 60_000, 60_000)),
        (["Transfer-Encoding: chunked"], chunks(LIMIT + 1000, 500)),
    ],
    ids=["by length", "large chunks", "small chunks"],
)
def test_a_body_that_is_too_large_reaches_no_replica(
    gateway: Gateway, lines: list[str], body: bytes
) -> None:
    """413 by the gateway, unread where the length says so, else as soon as so much has come."""
    answer = problem(post(gateway, *lines, body=body), 413)
    assert "1048576" in answer["detail"]
    assert gateway.line(answer["request_id"])["backend"] == names.GATEWAY


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_the_limit_reaches_the_api(gateway: Gateway, chunked: bool) -> None:
    """The API itself refuses what is in it."""
    size = LIMIT // 1000 * 1000 if chunked else LIMIT
    body = chunks(size, 1000) if chunked else b" " * LIMIT
    answer = post(
        gateway, "Transfer-Encoding: chunked" if chunked else f"Content-Length: {LIMIT}", body=body
    )
    assert answer.status_code in (400, 422)
    assert gateway.line(answer.headers["X-Request-ID"])["backend"] == "ready"


@pytest.mark.parametrize(
    ("status", "path", "headers"),
    [(414, "/" + "a" * 4000, {}), (431, NODES, {f"x-{n}": "y" * 1700 for n in range(10)})],
)
def test_heads_without_end_are_refused(
    gateway: Gateway, status: int, path: str, headers: dict[str, str]
) -> None:
    """Long URLs and many headers cost the API nothing."""
    problem(gateway.client.get(path, headers=headers), status)


def test_slow_senders_hold_no_thread(gateway: Gateway) -> None:
    """40 half-sent heads and 40 half-sent bodies, small and large.

    The API answers meanwhile, and each of them ends with 408.
    """
    head = b"POST /api/v1/nodes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    halves = (
        [b"GET /api/v1/nodes HTTP/1.1\r\nHost: x\r\nX-Slow"] * 40,
        [head + b"Content-Length: 20\r\n\r\n{"] * 20,
        [head + b"Content-Length: 200000\r\n\r\n" + b" " * 100_000] * 10,
        [head + b"Transfer-Encoding: chunked\r\n\r\n186a0\r\n" + b" " * 50_000] * 10,
    )
    held = [gateway.raw(half, source="127.0.0.8") for kind in halves for half in kind]
    assert {gateway.client.get(NODES).status_code for _ in range(20)} == {200}
    assert statuses(held) == [b"408"] * len(held)


def test_a_flood_is_refused_and_is_one_callers(gateway: Gateway) -> None:
    """Above 2000 requests in 10 s an address is told to wait, before anything is done.

    Others do not notice.
    """
    with gateway.raw(source="127.0.0.9") as connection:
        head, body = flooded(connection, 2100)
    assert head[:3] == b"429"
    assert b"\r\nretry-after: 10\r\n" in head
    assert json.loads(body)["status"] == 429
    assert gateway.client.get(NODES).status_code == 200


def test_an_address_has_so_many_connections(replicas: Replicas, tmp_path: Path) -> None:
    """Beyond them it is not served; others are."""
    with (
        fronting(tmp_path, REPLICAS, replicas.port, EVARA_GATEWAY_CONNECTIONS="10") as gateway,
        ExitStack() as stack,
    ):
        for _ in range(10):
            stack.enter_context(
                gateway.raw(b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow", source="127.0.0.8")
            )
        until(
            lambda: (
                gateway.counted("haproxy_frontend_current_sessions", names.PROXY)[names.GATEWAY]
                == 10
            ),
            20,
            "ten of them",
        )
        with suppress(
            ConnectionError
        ):  # reset while we send or while we wait, or closed: as it comes
            assert (
                gateway.raw(
                    b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", source="127.0.0.8"
                ).recv(1)
                == b""
            )
        assert gateway.client.get("/health/live").status_code == 200


def test_a_queue_ends(replicas: Replicas, tmp_path: Path) -> None:
    """With every slot taken requests wait 5 s, then 503 with Retry-After.

    Each is counted as bad where the SLO of the edge looks.
    """
    with fronting(
        tmp_path, REPLICAS, replicas.port, replicas.key, EVARA_GATEWAY_SLOTS="1"
    ) as gateway:
        before = gateway.counted(names.GATEWAY_RESPONSES, names.CODE)
        fault = {"route": "nodes.list", "kind": "slow", "seconds": 2.0, "until": time.time() + 60}
        replicas.fault.write_text(json.dumps(fault), encoding="utf-8")
        try:
            with ThreadPoolExecutor(20) as pool:
                found = list(pool.map(lambda _: gateway.client.get(NODES), range(20)))
        finally:
            replicas.fault.unlink()
        after = gateway.counted(names.GATEWAY_RESPONSES, names.CODE)
    refused = [answer for answer in found if answer.status_code != 200]
    assert 0 < len(refused) < len(found)
    for answer in refused:
        body = problem(answer, 503)
        assert answer.headers["Retry-After"] == "5"
        assert (
            gateway.line(body["request_id"])["ended"] == "sQ"
        )  # the server's side was too late, in the queue
    assert {code: after[code] - before[code] for code in ("2xx", "5xx")} == {
        "2xx": len(found) - len(refused),
        "5xx": len(refused),
    }


def test_an_api_without_its_database_says_so_itself(replicas: Replicas, gateway: Gateway) -> None:
    """When no replica is ready those that live answer.

    Health in detail, and what needs no database still works.
    """
    connection = sqlite3.connect(replicas.database)
    [(revision,)] = connection.execute("SELECT version_num FROM alembic_version")
    connection.execute("UPDATE alembic_version SET version_num = 'elsewhere'")
    connection.commit()
    try:
        until(lambda: gateway.ready() == 0, 20, "replicas that are not ready")
        answer = gateway.client.get("/health/ready")
        assert (answer.status_code, answer.json()["status"], answer.headers["Retry-After"]) == (
            503,
            "unavailable",
            "5",
        )
        assert gateway.client.get("/docs").status_code == 200
        assert gateway.line(answer.headers["X-Request-ID"])["backend"] == "living"
    finally:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.commit()
        connection.close()
    until(lambda: gateway.ready() == len(REPLICAS), 20, "ready replicas")


@pytest.mark.parametrize(
    ("method", "times"), [("GET", 4), ("POST", 1), ("PATCH", 1), ("DELETE", 1)]
)
def test_what_was_sent_is_repeated_only_if_it_changes_nothing(
    lost: Lost, method: str, times: int
) -> None:
    """Replicas take each request and close without a word.

    A GET is tried four times, anything that may change something once.
    """
    # on a connection of its own: before one that was used, 2.6 gives no answer (3.2 does)
    body = problem(httpx.request(method, f"{lost.gateway.url}{NODES}", timeout=60), 502)
    assert [taken for taken, _ in lost.taken] == [method] * times
    assert lost.gateway.line(body["request_id"])["retries"].lstrip("+") == str(times - 1)


def test_without_a_replica_callers_are_told_when_to_come_again(tmp_path: Path) -> None:
    """A 503 of the gateway's own, whatever is asked."""
    with fronting(tmp_path, (), free_port()) as gateway:
        for method in ("GET", "POST"):
            answer = gateway.client.request(method, NODES)
            problem(answer, 503)
            assert answer.headers["Retry-After"] == "5"


def test_a_killed_replica_fails_nobody(replicas: Replicas, gateway: Gateway) -> None:
    """SIGKILL under load.

    No read fails but one whose answer had begun, no write but one that was under way; without
    any replica it is 503.
    """
    stop = threading.Event()
    read: list[int] = []
    wrote: list[int] = []
    broken_reads: list[httpx.HTTPError] = []
    broken_writes: list[httpx.HTTPError] = []

    def reading() -> None:
        with httpx.Client(base_url=gateway.url, headers=gateway.client.headers, timeout=60) as http:
            while not stop.wait(0.005):
                try:
                    read.append(http.get(NODES).status_code)
                except httpx.RemoteProtocolError as error:
                    broken_reads.append(error)

    def writing() -> None:
        while not stop.wait(0.005):
            node_id = f"fire-{len(wrote) + len(broken_writes)}"
            node = {"id": node_id, "name": "Under fire", "kind": "flow_meter"}
            try:  # a connection of its own: a POST on one that was closed would not be repeated
                answer = httpx.post(
                    f"{gateway.url}{NODES}", json=node, headers=gateway.client.headers, timeout=60
                )
            except httpx.RemoteProtocolError as error:
                broken_writes.append(error)
            else:
                wrote.append(answer.status_code)

    with ThreadPoolExecutor(5) as pool:
        work = [*(pool.submit(reading) for _ in range(4)), pool.submit(writing)]
        try:
            until(lambda: len(read) > 50 and len(wrote) > 5, 60, "answers")
            replicas.kill(REPLICAS[0])
            until(lambda: gateway.ready() == 1, 20, "one ready replica")
            count = len(read)
            until(lambda: len(read) > count + 50, 60, "answers of the one that is left")
        finally:
            stop.set()
        for done in work:
            done.result()
    assert set(read) == {200}
    assert len(broken_reads) <= 4, "each reader at most the one that was being answered"
    for error in (*broken_reads, *broken_writes):
        assert "complete message body" in str(error)
    assert set(wrote) <= {201, 502}
    assert wrote.count(502) + len(broken_writes) <= 1, "the one that was under way"
    replicas.kill(REPLICAS[1])
    problem(gateway.client.get(NODES), 503)
    replicas.start()
    until(lambda: gateway.ready() == len(REPLICAS), 20, "ready replicas")
    assert gateway.client.get(NODES).status_code == 200
