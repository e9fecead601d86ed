"""Real runs of Locust: resources, exceptions of users, and one verdict for several processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from observability.lib.bound_process import bind
from tests.loadtests.shop import Shop, shop_server, write_scenarios
from tests.serving import free_port, serving
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def server(shop: Shop) -> Iterator[ThreadingHTTPServer]:
    with serving(shop_server(shop)) as running:
        yield running


def has_ready_worker(page: str) -> bool:
    """Return whether a worker can start a run."""
    with suppress(httpx.TransportError):
        workers = httpx.get(f"{page}/stats/requests").json()["workers"]
        return [worker["state"] for worker in workers] == ["ready"]
    return False


def start_locust(scenarios: Path, *options: str, headless: bool = True) -> "subprocess.Popen[str]":
    """Start Locust on some scenarios; it writes its verdict beside them."""
    environment = os.environ | {
        "EVARA_LOAD_SCENARIOS": str(scenarios),
        "EVARA_LOAD_VERDICT": str(scenarios.with_name("verdict.json")),
        "EVARA_LOAD_RATE": "200",
        "EVARA_LOAD_USERS": "4",
    }
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py"]
    if headless:
        command += ["--headless", "--only-summary"]
    return subprocess.Popen(
        bind([*command, *options], "TERM"),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def sending(server: ThreadingHTTPServer) -> list[str]:
    """Return the options of the process that starts a run."""
    host = f"http://127.0.0.1:{server.server_port}"
    return ["--host", host, "-u", "4", "-r", "4", "--stop-timeout", "10"]


def run_alone(
    scenarios: Path, server: ThreadingHTTPServer, is_enough: Callable[[], bool]
) -> tuple[int, dict[str, Any]]:
    """Run one process until it is enough; return its exit code and report."""
    process = start_locust(scenarios, *sending(server))
    until(lambda: is_enough() or process.poll() is not None)
    process.terminate()
    output, _ = process.communicate()
    assert scenarios.with_name("verdict.json").exists(), output
    return process.returncode, json.loads(scenarios.with_name("verdict.json").read_text())


def run_distributed(
    scenarios: Path, server: ThreadingHTTPServer, is_enough: Callable[[], bool]
) -> tuple[int, dict[str, Any]]:
    """Run a master with two workers until it is enough; return its exit code and report."""
    port = str(free_port())
    master = start_locust(
        scenarios,
        *sending(server),
        *("--master", "--master-bind-port", port, "--expect-workers", "2"),
    )
    workers = [start_locust(scenarios, "--worker", "--master-port", port) for _ in range(2)]
    until(lambda: is_enough() or master.poll() is not None)
    master.terminate()
    outputs = [process.communicate()[0] for process in (master, *workers)]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    return master.returncode, json.loads(scenarios.with_name("verdict.json").read_text())


def has_read_all(shop: Shop) -> bool:
    """Return whether each resource was read some times."""
    reads = ("GET /users/{}", "GET /orders/{}", "GET /users/{}/notes/{}")
    return min(shop.requests[request] for request in reads) > 3


def test_paths_with_the_same_parameter_name_have_resources_of_their_own(
    shop: Shop, server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    """A healthy service gets no 404, also for resources below others; the users leave nothing."""
    code, report = run_alone(write_scenarios(tmp_path), server, lambda: has_read_all(shop))
    assert (code, report["errors"], report["exceptions"]) == (0, [], [])
    assert set(shop.statuses) == {200, 201, 204}
    assert shop.paths == set()


@pytest.mark.parametrize("run", [run_alone, run_distributed])
def test_one_verdict_counts_the_requests_of_all_processes(
    shop: Shop, server: ThreadingHTTPServer, tmp_path: Path, run: Any
) -> None:
    """The process that started the run misses the objective, by the same counts as the server."""
    shop.broken = "GET /orders/{}"
    code, report = run(write_scenarios(tmp_path), server, lambda: has_read_all(shop))
    assert code == 1
    row_by_slo = {row["slo"]: row for row in report["objectives"]}
    broken = row_by_slo["orders.get-availability"]
    requests = shop.requests["GET /orders/{}"]
    assert (broken["verdict"], broken["good"], broken["total"]) == ("missed", 0, requests)
    figures = {row["route"]: row["clients"] for row in report["routes"]}
    assert figures["orders.get"]["requests"] == requests
    for route, request in (
        ("users.get", "GET /users/{}"),
        ("notes.create", "POST /users/{}/notes"),
    ):
        row = row_by_slo[f"{route}-availability"]
        assert (row["verdict"], row["total"]) == ("met", shop.requests[request])
    assert [error["what"][:15] for error in report["errors"]] == ["orders.get: 500"]


def test_a_run_of_the_web_page_is_judged_when_it_stops(
    shop: Shop, server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    """The master's page shows the verdict on the requests of its worker."""
    shop.broken = "GET /orders/{}"
    scenarios = write_scenarios(tmp_path)
    port, page = str(free_port()), f"http://127.0.0.1:{free_port()}"
    options = ["--master", "--master-bind-port", port, "--stop-timeout", "10"]
    options += ["--web-host", "127.0.0.1", "--web-port", page.rpartition(":")[2]]
    master = start_locust(scenarios, *options, headless=False)
    worker = start_locust(scenarios, "--worker", "--master-port", port)
    until(lambda: has_ready_worker(page))
    host = f"http://127.0.0.1:{server.server_port}"
    httpx.post(f"{page}/swarm", data={"user_count": 2, "spawn_rate": 2, "host": host})
    until(lambda: shop.requests["GET /orders/{}"] > 3)
    httpx.post(f"{page}/stop", timeout=30)
    report = httpx.get(f"{page}/verdict").json()
    for process in (master, worker):
        process.terminate()
    output, _ = master.communicate()
    worker.communicate()
    [row] = [row for row in report["objectives"] if row["slo"] == "orders.get-availability"]
    requests = shop.requests["GET /orders/{}"]
    assert (row["verdict"], row["total"], report["exceptions"]) == ("missed", requests, []), output


def test_a_user_that_raises_an_exception_fails_the_run(
    shop: Shop, server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    """A run whose users cannot send their requests is not met."""
    scenarios = write_scenarios(tmp_path)
    listed = json.loads(scenarios.read_text())
    for scenario in listed["scenarios"]:
        scenario["provides"] = [
            new for new in scenario["provides"] if new["resource"] != "/users/{}"
        ]  # so that nobody can create the user whom a note needs
    listed["scenarios"].sort(key=lambda scenario: scenario["id"] == "notes.create")
    scenarios.write_text(json.dumps(listed))
    code, report = run_alone(scenarios, server, lambda: shop.created > 0)
    assert code == 1
    assert report["exceptions"][0]["what"].startswith("StopIteration")
    assert "missed" not in {row["verdict"] for row in report["objectives"]}
