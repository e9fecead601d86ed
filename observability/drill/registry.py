"""The drills: which fault each injects, which alerts must follow, and which others may."""

from dataclasses import dataclass

from observability.drill.alerts import ANY_SLO, Alert
from observability.drill.faults import ROUTE, Fault, LockedDatabase, RouteFault, StoppedPrograms
from observability.spec import names


@dataclass(frozen=True)
class Drill:
    """A fault and its alerts."""

    name: str
    description: str  # of what is broken
    fault: Fault
    required: frozenset[Alert]
    allowed: frozenset[Alert] = frozenset()
    breaks_delivery: bool = False  # undone before the alert can be delivered


def burn_alerts(*slos: str) -> frozenset[Alert]:
    """Return the burn-rate alerts of SLOs."""
    return frozenset((names.BURN_ALERT, slo) for slo in slos)


def symptoms(*alertnames: str, slo: str = "") -> frozenset[Alert]:
    """Return the alerts of the catalogue's `watch` by name."""
    return frozenset((name, slo) for name in alertnames)


ALL_DRILLS = (
    Drill(
        "route-errors",
        f"{ROUTE} answers 500",
        RouteFault("error"),
        required=burn_alerts(f"{ROUTE}-availability"),
    ),
    Drill(
        "route-exception",
        f"{ROUTE} raises an exception that nobody handles",
        RouteFault("exception"),
        required=burn_alerts(f"{ROUTE}-availability") | symptoms("UnhandledException"),
    ),
    Drill(
        "route-slow",
        f"{ROUTE} takes longer than its slowest objective",
        RouteFault("slow"),
        required=burn_alerts(f"{ROUTE}-latency-200ms", f"{ROUTE}-latency-1s"),
    ),
    Drill(
        "stop-api",
        "the API and its metrics are gone",
        StoppedPrograms(("api", "metrics")),
        required=burn_alerts("nodes.list-probe", "health.ready-probe") | symptoms("TargetDown"),
        allowed=burn_alerts("thingspeak.sync-freshness", "alarms.deliver-freshness")
        | symptoms(names.UNMEASURED_ALERT, slo=ANY_SLO),
    ),
    Drill(
        "stop-inbox",
        "nobody takes what Alertmanager delivers",
        StoppedPrograms(("console",)),
        required=symptoms("AlertDeliveryFailing"),
        breaks_delivery=True,
    ),
    Drill(
        "hold-limiter",
        "the store of rate limits takes no counts",
        LockedDatabase("limits.db"),
        required=symptoms("LimiterStoreDown"),
    ),
    Drill(
        "stop-replay",
        "ThingSpeak is gone, and syncs fail for good",
        StoppedPrograms(("replay",)),
        required=symptoms("BreakerOpen", "DeadLetters"),
        allowed=burn_alerts("thingspeak-availability", "thingspeak.sync-freshness"),
    ),
)
DRILLS = {drill.name: drill for drill in ALL_DRILLS}
DEFAULT_DRILL = "route-errors"
