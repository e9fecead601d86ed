"""One drill from a calm stack to a resolved alert: its steps, their times and the verdict."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from observability.devstack.steps import StackError
from observability.drill import DrillFailed
from observability.drill.alerts import (
    ALWAYS_FIRING,
    POLL_SECONDS,
    STEP_SECONDS,
    AlertWatch,
    format_alerts,
    identify,
)
from observability.drill.faults import Fault, RouteFault
from observability.drill.registry import Drill
from observability.drill.sandbox import Sandbox
from observability.drill.traffic import THREADS, TIMEOUT, Traffic
from observability.lib.http import Unreachable, poll
from observability.lib.prometheus import ServicePrometheus
from observability.spec.drill_clock import accelerate
from observability.spec.gateway import without_gateway
from observability.spec.plan import Plan

RATE = 20.0  # requests per second
SLACK = 1.1  # by which a thread's turns are further apart than a slow response takes
BASELINE_SECONDS = 8.0
EFFECT_SECONDS = TIMEOUT  # a slow route has an effect when its first response arrives
EFFECT_POLL_SECONDS = 0.1
PrintLine = Callable[[str], None]


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


class Timeline:
    """The steps of a drill, timed from the moment at which it is created."""

    def __init__(self, steps: list[Step], print_line: PrintLine):
        self._steps = steps
        self._print_line = print_line
        self._started = time.monotonic()

    def add(self, what: str, detail: str = "") -> None:
        """Add a step that has just happened, and print it."""
        seconds = time.monotonic() - self._started
        self._steps.append(Step(what, round(seconds, 1), detail))
        self._print_line(f"{seconds:6.1f} s  {what:<10}{detail}")


def run(drill: Drill, plan: Plan, path: str, print_line: PrintLine) -> Result:
    """Run a drill on a stack of its own, with requests to `path`, and return its result.

    A failed drill raises nothing.
    """
    result = Result(drill.name)
    started = time.monotonic()
    try:
        with Sandbox(accelerate(without_gateway(plan))) as sandbox:
            layout = sandbox.layout
            rate = request_rate(drill.fault)
            with Traffic(layout.url("api") + path, rate, layout.key("load")) as traffic:
                seconds = time.monotonic() - started
                speed = plan.policy.drill.speed
                print_line(f"own stack ready after {seconds:.1f} s; {speed} times faster clock")
                perform(drill, sandbox, traffic, result, print_line)
    except (DrillFailed, StackError, Unreachable) as error:
        result.verdict = str(error)
    else:
        seconds = time.monotonic() - started
        result.passed = True
        result.verdict = f"the alert was delivered and resolved; {seconds:.0f} s in total"
    return result


def request_rate(fault: Fault) -> float:
    """Return the requests per second: RATE, or fewer for which the threads do not wait in a queue.

    On the drill's clock windows are seconds long; they need a bad event in each.
    """
    if not isinstance(fault, RouteFault) or not fault.delay:
        return RATE
    return min(RATE, THREADS / (fault.delay * SLACK))


def perform(
    drill: Drill, sandbox: Sandbox, traffic: Traffic, result: Result, print_line: PrintLine
) -> None:
    """Break a calm sandbox and follow the alerts until they are resolved; raise DrillFailed."""
    prometheus = ServicePrometheus(sandbox.layout.url("prometheus"), sandbox.plan)
    inbox_url = sandbox.layout.url("console")
    severity = sandbox.plan.paging_severity
    watch = AlertWatch(drill.required, drill.allowed, prometheus, inbox_url, severity)
    wait_until_calm(prometheus)
    traffic.reset()
    check_baseline(watch, traffic)
    requests = f"{traffic.succeeded} requests in {BASELINE_SECONDS:.0f} s"
    print_line(f"baseline: {requests}, {traffic.failed} failed, no alert")
    timeline = Timeline(result.steps, print_line)
    traffic.reset()
    with ExitStack() as fault:

        def undo_fault() -> None:
            fault.close()
            timeline.add("repaired", "the fault is removed")

        fault.enter_context(drill.fault.inject(sandbox))
        timeline.add("fault", drill.description)
        check_effect(drill, sandbox, traffic)
        watch.wait_for("pending", watch.active)
        timeline.add("pending", format_alerts(drill.required))
        watch.wait_for("firing", watch.firing)
        timeline.add("firing", format_alerts(drill.required))
        if drill.breaks_delivery:
            undo_fault()
        watch.wait_for("delivered", watch.delivered)
        timeline.add("delivered", "to the inbox")
        if not drill.breaks_delivery:
            undo_fault()
    watch.wait_for("resolved", watch.resolved)
    timeline.add("resolved", "in the inbox")


def wait_until_calm(prometheus: ServicePrometheus) -> None:
    """Wait until nothing is pending or firing: a Prometheus that has just started has no data."""
    for _ in poll(STEP_SECONDS, POLL_SECONDS):
        present = {identify(alert["labels"]) for alert in prometheus.alerts()} - ALWAYS_FIRING
        if not present:
            return
    alerts = format_alerts(present)
    raise DrillFailed(f"not calm {STEP_SECONDS:.0f} s after the start: {alerts}")


def check_baseline(watch: AlertWatch, traffic: Traffic) -> None:
    """Observe healthy traffic for BASELINE_SECONDS.

    Raise DrillFailed on an alert or a failed request: after it, the fault would prove nothing.
    """
    for _ in poll(BASELINE_SECONDS, POLL_SECONDS):
        watch.observe()
        early = watch.firing() & watch.required
        if early or traffic.failed:
            alerts = format_alerts(early) or "no alert"
            raise DrillFailed(
                f"not calm before the fault: {alerts}, {traffic.failed} failed requests"
            )
    if not traffic.succeeded:
        raise DrillFailed("the baseline got no answers")


def check_effect(drill: Drill, sandbox: Sandbox, traffic: Traffic) -> None:
    """Wait until the fault has an effect; raise DrillFailed after EFFECT_SECONDS."""
    for _ in poll(EFFECT_SECONDS, EFFECT_POLL_SECONDS):
        if drill.fault.has_effect(sandbox, traffic):
            return
    seconds = f"{EFFECT_SECONDS:.0f} s"
    raise DrillFailed(f"the fault had no effect within {seconds}; look at api/platform/faults.py")
