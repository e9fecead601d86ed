"""gunicorn with the settings of the console: what it answers to requests that it cannot parse."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from observability.lib.bound_process import bind
from tests.serving import free_port
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[3]
APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""
KEY = "evara_Zm9vYmFyYmF6cXV4LXNlY3JldF9vZl9hX2tleQ-0123"
UNPARSABLE = {
    f"GET /{KEY} more HTTP/1.1\r\n\r\n": "400 Bad Request",
    f"{KEY} / HTTP/1.1\r\n\r\n": "400 Bad Request",
    f"GET / HTTP/1.1\r\n{KEY}\r\n\r\n": "400 Bad Request",
    f"GET / HTTP/1.1\r\nTransfer-Encoding: {KEY}\r\n\r\n": "501 Not Implemented",
}


def exchange(port: int, request: str) -> str:
    """Send a request as it is and return the whole response; nothing when there is no server."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(request.encode())
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    except ConnectionError:
        return ""


@pytest.mark.parametrize("worker", ["gthread", "api.platform.http.gunicorn_worker.Worker"])
def test_answer_to_an_unparsable_request_repeats_nothing(tmp_path: Path, worker: str) -> None:
    """The compose stack and the native stack run the console with different workers."""
    (tmp_path / "empty.py").write_text(APP)
    port = free_port()
    words = f"-m gunicorn --config {ROOT}/observability/console/gunicorn.conf.py".split()
    words += ["--worker-class", worker, "--bind", f"127.0.0.1:{port}"]
    words += ["--pythonpath", f"{ROOT},{tmp_path}", "empty:app"]
    with subprocess.Popen(bind([sys.executable, *words], "TERM"), cwd=ROOT) as process:
        try:
            until(lambda: process.poll() is not None or exchange(port, "GET / HTTP/1.1\r\n\r\n"))
            answers = {request: exchange(port, request) for request in UNPARSABLE}
        finally:
            process.terminate()
            process.wait(30)
    for request, status in UNPARSABLE.items():
        head, _, body = answers[request].partition("\r\n\r\n")
        assert head.startswith(f"HTTP/1.1 {status}\r\n")
        assert "Content-Type: text/plain" in head
        assert f"Content-Length: {len(body)}" in head
        assert body == f"{status}\n"
