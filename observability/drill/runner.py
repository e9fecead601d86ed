"""Drills: a fault is made on purpose, and its alert must be pending, fire, reach the inbox and resolve; anything else fails.

Fault classes are rows of DRILLS. A drill has its own stack (arena.py) on a clock that the policy speeds up, so it never
touches the main one, and it fails when its fault had no effect.
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
from observability.drill.sandbox import Arena
from observability.lib.console import fetch_delivered_alerts
from observability.lib.http import Unreachable, poll
from observability.lib.prometheus import Prometheus
from observability.spec import names
from observability.spec.drill_clock import accelerate
from observability.spec.plan import Plan

RATE = 20  # requests per second of the baseline
THREADS = 4
BASELINE_SECONDS = 8.0
FAULT_SECONDS = (
    300.0  # a fault expires by itself, later than any drill that goes well takes it away
)
EFFECT_SECONDS = 10.0
STEP_SECONDS = 120.0  # no step may take longer, on a busy machine either
LOOK_SECONDS = 0.25  # between two looks at Prometheus and the inbox
ROUTE, PATH = "readings.latest", "/api/v1/nodes/main-branch/latest"
ALWAYS = frozenset({(names.WATCHDOG_ALERT, ""), ("PipelineTest", "")})
Alert = tuple[str, str]  # alertname, slo
Say = Callable[[str], None]


@dataclass(frozen=True)
class Drill:
    """One fault class: what is broken, which alerts must follow, and which others may."""

    name: str
    what: str
    must: frozenset[Alert]
    may: frozenset[Alert] = frozenset()
    fault: str | None = None  # kind of fault on ROUTE (api/platform/faults.py)
    stops: tuple[str, ...] = ()  # programs to stop instead
    holds: str = ""  # SQLite file of the stack that nobody else may write to meanwhile
    deaf: bool = False  # the receiver itself is gone: mended before anything can be delivered


def burn(slo: str) -> Alert:
    return names.BURN_ALERT, slo


DRILLS = {
    drill.name: drill
    for drill in (
        Drill(
            "route-errors",
            f"{ROUTE} answers 500",
            frozenset({burn(f"{ROUTE}-availability")}),
            fault="error",
        ),
        Drill(
            "route-exception",
            f"{ROUTE} raises an exception that nobody handles",
            frozenset({burn(f"{ROUTE}-availability"), ("UnhandledException", "")}),
            fault="exception",
        ),
        Drill(
            "route-slow",
            f"{ROUTE} takes longer than its slowest objective",
            frozenset({burn(f"{ROUTE}-latency-200ms"), burn(f"{ROUTE}-latency-1s")}),
            fault="slow",
        ),
        Drill(
            "stop-api",
            "the API and its metrics are gone",
            frozenset({burn("nodes.list-probe"), burn("health.ready-probe"), ("TargetDown", "")}),
            may=frozenset(
                {
                    (names.UNMEASURED_ALERT, "*"),
                    burn("thingspeak.sync-freshness"),
                    burn("alarms.deliver-freshness"),
                }
            ),
            stops=("api", "metrics"),
        ),
        Drill(
            "stop-inbox",
            "nobody takes what Alertmanager delivers",
            frozenset({("AlertDeliveryFailing", "")}),
            stops=("console",),
            deaf=True,
        ),
        Drill(
            "hold-limiter",
            "the store of rate limits takes no counts",
            frozenset({("LimiterStoreDown", "")}),
            holds="limits.db",
        ),
        Drill(
            "stop-replay",
            "ThingSpeak is gone, and syncs fail for good",
            frozenset({("BreakerOpen", ""), ("DeadLetters", "")}),
            may=frozenset({burn("thingspeak-availability"), burn("thingspeak.sync-freshness")}),
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
    """What a drill saw."""

    name: str
    passed: bool = False
    verdict: str = ""
    steps: list[Step] = field(default_factory=list)


class Failed(Exception):
    """The drill did not go as it must; the message says how."""


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
    """The whole drill; never raises for a drill that fails."""
    result = Result(drill.name)
    begun = time.monotonic()
    try:
        with (
            Arena(accelerate(plan.without_gateway())) as arena,
            Traffic(arena.layout.url("api") + PATH, RATE, arena.layout.key("load")) as traffic,
        ):
            say(
                f"own stack ready after {time.monotonic() - begun:.1f} s; {plan.policy.drill.speed} times faster clock"
            )
            go(drill, arena, traffic, result, say)
        result.passed, result.verdict = (
            True,
            f"delivered and resolved as it must, {time.monotonic() - begun:.0f} s in all",
        )
    except (Failed, Refused, Unreachable) as error:
        result.verdict = str(error)
    return result


def go(drill: Drill, arena: Arena, traffic: Traffic, result: Result, say: Say) -> None:
    prometheus = Prometheus(arena.layout.url("prometheus"))
    watch = Watch(drill, prometheus, arena)
    settle(prometheus)
    traffic.reset()
    calm(watch, traffic)
    say(
        f"baseline: {traffic.good} requests in {BASELINE_SECONDS:.0f} s, {traffic.bad} failed, no alert"
    )
    started = time.monotonic()

    def step(what: str, detail: str = "") -> None:
        result.steps.append(Step(what, round(time.monotonic() - started, 1), detail))
        say(f"{time.monotonic() - started:6.1f} s  {what:<10}{detail}")

    def mend() -> None:
        end(drill, arena)
        step("mended", "fault taken away")

    traffic.reset()
    begin(drill, arena)
    step("fault", drill.what)
    check_effect(drill, arena, traffic)
    watch.until("pending", lambda: drill.must <= watch.seen["pending"] | watch.seen["firing"])
    step("pending", listed(drill.must))
    watch.until("firing", lambda: drill.must <= watch.seen["firing"])
    step("firing", listed(drill.must))
    if drill.deaf:
        mend()
    watch.until("delivered", lambda: drill.must <= watch.delivered())
    step("delivered", "to the inbox")
    if not drill.deaf:
        mend()
    watch.until("resolved", watch.resolved)
    step("resolved", "in the inbox")


class Watch:
    """What Prometheus and the inbox said so far; every look fails on an alert that has no business here."""

    def __init__(self, drill: Drill, prometheus: Prometheus, arena: Arena):
        self.drill, self._prometheus, self._arena = drill, prometheus, arena
        self.seen: dict[str, set[Alert]] = {"pending": set(), "firing": set()}

    def look(self) -> None:
        for alert in self._prometheus.alerts():
            self.seen[alert["state"]].add(identify(alert["labels"]))
        strangers = {
            a
            for a in self.seen["firing"] - ALWAYS - self.drill.must
            if a not in self.drill.may and (a[0], "*") not in self.drill.may
        }
        if strangers:
            raise Failed(f"{listed(strangers)} fired, which this drill neither wants nor allows")

    def until(self, what: str, true: Callable[[], bool]) -> None:
        for _ in poll(STEP_SECONDS, LOOK_SECONDS):
            self.look()
            if true():
                return
        missing = self.drill.must - (
            self.seen["firing"] if what == "firing" else self.seen["pending"] | self.seen["firing"]
        )
        raise Failed(f"not {what} after {STEP_SECONDS:.0f} s: {listed(missing or self.drill.must)}")

    def _inbox(self) -> list[dict[str, Any]]:
        try:
            return fetch_delivered_alerts(self._arena.layout.url("console"))
        except Unreachable:
            return []  # it is being started again

    def delivered(self) -> set[Alert]:
        return {identify(alert["labels"]) for alert in self._inbox()}

    def resolved(self) -> bool:
        # Nobody is told the end of an alert that fired again before its end was due to be told: the last time counts.
        last = {
            tuple(sorted(a["labels"].items())): a
            for a in sorted(self._inbox(), key=lambda a: a["started"])
        }
        mine = [
            a
            for a in last.values()
            if identify(a["labels"]) in self.drill.must and not lingers(a["labels"])
        ]
        return bool(mine) and all(alert["resolved"] for alert in mine)


def identify(labels: dict[str, str]) -> Alert:
    return labels["alertname"], labels.get(names.SLO, "")


def lingers(labels: dict[str, str]) -> bool:
    """Burn tickets look back over days, even on the drill's clock: they stay until the budget has recovered."""
    return labels["alertname"] == names.BURN_ALERT and labels[names.SEVERITY] == "ticket"


def listed(alerts: Set[Alert]) -> str:
    return ", ".join(f"{name} {slo}".strip() for name, slo in sorted(alerts))


def settle(prometheus: Prometheus) -> None:
    """A Prometheus that has just started knows nothing; waits until nothing but the watchdog is on its mind."""
    for _ in poll(STEP_SECONDS, LOOK_SECONDS):
        present = {identify(alert["labels"]) for alert in prometheus.alerts()} - ALWAYS
        if not present:
            return
    raise Failed(f"not calm {STEP_SECONDS:.0f} s after the start: {listed(present)}")


def calm(watch: Watch, traffic: Traffic) -> None:
    """Healthy traffic first: an alert, or a failing request, before the fault makes the drill worthless."""
    for _ in poll(BASELINE_SECONDS, LOOK_SECONDS):
        watch.look()
        early = watch.seen["firing"] & watch.drill.must
        if early or traffic.bad:
            raise Failed(
                f"not calm before the fault: {listed(early) or 'no alert'}, {traffic.bad} failed requests"
            )
    if not traffic.good:
        raise Failed("the baseline got no answers")


def begin(drill: Drill, arena: Arena) -> None:
    if drill.fault:
        fault = {
            "route": ROUTE,
            "kind": drill.fault,
            "seconds": 1.2,
            "until": time.time() + FAULT_SECONDS,
        }
        draft = arena.layout.fault.with_suffix(".new")
        draft.write_text(json.dumps(fault), encoding="utf-8")
        draft.replace(arena.layout.fault)
    for name in drill.stops:
        arena.stop(name)
    if drill.holds:
        arena.holder = sqlite3.connect(arena.layout.state / drill.holds, isolation_level=None)
        arena.holder.execute("BEGIN IMMEDIATE")


def end(drill: Drill, arena: Arena) -> None:
    arena.layout.fault.unlink(missing_ok=True)
    arena.holder.close()
    for name in reversed(drill.stops):
        arena.start(name)


def check_effect(drill: Drill, arena: Arena, traffic: Traffic) -> None:
    """Somebody must notice: a fault that does nothing proves nothing. No caller misses a store that is held; its alert must."""
    unasked = drill.stops and "api" not in drill.stops  # traffic does not meet what was stopped
    for _ in poll(EFFECT_SECONDS, 0.1):
        noticed = traffic.slow if drill.fault == "slow" else traffic.bad
        if drill.holds or (
            is_free(getattr(arena.layout.ports, drill.stops[0])) if unasked else noticed
        ):
            return
    raise Failed(
        f"the fault had no effect: nobody noticed anything for {EFFECT_SECONDS:.0f} s; look at api/platform/faults.py"
    )
