"""Servers that a user names: each wrong answer is one line with its URL and a fix, no secret."""

import json
import socket
import ssl
import subprocess
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from observability.lib.http import Unreachable
from observability.lib.prometheus import Prometheus
from tests.metrics_apps import answering

SECRET = "hidden-7f3e9d"
HEADERS = (("Authorization", f"Bearer {SECRET}"), ("X-Scope-OrgID", "shop"))
SUCCESS = {"status": "success", "data": {"result": [{"metric": {}, "value": [1, "42"]}]}}
LOGIN = "https://sso.example.org/login?token=abc"


class Wrong(BaseHTTPRequestHandler):
    """A server whose path says how it answers."""

    seen: list[Any] = []  # noqa: RUF012 # requests of one test after the other

    def do_GET(self) -> None:
        case = self.path.split("/")[1]
        Wrong.seen.append((self.path, dict(self.headers)))
        if case == "close":
            self.connection.shutdown(socket.SHUT_RDWR)
        elif case == "slow":
            time.sleep(0.5)
        elif case == "cut":
            self.send(200, b"{}", "application/json", length=100)
        elif case.isdecimal():
            self.send(int(case), f"no: {SECRET}\nmore".encode(), "text/plain")
        elif case == "redirect":
            self.send(302, b"", "text/html", Location=LOGIN)
        elif case == "html":
            self.send(200, b"<html>log in</html>", "text/html; charset=utf-8")
        else:
            self.send(200, json.dumps(SHAPES[case]).encode(), "application/json")

    def send(
        self, code: int, body: bytes, kind: str, length: int | None = None, **headers: str
    ) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


SHAPES: dict[str, Any] = {
    "good": SUCCESS,
    "list": [],
    "number": 3,
    "login": {"message": "log in"},
    "nothing": {"status": "success"},
    "scalar": {"status": "success", "data": 3},
    "text": {"status": "success", "data": {"result": "abc"}},
    "word": {"status": "success", "data": {"result": [{"metric": {}, "value": [1, "x"]}]}},
    "empty": {"status": "success", "data": {"result": []}},
    "error": {"status": "error", "error": f"tenant {SECRET} is over its limit"},
}
OTHER = "correct the URL; behind a proxy it has a path"
CASES = {
    "401": ("answers 401 Unauthorized: no: [redacted] more", "fix: send credentials with --header"),
    "403": ("answers 403 Forbidden", "fix: send credentials with --header"),
    "404": ("answers 404 Not Found", f"fix: {OTHER}"),
    "429": ("answers 429 Too Many Requests", "fix: wait, or raise the limit"),
    "500": ("answers 500 Internal Server Error", "fix: read the log of that server"),
    "503": ("answers 503 Service Unavailable", "fix: read the log of that server"),
    "599": ("answers 599", "fix: read the log of that server"),
    "redirect": ("redirects to https://sso.example.org/login; fix", "fix: send credentials"),
    "html": ("answers with text/html, not as Prometheus does", f"fix: {OTHER}"),
    "close": ("breaks the connection before its answer is complete", "fix: correct https or http"),
    "cut": ("breaks the connection before its answer is complete", "fix: correct https or http"),
    "slow": ("does not answer within 0.2 s", "fix: check that it runs"),
    "error": ("refused 'vector(time())': tenant [redacted] is over its limit", "fix: if it names"),
    **dict.fromkeys(
        ("list", "number", "login", "nothing", "scalar", "text", "word", "empty"),
        ("answers with JSON of another shape, not as Prometheus does", f"fix: {OTHER}"),
    ),
}


def message(url: str, timeout: float = 0.2) -> str:
    """Return why a server cannot be asked; it is one line without secrets."""
    with pytest.raises(Unreachable) as error:
        Prometheus(url, timeout, HEADERS).now()
    text = str(error.value)
    assert "\n" not in text
    assert SECRET not in text
    return text


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_answer_has_a_place_and_a_fix(case: str) -> None:
    """Whatever a server or a proxy answers; credentials of the URL are not shown."""
    with answering(Wrong) as url:
        text = message(url.replace("//", f"//me:{SECRET}@") + f"/{case}/")
        assert text.startswith(f"Prometheus at {url}/{case} ")
    assert [part for part in CASES[case] if part not in text] == []


def test_path_prefix_headers_and_credentials_are_sent() -> None:
    """The path of the API follows the prefix; a user and password become an Authorization."""
    Wrong.seen.clear()
    with answering(Wrong) as url:
        assert Prometheus(f"{url}/good/prometheus/", headers=HEADERS).now() == 42
        assert Prometheus(url.replace("//", "//me:word@") + "/good", headers=()).now() == 42
    (path, headers), (_, basic) = Wrong.seen
    assert path.startswith("/good/prometheus/api/v1/query?query=vector")
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["X-Scope-OrgID"] == "shop"
    assert basic["Authorization"].startswith("Basic ")


def test_a_name_that_does_not_resolve_is_said_to_be_so() -> None:
    """The domain `invalid` never resolves."""
    text = message("http://prometheus.invalid:9090", 10)
    assert "its name does not resolve; fix: correct the host in the URL" in text


def test_a_port_without_a_server_is_said_to_be_so(nobody: str) -> None:
    """Nothing listens; a server of the stack has another fix."""
    assert "Connection refused); fix: check that it runs, and host and port" in message(nobody)


def test_tls_errors_name_the_authority_or_the_scheme(tmp_path: Path) -> None:
    """A certificate of nobody, and a server that speaks no TLS."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    words = [*command.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Wrong)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # the client hangs up
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    text = message(f"https://127.0.0.1:{server.server_port}", 5)
    server.shutdown()
    thread.join()
    server.server_close()
    assert "a certificate that is not trusted (self-signed certificate)" in text
    assert "fix: name the file of its authority in the variable SSL_CERT_FILE" in text
    with answering(Wrong) as url:
        text = message(url.replace("http:", "https:"), 5)
    assert "does not speak TLS with us" in text
    assert "fix: correct https or http in the URL" in text
