"""The drills follow from the catalogue and the policy."""

from collections.abc import Callable
from pathlib import Path

import pytest

from observability.devstack.programs import read_native_yaml
from observability.drill.faults import LockedDatabase, RouteFault, StoppedPrograms
from observability.drill.registry import DEFAULT_DRILL, drills
from observability.drill.runner import EFFECT_SECONDS
from observability.drill.traffic import TIMEOUT
from observability.spec import names
from observability.spec.plan import HTTP_SOURCE, JOB_SOURCE, LATENCY, PROBE_SOURCE, Plan
from tests.observability.compiler_support import SMALL
from tests.observability.drill.support import DRILLS, PLAN

ROUTE = "\ndrill: {route: things.list}\n"


def test_drills_have_their_published_names() -> None:
    """Scripts run them by name."""
    assert list(DRILLS) == [
        *("route-errors", "route-exception", "route-slow", "stop-api"),
        *("stop-worker", "stop-inbox", "hold-limiter", "stop-replay"),
    ]
    assert DEFAULT_DRILL in DRILLS


def test_every_drill_requires_an_alert() -> None:
    """A drill that requires no alert would pass without proving anything."""
    assert all(drill.required for drill in DRILLS.values())


def test_drills_require_the_symptoms_that_name_them() -> None:
    """The alerts follow from `drill:` in the catalogue, whatever they are called."""
    assert DRILLS["stop-replay"].required == {("BreakerOpen", ""), ("DeadLetters", "")}
    assert ("UnhandledException", "") in DRILLS["route-exception"].required


@pytest.mark.parametrize("quick", ["150ms", "200ms", "700ms"])
@pytest.mark.parametrize("slow", ["1s", "2s", "5s"])
def test_slow_route_breaks_every_latency_of_the_plan(
    plan_of: Callable[..., Plan], quick: str, slow: str
) -> None:
    """The alerts follow from the thresholds, and the delay exceeds the slowest of them.

    It is shorter than the time for which callers wait, and for which the drill waits for an effect.
    """
    latency = f"[{{threshold: {quick}, objective: 95}}, {{threshold: {slow}, objective: 99}}]"
    plan = plan_of(SMALL.replace("latency: []", f"latency: {latency}") + ROUTE)
    drill = drills(plan)["route-slow"]
    slos = [f"things.list-latency-{threshold}" for threshold in (quick, slow)]
    assert drill.required == {(names.BURN_ALERT, slo) for slo in slos}
    assert isinstance(drill.fault, RouteFault)
    slowest = max(float(slo.limit.seconds) for slo in plan.slos_of(HTTP_SOURCE, LATENCY))
    assert slowest < drill.fault.delay < min(TIMEOUT, EFFECT_SECONDS)


def test_stopped_programs_break_what_depends_on_them() -> None:
    """Probes fail without the API, jobs are overdue without the worker."""
    for name, source in (("stop-api", PROBE_SOURCE), ("stop-worker", JOB_SOURCE)):
        slos = {slo.name for slo in PLAN.slos if slo.source == source}
        assert slos
        assert DRILLS[name].required >= {(names.BURN_ALERT, slo) for slo in slos}


def test_drill_of_a_helper_program_allows_the_alerts_of_what_it_replaces() -> None:
    """Its dependency fails while it is gone, and jobs become overdue."""
    dependency = PLAN.stack.programs["replay"].replaces
    slos = {slo.name for slo in PLAN.slos if slo.subject == dependency or slo.source == JOB_SOURCE}
    burn = {(names.BURN_ALERT, slo) for slo in slos}
    assert DRILLS["stop-replay"].allowed == burn | {(names.PROGRAM_ALERT, "")}


def test_every_drill_that_stops_a_program_allows_its_alert() -> None:
    """One requires it; supervisord counts the program as missing in the others, too."""
    missing = (names.PROGRAM_ALERT, "")
    assert missing in DRILLS["stop-worker"].required
    for drill in DRILLS.values():
        assert (missing in drill.allowed) is isinstance(drill.fault, StoppedPrograms), drill.name


def test_drills_break_what_the_stack_has() -> None:
    """Each stopped program and each held file belongs to the native stack."""
    native = read_native_yaml()
    programs = native["programs"].keys() | PLAN.stack.programs.keys()
    files = {Path(value).name for value in native["api_environment"].values()}
    for drill in DRILLS.values():
        if isinstance(drill.fault, StoppedPrograms):
            assert programs.issuperset(drill.fault.programs)
        if isinstance(drill.fault, LockedDatabase):
            assert drill.fault.file in files


def test_drill_without_an_alert_stays_in_the_list(plan_of: Callable[..., Plan]) -> None:
    """A small service has alerts for the faults of its route alone."""
    by_name = drills(plan_of(SMALL + ROUTE))
    assert list(by_name) == [name for name in DRILLS if name != "stop-replay"]
    proving = [name for name, drill in by_name.items() if drill.required]
    assert proving == ["route-errors", "route-exception"]
    assert not any(drill.required for drill in drills(plan_of(SMALL)).values())


def test_drills_do_not_wait_for_pages_that_are_off(plan_of: Callable[..., Plan]) -> None:
    """A ticket may still follow; it would take hours of the drill's clock."""
    steps = "next_steps: [Look at it.]"
    route = f"things.list: {{alerts: {{disable: [page]}}, http: GET /things/, {steps}}}"
    silent = SMALL.replace(f"things.list: {{http: GET /things/, {steps}}}", route)
    assert route in silent
    alert = (names.BURN_ALERT, "things.list-availability")
    drill = drills(plan_of(silent + ROUTE))["route-errors"]
    assert (drill.required, drill.allowed) == (frozenset(), {alert})
    assert drills(plan_of(SMALL + ROUTE))["route-errors"].required == {alert}
