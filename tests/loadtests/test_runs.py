"""Real runs of Locust: resources, exceptions of users, and one verdict for several processes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtests.tally import UNHANDLED
from observability.lib.bound_process import bind
from tests.loadtests.shop import OPENAPI, Shop, shop_server, write_scenarios
from tests.serving import free_port, serving
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"
BROKEN_STOP = """
from loadtests import locustfile

class BrokenUser(locustfile.ApiUser):
    is_broken = True

    def delete_resources(self):
        if BrokenUser.is_broken:
            BrokenUser.is_broken = False
            raise RuntimeError("cannot stop")
        super().delete_resources()
"""
BROKEN_LISTENER = """
from locust import events
from loadtests.locustfile import ApiUser

def fail(**_):
    events.request.remove_listener(fail)
    raise RuntimeError("cannot listen")

events.request.add_listener(fail)
"""


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


def answers(page: str) -> bool:
    """Return whether Locust serves its page."""
    with suppress(httpx.TransportError):
        return httpx.get(f"{page}/stats/requests").is_success
    return False


def serving_page(page: str) -> list[str]:
    """Return the options of a process with Locust's page."""
    host, _, port = page.removeprefix("http://").rpartition(":")
    return ["--web-host", host, "--web-port", port, "--stop-timeout", "10"]


def run_by_page(
    page: str, server: ThreadingHTTPServer, is_enough: Callable[[], bool], *, reset: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run until it is enough, and return the reports before and after its end."""
    host = f"http://127.0.0.1:{server.server_port}"
    httpx.post(f"{page}/swarm", data={"user_count": 2, "spawn_rate": 2, "host": host})
    until(is_enough)
    if reset:
        httpx.post(f"{page}/stats/reset")
    during = httpx.get(f"{page}/verdict").json()
    httpx.post(f"{page}/stop", timeout=30)
    return during, httpx.get(f"{page}/verdict").json()


def start_locust(scenarios: Path, *options: str, headless: bool = True) -> "subprocess.Popen[str]":
    """Start Locust on some scenarios; it writes its verdict beside them.

    A locustfile beside them comes instead of the one that is tested.
    """
    locustfile = scenarios.with_name("locustfile.py")
    if not locustfile.exists():
        locustfile = LOCUSTFILE
    environment = os.environ | {
        "EVARA_LOAD_SCENARIOS": str(scenarios),
        "EVARA_LOAD_VERDICT": str(scenarios.with_name("verdict.json")),
        "EVARA_LOAD_RATE": "200",
        "EVARA_LOAD_USERS": "4",
        "EVARA_LOAD_TIMEOUT": "3",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "locust", "-f", str(locustfile)]
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


def has_asked_all(shop: Shop) -> bool:
    """Return whether each route was asked often enough for a verdict."""
    requests = (
        f"{method.upper()} {re.sub('{.*?}', '{}', path)}"
        for path, methods in OPENAPI["paths"].items()
        for method in methods
    )
    return min(shop.requests[request] for request in requests) > 3


def test_paths_with_the_same_parameter_name_have_resources_of_their_own(
    shop: Shop, server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    """A healthy service gets no 404, also for resources below others; the users leave nothing."""
    code, report = run_alone(write_scenarios(tmp_path), server, lambda: has_asked_all(shop))
    assert (code, report["errors"], report["exceptions"]) == (0, [], [])
    assert set(shop.statuses) == {200, 201, 204}
    assert shop.paths == set()


@pytest.mark.parametrize("run", [run_alone, run_distributed])
def test_one_verdict_counts_the_requests_of_all_processes(
    shop: Shop, server: ThreadingHTTPServer, tmp_path: Path, run: Any
) -> None:
    """The process that started the run misses the objective, by the same counts as the server."""
    shop.broken = "GET /orders/{}"
    code, report = run(write_scenarios(tmp_path), server, lambda: has_asked_all(shop))
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


def test_a_lost_worker_fails_the_run(
    shop: Shop, server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    """Its requests are not counted, so the counts of the others are no verdict."""
    scenarios = write_scenarios(tmp_path)
    port = str(free_port())
    options = ["--master", "--master-bind-port", port, "--expect-workers", "2"]
    master = start_locust(scenarios, *sending(server), *options, "--stop-timeout", "1")
    lost, other = (start_locust(scenarios, "--worker", "--master-port", port) for _ in range(2))
    until(lambda: shop.requests["GET /users/{}"] > 3)
    lost.kill()
    master.terminate()
    for process in (master, lost, other):
        process.communicate()
    report = json.loads(scenarios.with_name("verdict.json").read_text())
    what = "no last report of a Locust worker, whose counts are missing"
    assert {"what": what, "count": 1} in report["exceptions"]
    assert master.returncode == 1


def test_a_run_of_the_web_page_is_judged_when_it_stops(
    shop: Shop, server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    """The master's page shows the verdict on the requests of its worker; none is lost before."""
    shop.broken = "GET /orders/{}"
    scenarios = write_scenarios(tmp_path)
    port, page = str(free_port()), f"http://127.0.0.1:{free_port()}"
    master = start_locust(
        scenarios, "--master", "--master-bind-port", port, *serving_page(page), headless=False
    )
    worker = start_locust(scenarios, "--worker", "--master-port", port)
    until(lambda: has_ready_worker(page))
    during, report = run_by_page(page, server, lambda: shop.requests["GET /orders/{}"] > 3)
    for process in (master, worker):
        process.terminate()
    output, _ = master.communicate()
    worker.communicate()
    [row] = [row for row in report["objectives"] if row["slo"] == "orders.get-availability"]
    requests = shop.requests["GET /orders/{}"]
    assert (row["verdict"], row["total"], report["exceptions"]) == ("missed", requests, []), output
    assert during["exceptions"] == []


def test_a_run_of_the_web_page_begins_anew(
    shop: Shop, server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    """Exceptions of an earlier run do not fail a later one; reset statistics are not judged."""
    tmp_path.joinpath("locustfile.py").write_text(BROKEN_STOP, encoding="utf-8")
    page = f"http://127.0.0.1:{free_port()}"
    process = start_locust(write_scenarios(tmp_path), *serving_page(page), headless=False)
    until(lambda: answers(page))

    def has_read_more() -> bool:
        return shop.requests["GET /users/{}"] > 3

    _, first = run_by_page(page, server, has_read_more)
    shop.requests.clear()
    _, second = run_by_page(page, server, has_read_more)
    shop.requests.clear()
    _, third = run_by_page(page, server, has_read_more, reset=True)
    process.terminate()
    process.communicate()
    assert [len(report["exceptions"]) for report in (first, second, third)] == [1, 0, 0]
    total_by_slo = {row["slo"]: row["total"] for row in third["objectives"]}
    requests = {row["route"]: row["clients"]["requests"] for row in third["routes"]}
    assert total_by_slo["users.create-availability"] == requests["users.create"]


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


@pytest.mark.parametrize("run", [run_alone, run_distributed])
@pytest.mark.parametrize(
    ("locustfile", "what"),
    [(BROKEN_STOP, "RuntimeError: cannot stop"), (BROKEN_LISTENER, UNHANDLED)],
)
def test_an_exception_outside_of_tasks_fails_the_run(
    shop: Shop, server: ThreadingHTTPServer, tmp_path: Path, run: Any, locustfile: str, what: str
) -> None:
    """A run is not met when `on_stop` or a listener raised, in whichever process."""
    tmp_path.joinpath("locustfile.py").write_text(locustfile, encoding="utf-8")
    code, report = run(write_scenarios(tmp_path), server, lambda: has_asked_all(shop))
    assert (code, [row["what"] for row in report["exceptions"]]) == (1, [what])
    assert "missed" not in {row["verdict"] for row in report["objectives"]}


def test_requests_without_an_answer_are_failures(
    shop: Shop, server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    """A route that accepts requests and never answers is missed, not idle."""
    shop.hanging = "GET /orders/{}"
    code, report = run_alone(
        write_scenarios(tmp_path), server, lambda: shop.requests[shop.hanging] > 3
    )
    [row] = [row for row in report["objectives"] if row["slo"] == "orders.get-availability"]
    requests = shop.requests["GET /orders/{}"]
    assert (code, row["verdict"], row["good"], row["total"]) == (1, "missed", 0, requests)
