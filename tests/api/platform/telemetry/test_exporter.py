"""The metrics server: what it adds to the sums of the workers, and what it omits."""

import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from api.platform.telemetry import exporter, metric_files
from observability.spec import host_names, names
from tests.api.platform.telemetry.metric_folder import REQUESTS, SUM, key, write


def read_samples(text: str) -> list[Sample]:
    """Return all samples of an exposition."""
    families = text_string_to_metric_families(text)
    return [sample for family in families for sample in family.samples]


def test_bucket_edges_of_a_former_release_are_not_exposed(tmp_path: Path, dead: list[int]) -> None:
    """An edge that only the archive has would stand still while its neighbours rise; those above it
    count what it counted."""
    folder = tmp_path / "metrics"
    folder.mkdir()

    def edge(le: str) -> str:
        return key("seconds", "seconds_bucket", route="a", le=le)

    # buckets are not cumulative in the files; the collector adds them up
    write(
        folder,
        "histogram",
        dead[0],
        {edge("0.1"): 1, edge("0.2"): 2, edge("1.0"): 4, edge("+Inf"): 8, SUM: 5},
    )
    write(folder, "counter", dead[0], {REQUESTS: 15})
    metric_files.merge_dead(folder)
    write(
        folder,
        "histogram",
        os.getpid(),
        {edge("0.1"): 10, edge("1.0"): 20, edge("+Inf"): 40, SUM: 50},
    )
    text = exporter.Exporter(folder, frozenset({0.1, 1.0})).render().decode()
    samples = read_samples(text)
    buckets = {
        sample.labels["le"]: sample.value for sample in samples if sample.name == "seconds_bucket"
    }
    assert buckets == {"0.1": 11, "1.0": 37, "+Inf": 85}
    values = {sample.name: sample.value for sample in samples}
    assert values["seconds_count"] == 85
    assert values["seconds_sum"] == 55
    assert values["requests_total"] == 15


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """Return the address of a real exporter."""
    server = exporter.new_server(folder, "127.0.0.1", 0)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("path", ["/metrics", "/metrics?name[]=requests_total"])
def test_metrics_are_served_over_http(server: str, path: str) -> None:
    """The workers' sums, and CPU and memory of the server itself, in Prometheus' format."""
    answer = httpx.get(server + path)
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    samples = {sample.name: sample.value for sample in read_samples(answer.text)}
    assert samples[names.WORKERS] == 1
    assert samples[names.WORKER_MEMORY] > 1e6
    assert samples[f"{names.WORKER_CPU}_total"] > 0
    assert "seconds_sum" in samples


def test_health_needs_a_running_process(server: str, folder: Path) -> None:
    """A worker that does not start has no metrics: its container is not healthy."""
    assert httpx.get(f"{server}/health").status_code == 200
    for path in folder.glob(f"*_{os.getpid()}.db"):
        path.unlink()
    answer = httpx.get(f"{server}/health")
    assert (answer.status_code, answer.text) == (503, "no process with metrics runs\n")


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/", "/x/metrics"])
def test_other_paths_are_404(server: str, path: str) -> None:
    """Any other path is 404."""
    assert httpx.get(server + path).status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:9101", ""])
def test_unknown_host_names_are_refused(server: str, host: str) -> None:
    """A web page whose name resolves to this machine cannot read the metrics."""
    answer = httpx.get(f"{server}/metrics", headers={"Host": host})
    assert answer.status_code == 400
    assert "EVARA_TRUSTED_HOSTS" in answer.text
    assert httpx.get(f"{server}/metrics", headers={"Host": "localhost:9101"}).status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_requests_with_two_host_names_are_refused(server: str, head: str) -> None:
    """A second header, and a target in absolute form; the response is plain text."""
    port = int(server.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert answer.startswith("HTTP/1.0 400")
    assert "Content-Type: text/plain" in answer
    assert answer.endswith(f"\r\n\r\n{host_names.REFUSAL}\n")


@pytest.mark.parametrize(
    "head",
    ["evara_Key / HTTP/1.0", "GET evara_Key more HTTP/1.0", "GET / HTTP/evara_Key", "evara_Key"],
)
def test_errors_repeat_nothing_of_a_request(server: str, head: str) -> None:
    """Also not in the first line of the response, which proxies log."""
    port = int(server.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert answer
    assert "evara_Key" not in answer


def test_a_scrape_that_times_out_leaves_no_traceback(
    server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client resets the connection before the answer; the next scrape works."""
    has_left = threading.Event()
    is_rendered = threading.Event()

    def render(_: object) -> bytes:
        assert has_left.wait(30)
        is_rendered.set()
        return b"x" * 10_000_000

    with monkeypatch.context() as patch:
        patch.setattr(exporter.Exporter, "render", render)
        port = int(server.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            no_linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        has_left.set()
        assert is_rendered.wait(30)
    assert httpx.get(f"{server}/metrics").status_code == 200
    for thread in threading.enumerate():
        if "process_request_thread" in thread.name:
            thread.join(30)
    assert capsys.readouterr().err == ""


def test_concurrent_scrapes_return_the_same_sum(server: str, dead: list[int], folder: Path) -> None:
    """Also while files of dead workers are merged."""
    sums: list[float] = []

    def read() -> None:
        for _ in range(5):
            samples = read_samples(httpx.get(f"{server}/metrics").text)
            sums.append(sum(s.value for s in samples if s.name == "requests_total"))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == [111.0] * 20
    assert not list(folder.glob(f"*_{dead[0]}.db"))


def test_cpu_seconds_never_decrease(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds of a worker that ended stay in the sum."""
    processes = exporter.Processes(folder)

    def cpu_seconds() -> float:
        [metric] = [m for m in processes.collect() if m.name == names.WORKER_CPU]
        return metric.samples[0].value

    def no_process(pid: int) -> None:
        raise exporter.psutil.NoSuchProcess(pid)

    before = cpu_seconds()
    monkeypatch.setattr(exporter.psutil, "Process", no_process)
    assert cpu_seconds() == before > 0


def test_a_host_without_an_address_ends_the_process(tmp_path: Path) -> None:
    """It does not go on healthy with the other hosts, where Prometheus finds nothing."""
    command = [sys.executable, "-m", exporter.__name__, "127.0.0.1,nowhere.invalid", "0"]
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, "gaierror" in ended.stderr) == (1, True)
