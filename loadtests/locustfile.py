"""The load scenarios of scenarios.json, which the catalogue generates, as Locust users.

    locust -f loadtests/locustfile.py --host http://localhost:8000

Every request is named by its catalogue id, and the run is judged by the same objectives as the
service: the exit code is 0 when all that had traffic were met, 1 when one was missed or a user
raised an exception, 2 when none was missed but some had too few requests, or nothing was measured.
A distributed run (`--master` and `--worker`) is judged by its master. The module imports nothing of
the API and nothing that opens sockets, because `import locust` replaces those of its process.

A scenario has the request (`id`, `method`, `path`, `query`, `body`), the status codes that the
contract promises (`expect`), its share of the load (`weight`), its `objectives`, and:

    provides    what the request creates: the resource, the field of the answer that holds its id,
                and the parameters of the path that the resource lies below
    needs       {parameter: the resource that it stands for, and the parameters of its path}
    rank        the round in which the request can be sent: what it needs was created before
    consumes    the parameter whose resource the request removes
    fixed       {parameter: the one resource that is always requested}
    vary        {field of the body: `unique` or `now`}
"""

import json
import os
import random
import re
import sys
import time
from collections import defaultdict
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

from locust import HttpUser, constant_throughput, events
from locust import stats as locust_stats
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests import run_report, verdicts
from loadtests.distributed_run import DistributedRun
from loadtests.request_bodies import encode_body
from loadtests.resources import Resource, list_created
from loadtests.tally import Tally
from observability.spec.environment_numbers import read_number, read_whole_number

Scenario = dict[str, Any]  # see generate/locust.py
Row = dict[str, Any]
OWN_SCENARIOS = Path(__file__).parent / "scenarios.json"
SCENARIOS_FILE = Path(os.environ.get("EVARA_LOAD_SCENARIOS", OWN_SCENARIOS))


def read_scenarios() -> list[Scenario]:
    """Return the scenarios; exit with 2 and a sentence when the file has none."""
    try:
        scenarios: list[Scenario] = json.loads(SCENARIOS_FILE.read_text("utf-8"))["scenarios"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        sys.stderr.write(
            f"EVARA_LOAD_SCENARIOS is {str(SCENARIOS_FILE)!r}, which has no scenarios ({error!r})."
            f" fix: make generate, and name the scenarios.json that it writes\n"
        )
        raise SystemExit(2) from error
    return scenarios


SCENARIOS = read_scenarios()
verdicts.require_known_kinds(SCENARIOS)
RATE = read_number(os.environ, "EVARA_LOAD_RATE", 50)  # requests per second of all users together
USERS = read_whole_number(os.environ, "EVARA_LOAD_USERS", 20)
KEY = os.environ.get("EVARA_API_KEY", "")  # an unlimited write key
# A request that is not answered by then has failed.
TIMEOUT_SECONDS = read_number(os.environ, "EVARA_LOAD_TIMEOUT", 10)
STOP_SPREAD_SECONDS = 4.0
VERDICT = os.environ.get("EVARA_LOAD_VERDICT", "")  # file for the verdict as JSON


CREATION_ORDER = sorted(SCENARIOS, key=itemgetter("rank"))  # what is needed comes first
TALLY = Tally(SCENARIOS)
RUN = DistributedRun(TALLY)
RUN.register()


class ApiUser(HttpUser):
    """One client: makes what its routes need, then draws routes by weight."""

    wait_time = constant_throughput(RATE / USERS)

    def on_start(self) -> None:
        """Create a resource of each kind that routes need."""
        self.pool = defaultdict[str, list[Resource]](list)
        if KEY:
            self.client.headers.update({"Authorization": f"Bearer {KEY}"})
        self.choices = [scenario for scenario in SCENARIOS if scenario["weight"]]
        self.weights = [scenario["weight"] for scenario in self.choices]
        for scenario in CREATION_ORDER:
            if scenario["provides"]:
                self.perform(scenario, {})

    def on_stop(self) -> None:
        """Delete the resources that are left; Locust does not report exceptions in here."""
        try:
            self.delete_resources()
        except Exception as error:
            self.environment.events.user_error.fire(
                user_instance=self, exception=error, tb=error.__traceback__
            )
            raise

    def delete_resources(self) -> None:
        """Delete the resources that are left, not all clients at the same moment.

        The last created are deleted first: others may have been needed to create them.
        """
        time.sleep(random.uniform(0, STOP_SPREAD_SECONDS))  # noqa: S311
        for scenario in reversed(CREATION_ORDER):
            if not scenario["consumes"] or scenario["provides"]:
                continue
            while self.pool[consumed(scenario)["resource"]]:
                self.consume_newest(scenario)

    def draw(self) -> None:
        """Send a request of a route that is drawn by weight."""
        [scenario] = random.choices(self.choices, self.weights)  # noqa: S311 - load, not secrets
        self.perform(scenario, {})

    tasks = [draw]  # noqa: RUF012 - locust wants a plain list

    def perform(self, scenario: Scenario, known: dict[str, str]) -> None:
        """Send a request; what it removes is created for it, so that others keep theirs."""
        if not scenario["consumes"]:
            self.send(scenario, known)
        elif self.create(consumed(scenario), scenario["fixed"] | known):
            self.consume_newest(scenario)

    def create(self, need: Row, values: dict[str, str]) -> bool:
        """Create a resource, below those that `values` names; return whether it worked."""
        pool = self.pool[need["resource"]]
        before = len(pool)
        scenario, below = find_creating(need["resource"])
        known = {
            parameter: values[parent]
            for parameter, parent in zip(below, need["fills"], strict=False)
            if parent in values
        }
        self.perform(scenario, known)
        return len(pool) > before

    def consume_newest(self, scenario: Scenario) -> None:
        """Send the request that removes the newest resource of its pool.

        What was created by the same request goes with it, except what it lies below.
        """
        need = consumed(scenario)
        resource = self.pool[need["resource"]][-1]
        for created in resource.together:
            pool = self.pool[created.name]
            if created in pool and not resource.is_below(created):
                pool.remove(created)
        self.send(scenario, resource.match(need["fills"]))

    def send(self, scenario: Scenario, known: dict[str, str]) -> None:
        """Send one request, judged by the statuses that the contract promises.

        `known` has values of the path's parameters; the others are chosen.
        """
        values = self.choose_values(scenario, known)
        if values is None:
            return
        name = scenario["id"]
        body = encode_body(scenario)
        TALLY.sent[name] += 1
        quoted = {parameter: quote(value, safe="") for parameter, value in values.items()}
        with self.client.request(
            scenario["method"],
            scenario["path"].format(**quoted),
            name=name,
            params=scenario["query"],
            timeout=TIMEOUT_SECONDS,
            catch_response=True,
            **body,
        ) as answer:
            if answer.status_code in scenario["expect"]:
                self.keep_created(scenario, values, answer)
            elif answer.status_code:
                excerpt = (answer.text or "")[:120]
                answer.failure(f"{answer.status_code} {excerpt}")
            else:
                answer.failure(str(answer.error))

    def keep_created(self, scenario: Scenario, values: dict[str, str], answer: Any) -> None:
        """Add what a good answer created to the pools; without its ids the answer is a failure."""
        provides = scenario["provides"]
        try:
            created = list_created(provides, values, answer.json() if provides else None)
        except (ValueError, KeyError, TypeError) as error:
            answer.failure(f"the answer does not have the new id: {error!r}")
            return
        answer.success()
        for resource in created:
            self.pool[resource.name].append(resource)

    def choose_values(self, scenario: Scenario, known: dict[str, str]) -> dict[str, str] | None:
        """Return a value for each parameter of the path; None when a resource cannot be created.

        The last parameter comes first: a resource below another one says below which.
        """
        values: dict[str, str] = scenario["fixed"] | known
        for parameter in reversed(list_parameters(scenario["path"])):
            if parameter in values:
                continue
            need = scenario["needs"][parameter]
            resource = self.choose_resource(need, values)
            if resource is None:
                return None
            values = resource.match(need["fills"]) | values
        return values

    def choose_resource(self, need: Row, values: dict[str, str]) -> Resource | None:
        """Return a resource that agrees with the values; without one create it, or return None."""
        pool = self.pool[need["resource"]]
        fitting = pool
        if values.keys() & set(need["fills"]):
            fitting = [resource for resource in pool if resource.fits(need["fills"], values)]
        if not fitting and self.create(need, values):
            fitting = pool[-1:]
        return random.choice(fitting) if fitting else None  # noqa: S311 - load, not secrets


def find_creating(resource: str) -> tuple[Scenario, list[str]]:
    """Return the scenario that creates a resource, and the parameters that it lies below."""
    return next(
        (scenario, new["below"])
        for scenario in CREATION_ORDER
        for new in scenario["provides"]
        if new["resource"] == resource
    )


def consumed(scenario: Scenario) -> Row:
    """Return the resource that a request removes, as `needs` has it."""
    need: Row = scenario["needs"][scenario["consumes"]]
    return need


def list_parameters(path: str) -> list[str]:
    """Return the names of the parameters in a path."""
    return re.findall(r"{(\w+)}", path)


@events.request.add_listener
def count(
    name: str, response_time: float, exception: Exception | None, response: Any, **_: Any
) -> None:
    """Count a request when it ends; a status of 0 is a connection that broke."""
    answered = response.status_code != 0
    TALLY.add(name, response_time / 1000, str(exception or ""), answered=answered)


@events.user_error.add_listener
def count_exception(exception: Exception, **_: Any) -> None:
    """Count an exception of a user, which sent no request or did not read its answer."""
    TALLY.exceptions[f"{type(exception).__name__}: {exception}"] += 1


def build_report(environment: Environment) -> Row:
    """Return the report of the run so far."""
    RUN.count_unhandled()
    return run_report.build_report(environment.stats, SCENARIOS, TALLY, len(RUN.lost))


@events.init.add_listener
def serve_verdict(environment: Environment, **_: Any) -> None:
    """Serve the report of the present or last run at /verdict, beside Locust's own pages."""
    if environment.web_ui and environment.web_ui.app:
        environment.web_ui.app.add_url_rule(
            "/verdict", "verdict", lambda: build_report(environment)
        )


@events.quitting.add_listener
def conclude(environment: Environment, **_: Any) -> None:
    """Judge the run, write its report and set the exit code; a worker leaves it to its master."""
    if isinstance(environment.runner, WorkerRunner):
        environment.process_exit_code = 0
        return
    report = build_report(environment)
    environment.process_exit_code = run_report.choose_exit_code(report)
    if VERDICT:
        Path(VERDICT).write_text(json.dumps(report, indent=1), encoding="utf-8")
    options = environment.parsed_options
    if options and options.csv_prefix:
        # Locust writes its CSV files every second, not at its end: wait for the last requests
        time.sleep(2 * locust_stats.CSV_STATS_INTERVAL_SEC)
