"""The load users, in a process of their own: `import locust` replaces its sockets."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from observability.generate import locust, registry
from observability.spec import loading

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "tests" / "observability" / "service" / "catalogue.yaml"
CONTRACT = SERVICE.with_name("openapi.json")
PRELUDE = """
import json, os
from loadtests import locustfile as l, request_bodies, run_report

by_id = {scenario["id"]: scenario for scenario in l.SCENARIOS}

class Answer:
    def __init__(self, status, body):
        self.status_code, self.body = status, body
        self.text, self.verdict = "", None
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def success(self): self.verdict = "good"
    def failure(self, text): self.verdict = text
    def json(self): return self.body

class Client:
    def __init__(self, status):
        self.status = status
        self.sent, self.answers, self.headers, self.created = [], [], {}, 0
    def request(self, method, path, name, params, json, timeout, catch_response):
        self.sent.append([name, path, json])
        status = self.status(name)
        self.created += method == "POST"
        self.answers.append(Answer(status, {"id": f"created-{self.created}"}))
        return self.answers[-1]

def user(status=lambda name: by_id[name]["expect"][0]):
    api_user = object.__new__(l.ApiUser)
    api_user.client = Client(status)
    api_user.on_start()
    return api_user
result = {}
"""

CASES = {
    "holders": """
nested = {"a": [{"b": {"c": 1}}, {"b": {"c": 2}}]}
result["one"] = request_bodies.find_holders({"x": 1}, [])
result["list"] = request_bodies.find_holders([{"x": 1}, {"x": 2}], [])
result["deep"] = request_bodies.find_holders(nested, ["a", "b"])
""",
    "body": """
ingest, create = by_id["parcels.ingest"], by_id["orders.create"]
before = json.dumps(ingest)
bodies = [request_bodies.build_body(ingest) for _ in range(3)]
result["unchanged"] = json.dumps(ingest) == before
result["varied"] = len({b["parcels"][0]["time"] for b in bodies})
result["same"] = [b["parcels"][0]["value"] for b in bodies]
result["ids"] = len({request_bodies.build_body(create)["id"] for _ in range(50)})
result["none"] = request_bodies.build_body(by_id["orders.get"])
""",
    "figures": """
stats = l.locust_stats.RequestStats()
for number in range(1, 101):
    stats.log_request("GET", "orders.list", number * 3, 0)
stats.log_error("GET", "orders.list", "500")
read = run_report.read_figures
result["none"] = [read(None), read(stats.get("orders.get", "GET"))]
result["hundred"] = read(stats.get("orders.list", "GET"))
""",
    "judge": """
tally = l.TALLY
for number in range(1000):
    tally.add("orders.list", 0.5 if number < 40 else 0.01, "")
tally.add("orders.get", 0.01, "500 oops")
tally.add("orders.get", 0.01, "500 oops")
for number in range(8):
    tally.add("orders.update", 0.5 if number == 0 else 0.01, "")
for number in range(100):
    tally.add("parcels.latest", 0.5, "")
rows = {row["slo"]: row for row in l.verdicts.judge(l.SCENARIOS, tally)}
for name in (
    "orders.list-availability", "orders.list-latency-200ms", "orders.get-availability",
    "orders.get-latency-200ms", "parcels.latest-latency-200ms", "orders.create-availability",
    "orders.update-latency-200ms", "orders.update-availability",
):
    result[name] = [rows[name][key] for key in ("good", "total", "measured", "verdict")]
result["errors"] = dict(tally.errors)
class Alone: runner = None
l.RUN.start(Alone)
result["anew"] = sorted({row["verdict"] for row in l.verdicts.judge(l.SCENARIOS, tally)})
""",
    "conclude": """
class Options: csv_prefix = "x"
class Environment:
    process_exit_code, parsed_options = None, Options
    stats, runner = l.locust_stats.RequestStats(), None
class Broken: status_code = 0
class Fine: status_code = 200
codes, naps = [], []
l.time.sleep = naps.append
for good, bad in ((0, 0), (1000, 0), (10, 0), (10, 1), (0, 10)):
    l.TALLY.take()
    for _ in range(good): l.TALLY.add("orders.list", 0.01, "")
    for _ in range(bad): l.TALLY.add("orders.list", 0.01, "500 oops\\x1b[31m")
    environment = Environment()
    l.conclude(environment)
    codes.append(environment.process_exit_code)
l.TALLY.sent["orders.list"] = 13
l.count("orders.list", 10, OSError("gone"), response=Broken)
l.count("orders.list", 10, None, response=Fine)
Environment.stats.log_request("GET", "orders.list", 12, 0)
l.conclude(environment)
result["codes"], result["naps"] = codes, naps
result["report"] = json.load(open(l.VERDICT))
""",
    "user": """
l.TALLY.take()
api_user = user()
result["start"] = [name for name, _, _ in api_user.client.sent]
api_user.send(by_id["parcels.ingest"], {})
result["path"] = api_user.client.sent[-1][1]
api_user.send(by_id["orders.get"] | {"fixed": {"order_id": "always-me"}}, {})
result["fixed"] = api_user.client.sent[-1][1]
l.random.choices = lambda choices, weights: [by_id["orders.delete"]]
api_user.draw()
result["consumed"] = [[name, path] for name, path, _ in api_user.client.sent[-2:]]
result["left"] = [resource.own_id for resource in api_user.pool["/api/v1/orders/{}"]]
api_user.on_stop()
result["stopped"] = [api_user.client.sent[-1][:2], api_user.pool["/api/v1/orders/{}"]]
result["verdicts"] = sorted({answer.verdict for answer in api_user.client.answers})
result["headers"] = api_user.client.headers
result["sent"] = sum(l.TALLY.sent.values()) == len(api_user.client.sent)
""",
    "failing": """
api_user = user()
api_user.client.status = lambda name: 500
l.random.choices = lambda choices, weights: [by_id["orders.delete"]]
api_user.draw()
result["pool"] = [resource.own_id for resource in api_user.pool["/api/v1/orders/{}"]]
result["requested"] = api_user.client.sent[-1][0]
result["verdict"] = api_user.client.answers[-1].verdict
empty = user(lambda name: 500)
size = len(empty.client.sent)
empty.send(by_id["orders.get"], {})
result["tried"] = [name for name, _, _ in empty.client.sent[size:]]
empty.client.status = lambda name: by_id[name]["expect"][0]
empty.send(by_id["orders.get"], {})
result["recovered"] = [name for name, _, _ in empty.client.sent[-2:]]
""",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the results of all cases, from one process because starting it is slow."""
    verdict = tmp_path_factory.mktemp("load") / "verdict.json"
    scenarios = verdict.with_name("scenarios.json")
    scenarios.write_text(
        locust.render(loading.load_plan(SERVICE), registry.read_contract(CONTRACT))[
            locust.SCENARIOS
        ],
        encoding="utf-8",
    )
    script = PRELUDE + "".join(
        f"\nresult = {{}}\n{code}\nprint(json.dumps([{name!r}, result]))\n"
        for name, code in CASES.items()
    )
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "EVARA_LOAD_VERDICT": str(verdict),
        "EVARA_API_KEY": "evara_t",
    }
    environment["EVARA_LOAD_SCENARIOS"] = str(scenarios)
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return dict(json.loads(line) for line in run.stdout.splitlines())


def test_find_holders_visits_every_list_element(results: dict[str, Any]) -> None:
    """A list on the path means each of its elements."""
    assert results["holders"] == {
        "one": [{"x": 1}],
        "list": [{"x": 1}, {"x": 2}],
        "deep": [{"c": 1}, {"c": 2}],
    }


def test_bodies_vary_only_what_the_catalogue_names(results: dict[str, Any]) -> None:
    """Times and ids are new in every request; the rest is the contract's example, unchanged."""
    result = results["body"]
    assert result["unchanged"]
    assert result["varied"] == 3
    assert len(set(result["same"])) == 1
    assert result["ids"] == 50
    assert result["none"] is None


def test_figures_equal_locusts_csv(results: dict[str, Any]) -> None:
    """Counts and percentiles are those of Locust's CSV, in seconds; None without requests."""
    none = {
        "requests": 0,
        "failed": 0,
        "rate": 0.0,
        "p50": None,
        "p90": None,
        "p95": None,
        "p99": None,
    }
    assert results["figures"]["none"] == [none, none]
    hundred = results["figures"]["hundred"]
    assert (hundred["requests"], hundred["failed"]) == (100, 1)
    assert [hundred[key] for key in ("p50", "p90", "p95", "p99")] == [0.15, 0.27, 0.29, 0.3]


def test_fixed_resource_is_requested(results: dict[str, Any]) -> None:
    """Where the catalogue names a resource, it is requested and none is created."""
    assert results["user"]["fixed"] == "/api/v1/orders/always-me"


def test_the_run_is_judged_by_the_objectives(results: dict[str, Any]) -> None:
    """Availability counts all requests, latency the good ones; without events it is idle."""
    verdicts = {slo: row for slo, row in results["judge"].items() if slo.startswith("orders.")}
    assert verdicts == {
        "orders.list-availability": [1000, 1000, 1.0, "met"],
        "orders.list-latency-200ms": [960, 1000, 0.96, "met"],
        "orders.get-availability": [0, 2, 0.0, "missed"],
        "orders.get-latency-200ms": [0, 0, None, "idle"],
        "orders.create-availability": [0, 0, None, "idle"],
        "orders.update-latency-200ms": [7, 8, 0.875, "too few"],
        "orders.update-availability": [8, 8, 1.0, "too few"],
    }
    assert results["judge"]["parcels.latest-latency-200ms"] == [0, 100, 0.0, "missed"]
    assert results["judge"]["errors"] == {"orders.get: 500 oops": 2}
    assert results["judge"]["anew"] == ["idle"]


def test_exit_code_follows_the_verdict(results: dict[str, Any]) -> None:
    """1 when an objective was missed, 2 with too few requests or without any, else 0."""
    assert results["conclude"]["codes"] == [2, 0, 2, 2, 1]
    report = results["conclude"]["report"]
    row = next(row for row in report["routes"] if row["route"] == "orders.list")
    assert (row["expect"], row["within"]) == ([200], 0.2)
    assert row["clients"]["requests"] == 1
    assert report["total"]["p95"] == 0.012


def test_unanswered_requests_are_counted_apart(results: dict[str, Any]) -> None:
    """Interrupted requests are counted apart, since the server may not count them."""
    row = next(
        row for row in results["conclude"]["report"]["routes"] if row["route"] == "orders.list"
    )
    assert (row["sent"], row["answered"]) == (13, 11)
    errors = results["conclude"]["report"]["errors"]
    assert errors == [
        {"what": "orders.list: 500 oops�[31m", "count": 10},
        {"what": "orders.list: gone", "count": 1},
    ]


def test_end_waits_for_the_last_csv_rows(results: dict[str, Any]) -> None:
    """Locust writes its CSV files once a second, so the process waits for more than a second."""
    assert all(nap > 1 for nap in results["conclude"]["naps"])
    assert len(results["conclude"]["naps"]) == 6


def test_user_creates_uses_and_deletes_its_own_orders(results: dict[str, Any]) -> None:
    """A user starts with a node, deletes only extra ones, and leaves none behind."""
    result = results["user"]
    assert result["start"] == ["orders.create"]
    assert result["path"] == "/api/v1/orders/created-1/parcels"
    assert [name for name, _ in result["consumed"]] == ["orders.create", "orders.delete"]
    assert result["consumed"][1][1] != "/api/v1/orders/created-1"
    assert result["left"] == ["created-1"]
    assert result["stopped"] == [["orders.delete", "/api/v1/orders/created-1"], []]
    assert result["verdicts"] == ["good"]
    assert result["sent"]
    assert result["headers"] == {"Authorization": "Bearer evara_t"}


def test_user_survives_failures(results: dict[str, Any]) -> None:
    """A user keeps its node when a creation fails; without a node it creates one first."""
    result = results["failing"]
    assert result["pool"] == ["created-1"]
    assert result["requested"] == "orders.create"
    assert result["verdict"].startswith("500")
    assert result["tried"] == ["orders.create"]
    assert result["recovered"] == ["orders.create", "orders.get"]
