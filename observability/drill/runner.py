"""Drills: an injected fault whose alert must be pending, fire, reach the inbox and resolve.

Drills are rows of DRILLS. Each runs on a stack of its own (sandbox.py), whose clock the policy
speeds up, and fails when its fault had no effect or any other alert fires.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from typing import Any

import httpx

from observability.devstack.native import is_free
from observability.devstack.readiness import Refused
from observability.drill.sandbox import Sandbox
from observability.lib.console import fetch_delivered_alerts
from observability.lib.http import Unreachable, poll
from observability.lib.prometheus import Prometheus
from observability.spec import names
from observability.spec.drill_clock import accelerate
from observability.spec.plan import Plan

RATE = 20  # requests per second of the baseline
THREADS = 4
BASELINE_SECONDS = 8.0
FAULT_SECONDS = 300.0  # a fault expires by itself, long after any drill has undone it
EFFECT_SECONDS = 10.0
STEP_SECONDS = 120.0  # no step may take longer, on a busy machine either
POLL_SECONDS = 0.25  # between two looks at Prometheus and the inbox
ROUTE, PATH = "readings.latest", "/api/v1/nodes/main-branch/latest"
ALWAYS_FIRING = frozenset({(names.WATCHDOG_ALERT, ""), ("PipelineTest", "")})
Alert = tuple[str, str]  # alertname, slo
Say = Callable[[str], None]


@dataclass(frozen=True)
class Drill:
    """A fault, the alerts that must follow it, and the others that may."""

    name: str
    description: str
    required: frozenset[Alert]
    allowed: frozenset[Alert] = frozenset()
    fault: str | None = None  # kind of fault on ROUTE (api/platform/faults.py)
    stops: tuple[str, ...] = ()  # programs to stop instead
    locks: str = ""  # SQLite file of the stack that nobody else may write to meanwhile
    breaks_delivery: bool = False  # undone before the alert can be delivered


def burn_alert(slo: str) -> Alert:
    return names.BURN_ALERT, slo


DRILLS = {
    drill.name: drill
    for drill in (
        Drill(
            "route-errors",
            f"{ROUTE} answers 500",
            frozenset({burn_alert(f"{ROUTE}-availability")}),
            fault="error",
        ),
        Drill(
            "route-exception",
            f"{ROUTE} raises an exception that nobody handles",
            frozenset({burn_alert(f"{ROUTE}-availability"), ("UnhandledException", "")}),
            fault="exception",
        ),
        Drill(
            "route-slow",
            f"{ROUTE} takes longer than its slowest objective",
            frozenset({burn_alert(f"{ROUTE}-latency-200ms"), burn_alert(f"{ROUTE}-latency-1s")}),
            fault="slow",
        ),
        Drill(
            "stop-api",
            "the API and its metrics are gone",
            frozenset(
                {
                    burn_alert("nodes.list-probe"),
                    burn_alert("health.ready-probe"),
                    ("TargetDown", ""),
                }
            ),
            allowed=frozenset(
                {
                    (names.UNMEASURED_ALERT, "*"),
                    burn_alert("thingspeak.sync-freshness"),
                    burn_alert("alarms.deliver-freshness"),
                }
            ),
            stops=("api", "metrics"),
        ),
        Drill(
            "stop-inbox",
            "nobody takes what Alertmanager delivers",
            frozenset({("AlertDeliveryFailing", "")}),
            stops=("console",),
            breaks_delivery=True,
        ),
        Drill(
            "hold-limiter",
            "the store of rate limits takes no counts",
            frozenset({("LimiterStoreDown", "")}),
            locks="limits.db",
        ),
        Drill(
            "stop-replay",
            "ThingSpeak is gone, and syncs fail for good",
            frozenset({("BreakerOpen", ""), ("DeadLetters", "")}),
            allowed=frozenset(
                {burn_alert("thingspeak-availability"), burn_alert("thingspeak.sync-freshness")}
            ),
            stops=("replay",),
        ),
    )
}
DEFAULT = "route-errors"


@dataclass
class Step:
    """Something that happened, in seconds since the fault."""

    what: str
    at: float
    detail: str = ""


@dataclass
class Result:
    """The outcome of a drill, as `drill --json` prints it."""

    name: str
    passed: bool = False
    verdict: str = ""
    steps: list[Step] = field(default_factory=list)


class DrillFailed(Exception):
    """A drill that did not go as it must; the message says why."""


class Traffic:
    """Steady requests to one route in a few threads; counts good and bad answers."""

    def __init__(self, url: str, rate: float, key: str):
        self._url, self._pause, self._headers = (
            url,
            THREADS / rate,
            {"Authorization": f"Bearer {key}"},
        )
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.good = self.bad = self.slow = 0
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(THREADS)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=5)

    def _run(self) -> None:
        with httpx.Client(timeout=5, headers=self._headers) as http:
            while not self._stop.wait(self._pause):
                started = time.monotonic()
                try:
                    ok = http.get(self._url).is_success
                except httpx.HTTPError:
                    ok = False
                with self._lock:
                    self.good += ok
                    self.bad += not ok
                    self.slow += time.monotonic() - started > 1

    def reset(self) -> None:
        with self._lock:
            self.good = self.bad = self.slow = 0


def run(drill: Drill, plan: Plan, say: Say) -> Result:
    """Run a drill on a stack of its own; a drill that fails raises nothing."""
    result = Result(drill.name)
    started = time.monotonic()
    try:
        with (
            Sandbox(accelerate(plan.without_gateway())) as sandbox,
            Traffic(sandbox.layout.url("api") + PATH, RATE, sandbox.layout.key("load")) as traffic,
        ):
            say(
                f"own stack ready after {time.monotonic() - started:.1f} s; "
                f"{plan.policy.drill.speed} times faster clock"
            )
            perform(drill, sandbox, traffic, result, say)
        result.passed, result.verdict = (
            True,
            f"delivered and resolved as it must, {time.monotonic() - started:.0f} s in all",
        )
    except (DrillFailed, Refused, Unreachable) as error:
        result.verdict = str(error)
    return result


def perform(drill: Drill, sandbox: Sandbox, traffic: Traffic, result: Result, say: Say) -> None:
    prometheus = Prometheus(sandbox.layout.url("prometheus"))
    watch = AlertWatch(drill, prometheus, sandbox)
    wait_until_calm(prometheus)
    traffic.reset()
    check_baseline(watch, traffic)
    say(
        f"baseline: {traffic.good} requests in {BASELINE_SECONDS:.0f} s, "
        f"{traffic.bad} failed, no alert"
    )
    started = time.monotonic()

    def step(what: str, detail: str = "") -> None:
        result.steps.append(Step(what, round(time.monotonic() - started, 1), detail))
        say(f"{time.monotonic() - started:6.1f} s  {what:<10}{detail}")

    def end_fault() -> None:
        undo_fault(drill, sandbox)
        step("mended", "fault taken away")

    traffic.reset()
    inject_fault(drill, sandbox)
    step("fault", drill.description)
    check_effect(drill, sandbox, traffic)
    watch.wait_until(
        "pending", lambda: drill.required <= watch.seen["pending"] | watch.seen["firing"]
    )
    step("pending", format_alerts(drill.required))
    watch.wait_until("firing", lambda: drill.required <= watch.seen["firing"])
    step("firing", format_alerts(drill.required))
    if drill.breaks_delivery:
        end_fault()
    watch.wait_until("delivered", lambda: drill.required <= watch.delivered())
    step("delivered", "to the inbox")
    if not drill.breaks_delivery:
        end_fault()
    watch.wait_until("resolved", watch.resolved)
    step("resolved", "in the inbox")


class AlertWatch:
    """The alerts seen so far; fails on an alert that the drill does not allow."""

    def __init__(self, drill: Drill, prometheus: Prometheus, sandbox: Sandbox):
        self.drill, self._prometheus, self._sandbox = drill, prometheus, sandbox
        self.seen: dict[str, set[Alert]] = {"pending": set(), "firing": set()}

    def observe(self) -> None:
        for alert in self._prometheus.alerts():
            self.seen[alert["state"]].add(identify(alert["labels"]))
        unexpected = {
            a
            for a in self.seen["firing"] - ALWAYS_FIRING - self.drill.required
            if a not in self.drill.allowed and (a[0], "*") not in self.drill.allowed
        }
        if unexpected:
            raise DrillFailed(
                f"{format_alerts(unexpected)} fired, which this drill neither wants nor allows"
            )

    def wait_until(self, state: str, reached: Callable[[], bool]) -> None:
        for _ in poll(STEP_SECONDS, POLL_SECONDS):
            self.observe()
            if reached():
                return
        missing = self.drill.required - (
            self.seen["firing"] if state == "firing" else self.seen["pending"] | self.seen["firing"]
        )
        raise DrillFailed(
            f"not {state} after {STEP_SECONDS:.0f} s: {format_alerts(missing or self.drill.required)}"
        )

    def _inbox(self) -> list[dict[str, Any]]:
        try:
            return fetch_delivered_alerts(self._sandbox.layout.url("console"))
        except Unreachable:
            return []  # it is being started again

    def delivered(self) -> set[Alert]:
        return {identify(alert["labels"]) for alert in self._inbox()}

    def resolved(self) -> bool:
        # When an alert fires again at once, its earlier end is never delivered: the last counts.
        last = {
            tuple(sorted(a["labels"].items())): a
            for a in sorted(self._inbox(), key=lambda a: a["started"])
        }
        ending = [
            a
            for a in last.values()
            if identify(a["labels"]) in self.drill.required and not outlasts_drill(a["labels"])
        ]
        return bool(ending) and all(alert["resolved"] for alert in ending)


def identify(labels: dict[str, str]) -> Alert:
    return labels["alertname"], labels.get(names.SLO, "")


def outlasts_drill(labels: dict[str, str]) -> bool:
    """Return whether an alert stays until the budget has recovered, as burn tickets do."""
    return labels["alertname"] == names.BURN_ALERT and labels[names.SEVERITY] == "ticket"


def format_alerts(alerts: Set[Alert]) -> str:
    return ", ".join(f"{name} {slo}".strip() for name, slo in sorted(alerts))


def wait_until_calm(prometheus: Prometheus) -> None:
    """Wait until only the watchdog fires: a Prometheus that has just started has no data."""
    for _ in poll(STEP_SECONDS, POLL_SECONDS):
        present = {identify(alert["labels"]) for alert in prometheus.alerts()} - ALWAYS_FIRING
        if not present:
            return
    raise DrillFailed(f"not calm {STEP_SECONDS:.0f} s after the start: {format_alerts(present)}")


def check_baseline(watch: AlertWatch, traffic: Traffic) -> None:
    """Observe healthy traffic; raise DrillFailed on an alert or a failed request."""
    for _ in poll(BASELINE_SECONDS, POLL_SECONDS):
        watch.observe()
        early = watch.seen["firing"] & watch.drill.required
        if early or traffic.bad:
            raise DrillFailed(
                f"not calm before the fault: {format_alerts(early) or 'no alert'}, "
                f"{traffic.bad} failed requests"
            )
    if not traffic.good:
        raise DrillFailed("the baseline got no answers")


def inject_fault(drill: Drill, sandbox: Sandbox) -> None:
    if drill.fault:
        fault = {
            "route": ROUTE,
            "kind": drill.fault,
            "seconds": 1.2,
            "until": time.time() + FAULT_SECONDS,
        }
        draft = sandbox.layout.fault.with_suffix(".new")
        draft.write_text(json.dumps(fault), encoding="utf-8")
        draft.replace(sandbox.layout.fault)
    for name in drill.stops:
        sandbox.stop(name)
    if drill.locks:
        sandbox.lock_holder = sqlite3.connect(
            sandbox.layout.state / drill.locks, isolation_level=None
        )
        sandbox.lock_holder.execute("BEGIN IMMEDIATE")


def undo_fault(drill: Drill, sandbox: Sandbox) -> None:
    sandbox.layout.fault.unlink(missing_ok=True)
    sandbox.lock_holder.close()
    for name in reversed(drill.stops):
        sandbox.start(name)


def check_effect(drill: Drill, sandbox: Sandbox, traffic: Traffic) -> None:
    """Wait until the fault is noticed; raise DrillFailed. Only its alert notices a locked store."""
    is_untouched_by_traffic = (
        drill.stops and "api" not in drill.stops
    )  # traffic does not meet what was stopped
    for _ in poll(EFFECT_SECONDS, 0.1):
        noticed = traffic.slow if drill.fault == "slow" else traffic.bad
        if drill.locks or (
            is_free(getattr(sandbox.layout.ports, drill.stops[0]))
            if is_untouched_by_traffic
            else noticed
        ):
            return
    raise DrillFailed(
        f"the fault had no effect: nobody noticed anything for {EFFECT_SECONDS:.0f} s; "
        f"look at api/platform/faults.py"
    )
