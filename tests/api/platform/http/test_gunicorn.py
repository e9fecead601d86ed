"""gunicorn with the shipped settings: what it logs and answers to requests that it cannot parse."""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.platform.http import security_headers
from observability.lib.bound_process import bind
from observability.lib.http import poll

ROOT = Path(__file__).resolve().parents[4]
KEY = "evara_" + secrets.token_urlsafe(32)
ENCODED_KEY = KEY.replace("_", "%5F")
TWICE_ENCODED_KEY = KEY.replace("_", "%255f")
FULLY_ENCODED_KEY = "".join(f"%{ord(character):02x}" for character in KEY)


@dataclass
class Server:
    """A running gunicorn and its log."""

    port: int
    log: Path

    def exchange(self, request: str) -> str:
        """Send a request as it is and return the whole response."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(request.replace("\n", "\r\n").encode("latin-1"))
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode("latin-1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield gunicorn with one worker and a database without tables."""
    folder = tmp_path_factory.mktemp("gunicorn")
    log = folder / "log"
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EVARA_", "PROMETHEUS_"))
    }
    settings = {
        "EVARA_BIND": "127.0.0.1:0",
        "EVARA_WORKERS": "1",
        "EVARA_DATABASE_URL": f"sqlite:///{folder}/evara.db",
    }
    words = ("-m", "gunicorn", "--config", "api/gunicorn.conf.py", "api.app:create_app()")
    with log.open("w") as output:
        process = subprocess.Popen(
            bind([sys.executable, *words], "TERM"),
            cwd=ROOT,
            env=environment | settings,
            stdout=output,
            stderr=output,
        )
    try:
        yield Server(port_in(log), log)
    finally:
        process.terminate()
        process.wait(30)


def port_in(log: Path) -> int:
    """Return the port that gunicorn listens on, when it says so."""
    for _ in poll(60, 0.05):
        listening = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", log.read_text())
        if listening:
            return int(listening[1])
    raise AssertionError(log.read_text())


HEAD = "GET /health/live HTTP/1.1\nHost: localhost\nConnection: close\n"
KEYS_IN_REQUESTS = {
    "header without colon": f"{HEAD}Authorization Bearer {KEY}\n\n",
    "key as header": f"{HEAD}{KEY}\n\n",
    "key as header name": f"{HEAD}{KEY}: x\n\n",
    "folded header": f"{HEAD}X-A: b\n {KEY}\n\n",
    "key as method": f"{KEY} / HTTP/1.1\nHost: localhost\n\n",
    "key as request line": f"{KEY}\n\n",
    "key as version": f"GET / {KEY}\nHost: localhost\n\n",
    "key as transfer encoding": f"{HEAD}Transfer-Encoding: {KEY}\n\n",
    "key as length": f"{HEAD}Content-Length: {KEY}\n\n",
    "key as expectation": f"{HEAD}Expect: {KEY}\n\n",
    "key as chunk": f"POST /api/v1/nodes HTTP/1.1\nHost: localhost\nConnection: close\n"
    f"Content-Type: application/json\nTransfer-Encoding: chunked\n\n{KEY}\n\n",
    "key within a request id": f"{HEAD}X-Request-ID: K{KEY}\n\n",
    "secret as request id": f"{HEAD}X-Request-ID: token:{KEY[6:]}\n\n",
    "key as trace": f"{HEAD}traceparent: {KEY}\n\n",
    "key as host": f"GET / HTTP/1.1\nHost: {KEY}\nConnection: close\n\n",
    "key as agent": f"{HEAD}User-Agent: {KEY}\n\n",
    "key in the path": f"GET /x{KEY} HTTP/1.1\nHost: localhost\nConnection: close\n\n",
    "key in the query": f"GET /x?q={KEY} HTTP/1.1\nHost: localhost\nConnection: close\n\n",
    "bad line with a key": f"GET /{KEY} x HTTP/1.1\nHost: localhost\n\n",
    "encoded key": f"GET /{ENCODED_KEY} HTTP/1.1\nHost: localhost\nConnection: close\n\n",
    "twice encoded": f"GET /{TWICE_ENCODED_KEY} HTTP/1.1\nHost: localhost\nConnection: close\n\n",
    "bad line with an encoded key": f"GET /{ENCODED_KEY} x HTTP/1.1\nHost: localhost\n\n",
    "bad line, fully encoded": f"GET /{FULLY_ENCODED_KEY} x HTTP/1.1\nHost: localhost\n\n",
    "password in a URL": f"GET /://a:{KEY[6:]}@b x HTTP/1.1\nHost: localhost\n\n",
    "api_key in a bad line": f"GET /?api_key={KEY[6:]} x HTTP/1.1\nHost: localhost\n\n",
}


@pytest.mark.parametrize("name", KEYS_IN_REQUESTS)
def test_no_request_brings_a_key_into_the_log(server: Server, name: str) -> None:
    """Whichever part of a request holds it, neither gunicorn nor the app logs or returns it."""
    before = server.log.stat().st_size
    answer = server.exchange(KEYS_IN_REQUESTS[name])
    assert answer.startswith("HTTP/1.1 ")
    for _ in poll(30, 0.02):
        logged = server.log.read_text()[before:]
        if "request" in logged:
            break
    assert "request" in logged
    for form in (KEY[6:], KEY[6:].upper(), ENCODED_KEY[8:], FULLY_ENCODED_KEY[18:]):
        assert form not in logged
        assert form not in answer


UNPARSABLE = {
    "GET\0 / HTTP/1.1\n\n": 400,
    "get / HTTP/1.1\n\n": 400,
    "GET / HTTP/1.1 more\n\n": 400,
    "GET / HTTP/9.9\n\n": 400,
    f"{HEAD}no colon\n\n": 400,
    f"{HEAD}Content-Length: x\n\n": 400,
    f"GET /{'x' * 9_000} HTTP/1.1\nHost: localhost\n\n": 414,
    f"{HEAD}Content-Length: 0\nContent-Length: 0\n\n": 400,
    f"{HEAD}Content-Length: 0\nContent-Length: 1\n\n": 400,
    f"{HEAD}X-Large: {'x' * 17_000}\n\n": 431,
    HEAD + "".join(f"X-{number}: x\n" for number in range(200)) + "\n": 431,
    f"{HEAD}Transfer-Encoding: foo\n\n": 501,
    f"{HEAD}Expect: 500-teapot\n\n": 417,
}


@pytest.mark.parametrize(("request_text", "status"), UNPARSABLE.items(), ids=range(len(UNPARSABLE)))
def test_unparsable_requests_get_problem_documents(
    server: Server, request_text: str, status: int
) -> None:
    """The answer has the request id of its log line, and every security header."""
    head, _, text = server.exchange(request_text).partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ")
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Connection"] == "close"
    assert int(headers["Content-Length"]) == len(text)
    assert security_headers.HEADERS.items() <= headers.items()
    problem = json.loads(text)
    assert problem["status"] == status
    assert problem["request_id"] == headers["X-Request-ID"]
    for _ in poll(30, 0.02):
        lines = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
        logged = {line["request_id"]: line for line in map(json.loads, lines)}
        if problem["request_id"] in logged:
            break
    line = logged[problem["request_id"]]
    assert (line["route"], line["status"]) == ("unmatched", status)


@pytest.mark.parametrize(
    "headers",
    [f"X-Large: {'x' * 16_000}\n", "".join(f"X-{number}: x\n" for number in range(97))],
)
def test_heads_of_the_documented_size_are_served(server: Server, headers: str) -> None:
    """One large header, or many small ones."""
    assert server.exchange(f"{HEAD}{headers}\n").startswith("HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "path",
    ["/api/v1//nodes", "/api/v1/./nodes", "//", "/health//live", "/docs//", "//x.example/%2e%2e/"],
)
def test_no_url_is_redirected_to_the_host_of_the_request(server: Server, path: str) -> None:
    """Unusual slashes give 404 as a problem document, whatever the Host."""
    request = f"GET {path} HTTP/1.1\nHost: evil.example\nConnection: close\n\n"
    head, _, text = server.exchange(request).partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 404 ")
    assert "\r\nContent-Type: application/problem+json" in head
    assert "evil.example" not in head + text
