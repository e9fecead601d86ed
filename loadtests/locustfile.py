"""The load scenarios of scenarios.json, which the catalogue generates, as Locust users.

    locust -f loadtests/locustfile.py --host http://localhost:8000

Every request is named by its catalogue id, and the run is judged by the same objectives as the
service: the exit code is 0 when all that had traffic were met, 1 when one was missed, 2 when none
was missed but some had too few requests, or nothing was measured. The module imports nothing of
the API and of the compiler, because `import locust` replaces the sockets of its process.

A scenario has the request (`id`, `method`, `path`, `body`), the status codes that the contract
promises (`expect`), its share of the load (`weight`) and its `objectives`; by path parameter:

    provides    {parameter: field of the answer that holds the new resource's id}
    consumes    the parameter whose resource the request removes
    fixed       {parameter: the one resource that is always requested}
    vary        {field of the body: `unique` or `now`}
"""

import copy
import json
import os
import random
import re
import time
import uuid
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from locust import HttpUser, constant_throughput, events
from locust import stats as locust_stats
from locust.env import Environment

from loadtests import verdicts

Scenario = dict[str, Any]  # see generate/locust.py
Row = dict[str, Any]
OWN_SCENARIOS = Path(__file__).parent / "scenarios.json"
SCENARIOS_FILE = Path(os.environ.get("EVARA_LOAD_SCENARIOS", OWN_SCENARIOS))
SCENARIOS = json.loads(SCENARIOS_FILE.read_text(encoding="utf-8"))["scenarios"]
verdicts.require_known_kinds(SCENARIOS)
RATE = float(os.environ.get("EVARA_LOAD_RATE", "50"))  # requests per second of all users together
USERS = int(os.environ.get("EVARA_LOAD_USERS", "20"))
KEY = os.environ.get("EVARA_API_KEY", "")  # an unlimited write key
STOP_SPREAD_SECONDS = 4.0
VERDICT = os.environ.get("EVARA_LOAD_VERDICT", "")  # file for the verdict as JSON
PERCENTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
NO_REQUESTS = {"requests": 0, "failed": 0, "rate": 0.0, **dict.fromkeys(PERCENTILES)}


class Tally:
    """Counts by scenario: requests sent, answered and ended, failures, seconds of good answers.

    The server may or may not have counted a request that was sent and not answered: it was cut off
    at the end, or the connection broke.
    """

    def __init__(self) -> None:
        self.sent = Counter[str]()
        self.answered = Counter[str]()
        self.total = Counter[str]()
        self.failed = Counter[str]()
        self.good = defaultdict[str, list[float]](list)  # seconds
        self.errors = Counter[str]()

    def add(self, name: str, seconds: float, error: str, *, answered: bool = True) -> None:
        """Count a request that ended; an empty `error` means that its answer was good."""
        self.total[name] += 1
        self.answered[name] += answered
        if not error:
            self.good[name].append(seconds)
            return
        self.failed[name] += 1
        printable = [sign if sign.isprintable() else "�" for sign in error]
        self.errors[f"{name}: {''.join(printable)}"] += 1


TALLY = Tally()


class ApiUser(HttpUser):
    """One client: makes what its routes need, then draws routes by weight."""

    wait_time = constant_throughput(RATE / USERS)

    def on_start(self) -> None:
        """Create a resource of each kind that routes need."""
        self.pool = defaultdict[str, list[str]](list)
        if KEY:
            self.client.headers.update({"Authorization": f"Bearer {KEY}"})
        self.choices = [scenario for scenario in SCENARIOS if scenario["weight"]]
        self.weights = [scenario["weight"] for scenario in self.choices]
        for scenario in SCENARIOS:
            if scenario["provides"]:
                self.send(scenario)

    def on_stop(self) -> None:
        """Delete the resources that are left, not all clients at the same moment."""
        time.sleep(random.uniform(0, STOP_SPREAD_SECONDS))  # noqa: S311
        for scenario in SCENARIOS:
            consumed = scenario["consumes"]
            while consumed and self.pool[consumed]:
                self.send(scenario, self.pool[consumed].pop())

    def draw(self) -> None:
        """Send a request of a route that is drawn by weight."""
        [scenario] = random.choices(self.choices, self.weights)  # noqa: S311 - load, not secrets
        consumed = scenario["consumes"]
        if not consumed:
            self.send(scenario)
        elif self.make(consumed):  # a resource of its own, so that the others keep theirs
            self.send(scenario, self.pool[consumed].pop())

    tasks = [draw]  # noqa: RUF012 - locust wants a plain list

    def make(self, parameter: str) -> bool:
        """Create a resource for the pool and return whether it worked."""
        before = len(self.pool[parameter])
        creating = [scenario for scenario in SCENARIOS if parameter in scenario["provides"]]
        self.send(creating[0])
        return len(self.pool[parameter]) > before

    def send(self, scenario: Scenario, resource: str | None = None) -> None:
        """Send one request, judged by the statuses that the contract promises."""
        values = self.choose_values(scenario, resource)
        if values is None:
            return
        name = scenario["id"]
        TALLY.sent[name] += 1
        with self.client.request(
            scenario["method"],
            scenario["path"].format(**values),
            name=name,
            json=build_body(scenario),
            catch_response=True,
        ) as answer:
            if answer.status_code in scenario["expect"]:
                answer.success()
                for parameter, field in scenario["provides"].items():
                    self.pool[parameter].append(answer.json()[field])
            elif answer.status_code:
                excerpt = (answer.text or "")[:120]
                answer.failure(f"{answer.status_code} {excerpt}")
            else:
                answer.failure(str(answer.error))

    def choose_values(self, scenario: Scenario, resource: str | None) -> dict[str, str] | None:
        """Return a value for each parameter of the path.

        A missing resource is created first; None when that fails.
        """
        values = dict(scenario["fixed"])
        for name in list_parameters(scenario["path"]):
            if name in values:
                continue
            if resource:
                values[name] = resource
            elif self.pool[name] or self.make(name):
                values[name] = random.choice(self.pool[name])  # noqa: S311 - load, not secrets
            else:
                return None
        return values


def list_parameters(path: str) -> list[str]:
    """Return the names of the parameters in a path."""
    return re.findall(r"{(\w+)}", path)


def build_body(scenario: Scenario) -> Any:
    """Return the contract's example with the fields varied that the catalogue names."""
    example = copy.deepcopy(scenario["body"])
    for field, variation in scenario["vary"].items():
        *path, key = field.split(".")
        for mapping in find_holders(example, path):
            if variation == "unique":
                mapping[key] = f"load-{uuid.uuid4().hex[:16]}"
            else:
                mapping[key] = datetime.now(UTC).isoformat()
    return example


def find_holders(node: Any, path: list[str]) -> list[Any]:
    """Return the mappings at a path; a list on the way means each of its elements."""
    nodes = node if isinstance(node, list) else [node]
    if not path:
        return nodes
    key, *rest = path
    mappings = []
    for child in nodes:
        mappings += find_holders(child[key], rest)
    return mappings


def read_figures(entry: locust_stats.StatsEntry | None) -> Row:
    """Return Locust's own numbers, as its CSV files have them, with times in seconds."""
    if not entry or not entry.num_requests:
        return NO_REQUESTS
    numbers = {
        "requests": entry.num_requests,
        "failed": entry.num_failures,
        "rate": entry.total_rps,
    }
    for key, share in PERCENTILES.items():
        numbers[key] = entry.get_response_time_percentile(share) / 1000
    return numbers


@events.request.add_listener
def count(
    name: str, response_time: float, exception: Exception | None, response: Any, **_: Any
) -> None:
    """Count a request when it ends; a status of 0 is a connection that broke."""
    answered = response.status_code != 0
    TALLY.add(name, response_time / 1000, str(exception or ""), answered=answered)


@events.quitting.add_listener
def conclude(environment: Environment, **_: Any) -> None:
    """Judge the run, write its report and set the exit code."""
    rows = verdicts.judge(SCENARIOS, TALLY)
    found = {row["verdict"] for row in rows}
    environment.process_exit_code = verdicts.choose_exit_code(found)
    if VERDICT:
        report = build_report(environment.stats, rows)
        Path(VERDICT).write_text(json.dumps(report, indent=1), encoding="utf-8")
    options = environment.parsed_options
    if options and options.csv_prefix:
        # Locust writes its CSV files every second, not at its end: wait for the last requests
        time.sleep(2 * locust_stats.CSV_STATS_INTERVAL_SEC)


def build_report(stats: locust_stats.RequestStats, objectives: list[Row]) -> Row:
    """Return the report of the run as `make load` reads it."""
    errors = [{"what": error, "count": number} for error, number in TALLY.errors.most_common()]
    return {
        "started": stats.start_time,
        "ended": stats.last_request_timestamp or stats.start_time,
        "total": read_figures(stats.total),
        "routes": [build_route_row(stats, scenario) for scenario in SCENARIOS],
        "errors": errors,
        "objectives": objectives,
    }


def build_route_row(stats: locust_stats.RequestStats, scenario: Scenario) -> Row:
    """Return a route's numbers; `within` is its tightest latency promise in seconds."""
    name = scenario["id"]
    thresholds = [row["within"] for row in scenario["objectives"] if row["within"]]
    return {
        "route": name,
        "expect": scenario["expect"],
        "within": min(thresholds, default=None),
        "sent": TALLY.sent[name],
        "answered": TALLY.answered[name],
        "clients": read_figures(stats.entries.get((name, scenario["method"]))),
    }
