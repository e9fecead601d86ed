"""The drills: which fault each injects, which alerts must follow, and which others may."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from observability.drill.alerts import ANY_SLO, AlertId
from observability.drill.faults import Fault, LockedDatabase, RouteFault, StoppedPrograms
from observability.spec import names
from observability.spec.plan import (
    AVAILABILITY,
    FRESHNESS,
    HTTP_SOURCE,
    JOB_SOURCE,
    LATENCY,
    PROBE,
    PROBE_SOURCE,
    Plan,
    Slo,
)

DEFAULT_DRILL = "route-errors"
DELAY_FACTOR = 1.2  # by which a slow route exceeds its slowest objective


@dataclass(frozen=True)
class Drill:
    """A fault and its alerts; those of `watch` that name the drill are required as well.

    A drill without a required alert proves nothing and cannot run.
    """

    name: str
    description: str  # of what is broken
    fault: Fault
    required: frozenset[AlertId] = frozenset()
    allowed: frozenset[AlertId] = frozenset()
    breaks_delivery: bool = False  # undone before the alert can be delivered


def drills(plan: Plan) -> dict[str, Drill]:
    """Return every drill by name, also those for whose fault the plan has no alert."""
    by_name = {}
    declared = burn_alerts(slo for slo in plan.slos if slo.is_declared)
    silent = burn_alerts(slo for slo in plan.slos if plan.paging_severity in slo.muted)
    for drill in (*route_drills(plan), *program_drills(plan)):
        symptoms = {(alert.name, "") for alert in plan.symptoms if alert.entry.drill == drill.name}
        allowed = drill.allowed | declared
        if isinstance(drill.fault, StoppedPrograms):
            allowed |= {(names.PROGRAM_ALERT, "")}
        allowed |= drill.required & silent  # their tickets may follow
        required = (drill.required - silent) | symptoms
        by_name[drill.name] = replace(drill, required=required, allowed=allowed)
    return by_name


def burn_alerts(slos: Iterable[Slo]) -> frozenset[AlertId]:
    """Return the burn-rate alerts of SLOs."""
    return frozenset((names.BURN_ALERT, slo.name) for slo in slos)


def route_drills(plan: Plan) -> Iterator[Drill]:
    """Yield the drills that break the route that the catalogue names."""
    if plan.drill_route is None:
        return
    route = plan.drill_route.id
    available = [slo for slo in plan.slos_of(HTTP_SOURCE, AVAILABILITY) if slo.subject == route]
    quick = [slo for slo in plan.slos_of(HTTP_SOURCE, LATENCY) if slo.subject == route]
    slowest = max((float(slo.limit.seconds) for slo in quick), default=0.0)
    yield Drill(
        "route-errors",
        f"{route} answers 500",
        RouteFault("error", route),
        burn_alerts(available),
    )
    yield Drill(
        "route-exception",
        f"{route} raises an unhandled exception",
        RouteFault("exception", route),
        burn_alerts(available),
    )
    yield Drill(
        "route-slow",
        f"{route} takes longer than its slowest objective",
        RouteFault("slow", route, slowest * DELAY_FACTOR),
        burn_alerts(quick),
    )


def program_drills(plan: Plan) -> Iterator[Drill]:
    """Yield the drills that stop a program, or hold a file that programs share."""
    overdue = burn_alerts(plan.slos_of(JOB_SOURCE, FRESHNESS))
    yield Drill(
        "stop-api",
        "the API and its metrics server are stopped",
        StoppedPrograms(("api", "metrics")),
        burn_alerts(plan.slos_of(PROBE_SOURCE, PROBE)),
        overdue | {(names.UNMEASURED_ALERT, ANY_SLO)},
    )
    yield Drill(
        "stop-worker",
        "the worker, which runs the jobs, is stopped",
        StoppedPrograms(("worker",)),
        overdue,
        frozenset({(names.UNMEASURED_ALERT, ANY_SLO)}),
    )
    yield Drill(
        "stop-inbox",
        "Alertmanager cannot deliver notifications",
        StoppedPrograms(("console",)),
        breaks_delivery=True,
    )
    yield Drill(
        "hold-limiter",
        "the store of rate limits is locked",
        LockedDatabase("limits.db"),
    )
    for name, program in plan.stack.programs.items():
        yield Drill(
            f"stop-{name}",
            f"{name}, which stands in for {program.replaces}, is stopped",
            StoppedPrograms((name,)),
            allowed=overdue
            | burn_alerts(slo for slo in plan.slos if slo.subject == program.replaces),
        )
