"""The drills follow from the catalogue and the policy."""

from collections.abc import Callable

from observability.drill.faults import RouteFault
from observability.drill.registry import DEFAULT_DRILL, drills
from observability.spec import names
from observability.spec.plan import Plan
from tests.observability.compiler_support import SMALL
from tests.observability.drill.support import DRILLS, PLAN


def test_the_drills_have_their_published_names() -> None:
    """Scripts run them by name."""
    assert list(DRILLS) == [
        *("route-errors", "route-exception", "route-slow"),
        *("stop-api", "stop-inbox", "hold-limiter", "stop-replay"),
    ]
    assert DEFAULT_DRILL in DRILLS


def test_every_drill_requires_an_alert() -> None:
    """A drill that requires no alert would pass without proving anything."""
    assert all(drill.required for drill in DRILLS.values())


def test_the_catalogue_names_drills_that_exist() -> None:
    """Every symptom, and every kind of SLI that is drilled, names a drill of the list."""
    of_symptoms = {alert.entry.drill for alert in PLAN.symptoms if alert.entry.drill}
    of_slis = set(PLAN.policy.drill.by_sli.values())
    assert of_symptoms | of_slis <= set(DRILLS)


def test_a_drill_requires_the_symptoms_that_name_it() -> None:
    """The alerts follow from `drill:` in the catalogue, whatever they are called."""
    assert DRILLS["stop-replay"].required == {("BreakerOpen", ""), ("DeadLetters", "")}
    assert ("UnhandledException", "") in DRILLS["route-exception"].required


def test_a_drill_of_the_route_requires_its_objectives() -> None:
    """The slow route answers later than the slowest of them."""
    slow = DRILLS["route-slow"]
    slos = ("readings.latest-latency-200ms", "readings.latest-latency-1s")
    assert slow.required == {(names.BURN_ALERT, slo) for slo in slos}
    assert slow.fault == RouteFault("slow", "readings.latest", 1.2)


def test_drill_of_a_helper_program_allows_alerts_of_its_dependency() -> None:
    """Calls to the dependency fail meanwhile, and jobs become overdue."""
    slos = ("thingspeak-availability", "thingspeak.sync-freshness", "alarms.deliver-freshness")
    assert DRILLS["stop-replay"].allowed == {(names.BURN_ALERT, slo) for slo in slos}


def test_a_service_without_alerts_for_a_fault_has_no_drill_for_it(
    plan_of: Callable[..., Plan],
) -> None:
    """A small service has the drills of its route alone, and of its probes."""
    route = "drill: {route: things.list}\n"
    assert list(drills(plan_of(SMALL))) == []
    assert list(drills(plan_of(SMALL + route))) == ["route-errors", "route-exception"]
