"""The load scenarios of scenarios.json, which the catalogue generates, as Locust users.

    locust -f loadtests/locustfile.py --host http://localhost:8000

Every request is named by its catalogue id, and the run is judged by the same objectives as the
service: the exit code is 0 when all that had traffic were met, 1 when one was missed, 2 when
nothing was measured. The module imports nothing of the project, because `import locust` replaces
the sockets of its process.
"""

import copy
import json
import os
import random
import time
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from locust import HttpUser, constant_throughput, events
from locust import stats as locust_stats
from locust.env import Environment

GENERATED = Path(
    os.environ.get("EVARA_LOAD_SCENARIOS", Path(__file__).parent / "scenarios.json")
)  # another service's, if set
SCENARIOS = json.loads(GENERATED.read_text(encoding="utf-8"))["scenarios"]
RATE = float(os.environ.get("EVARA_LOAD_RATE", "50"))  # requests per second of all users together
USERS = int(os.environ.get("EVARA_LOAD_USERS", "20"))
KEY = os.environ.get("EVARA_API_KEY", "")  # an unlimited write key
FAREWELL_SECONDS = 4.0
VERDICT = os.environ.get("EVARA_LOAD_VERDICT", "")  # file for the verdict as JSON
PERCENTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}


class Tally:
    """Counts by scenario: requests sent, answered and ended, failures, seconds of good answers.

    The server may or may not have counted a request that was sent and not answered: it was cut off
    at the end, or the connection broke.
    """

    def __init__(self) -> None:
        self.sent: dict[str, int] = defaultdict(int)
        self.answered: dict[str, int] = defaultdict(int)
        self.total: dict[str, int] = defaultdict(int)
        self.failed: dict[str, int] = defaultdict(int)
        self.good: dict[str, list[float]] = defaultdict(list)  # seconds
        self.errors: dict[str, int] = defaultdict(int)

    def add(self, name: str, seconds: float, error: str, *, answered: bool = True) -> None:
        self.total[name] += 1
        self.answered[name] += answered
        if error:
            self.failed[name] += 1
            self.errors[
                f"{name}: {''.join(sign if sign.isprintable() else '�' for sign in error)}"
            ] += 1
        else:
            self.good[name].append(seconds)


TALLY = Tally()


class ApiUser(HttpUser):
    """One client: makes what its routes need, then draws routes by weight."""

    wait_time = constant_throughput(RATE / USERS)

    def on_start(self) -> None:
        self.pool: dict[str, list[str]] = defaultdict(list)
        self.client.headers.update({"Authorization": f"Bearer {KEY}"} if KEY else {})
        weighted = [scenario for scenario in SCENARIOS if scenario["weight"]]
        self.choices, self.weights = weighted, [scenario["weight"] for scenario in weighted]
        for scenario in SCENARIOS:
            if scenario["provides"]:
                self.send(scenario)

    def on_stop(self) -> None:
        """Delete the resources that are left, not all clients at the same moment."""
        time.sleep(random.uniform(0, FAREWELL_SECONDS))  # noqa: S311
        for scenario in SCENARIOS:
            while scenario["consumes"] and self.pool[scenario["consumes"]]:
                self.send(scenario, self.pool[scenario["consumes"]].pop())

    def draw(self) -> None:
        scenario = random.choices(self.choices, self.weights)[0]  # noqa: S311 - load, not secrets
        if scenario["consumes"]:  # a resource of its own, so that the others keep theirs
            if self.make(scenario["consumes"]):
                self.send(scenario, self.pool[scenario["consumes"]].pop())
        else:
            self.send(scenario)

    tasks = [draw]  # noqa: RUF012 - locust wants a plain list

    def make(self, parameter: str) -> bool:
        """Create a resource for the pool and return whether it worked."""
        before = len(self.pool[parameter])
        self.send(next(scenario for scenario in SCENARIOS if parameter in scenario["provides"]))
        return len(self.pool[parameter]) > before

    def send(self, scenario: dict[str, Any], resource: str | None = None) -> None:
        """Send one request, judged by the statuses that the contract promises."""
        path = scenario["path"]
        for name, value in scenario["fixed"].items():
            path = path.replace(f"{{{name}}}", value)
        needed = [name for name in self.pool if f"{{{name}}}" in path] or parameters(path)
        if needed and resource is None and not self.pool[needed[0]] and not self.make(needed[0]):
            return
        values = {name: resource or random.choice(self.pool[name]) for name in needed}  # noqa: S311
        TALLY.sent[scenario["id"]] += 1
        with self.client.request(
            scenario["method"],
            path.format(**values),
            name=scenario["id"],
            json=body(scenario),
            catch_response=True,
        ) as answer:
            if answer.status_code not in scenario["expect"]:
                answer.failure(
                    f"{answer.status_code} {(answer.text or '')[:120]}"
                    if answer.status_code
                    else str(answer.error)
                )
            else:
                answer.success()
                for parameter, field in scenario["provides"].items():
                    self.pool[parameter].append(answer.json()[field])


def parameters(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def body(scenario: dict[str, Any]) -> Any:
    """The contract's example with the fields varied that the catalogue names."""
    example = copy.deepcopy(scenario["body"])
    for place, how in scenario["vary"].items():
        *path, last = place.split(".")
        for holder in holders(example, path):
            holder[last] = (
                f"load-{uuid.uuid4().hex[:16]}"
                if how == "unique"
                else datetime.now(UTC).isoformat()
            )
    return example


def holders(node: Any, path: list[str]) -> list[Any]:
    """The mappings at a path; a list on the way means each of its elements."""
    nodes = node if isinstance(node, list) else [node]
    return (
        [found for child in nodes for found in holders(child[path[0]], path[1:])] if path else nodes
    )


def judge() -> list[dict[str, Any]]:
    """Return one row per objective: promised and measured share, and the verdict."""
    rows = []
    for scenario in SCENARIOS:
        name = scenario["id"]
        for promise in scenario["objectives"]:
            total = TALLY.total[name] if promise["within"] is None else len(TALLY.good[name])
            good = (
                total - TALLY.failed[name]
                if promise["within"] is None
                else sum(s <= promise["within"] for s in TALLY.good[name])
            )
            verdict, measured = "idle", None
            if total:
                measured = good / total
                verdict = "met" if good >= promise["objective"] * total else "missed"
            rows.append(
                {
                    "slo": promise["slo"],
                    "objective": promise["objective"],
                    "measured": measured,
                    "good": good,
                    "total": total,
                    "verdict": verdict,
                }
            )
    return rows


def figures(entry: locust_stats.StatsEntry | None) -> dict[str, Any]:
    """Locust's own numbers, as its CSV files have them, with times in seconds."""
    if entry is None or not entry.num_requests:
        return {"requests": 0, "failed": 0, "rate": 0.0} | dict.fromkeys(PERCENTILES)
    times = {
        key: entry.get_response_time_percentile(share) / 1000 for key, share in PERCENTILES.items()
    }
    return {
        "requests": entry.num_requests,
        "failed": entry.num_failures,
        "rate": entry.total_rps,
        **times,
    }


@events.request.add_listener
def count(
    name: str, response_time: float, exception: Exception | None, response: Any = None, **_: Any
) -> None:
    answered = bool(response is not None and response.status_code)  # 0 is a connection that broke
    TALLY.add(name, response_time / 1000, str(exception) if exception else "", answered=answered)


@events.quitting.add_listener
def conclude(environment: Environment, **_: Any) -> None:
    rows = judge()
    verdicts = {row["verdict"] for row in rows}
    if "missed" in verdicts:
        environment.process_exit_code = 1
    else:
        environment.process_exit_code = 0 if "met" in verdicts else 2
    if VERDICT:
        stats = environment.stats
        routes = [
            {
                "route": scenario["id"],
                "expect": scenario["expect"],
                "within": min(
                    (o["within"] for o in scenario["objectives"] if o["within"]), default=None
                ),
                "sent": TALLY.sent[scenario["id"]],
                "answered": TALLY.answered[scenario["id"]],
                "clients": figures(stats.entries.get((scenario["id"], scenario["method"]))),
            }
            for scenario in SCENARIOS
        ]
        errors = [
            {"what": what, "count": number}
            for what, number in sorted(TALLY.errors.items(), key=lambda item: -item[1])
        ]
        report = {
            "started": stats.start_time,
            "ended": stats.last_request_timestamp or stats.start_time,
            "total": figures(stats.total),
            "routes": routes,
            "errors": errors,
            "objectives": rows,
        }
        Path(VERDICT).write_text(json.dumps(report, indent=1), encoding="utf-8")
    if environment.parsed_options and environment.parsed_options.csv_prefix:
        # Locust writes its CSV files every second, not at its end: wait for the last requests
        time.sleep(2 * locust_stats.CSV_STATS_INTERVAL_SEC)
