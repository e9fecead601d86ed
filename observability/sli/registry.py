"""The list of the kinds of SLI, and what rules and promtool cases need from all of them."""

from collections import defaultdict

from observability.lib import scope
from observability.sli.availability import Availability
from observability.sli.freshness import Freshness
from observability.sli.gauge import Gauge
from observability.sli.kind import EventCounters, EventKind, Kind, SecondsKind
from observability.sli.latency import Latency
from observability.sli.probe import Probe
from observability.sli.ratio import Ratio
from observability.sli.steady_traffic import SteadyTraffic
from observability.spec import names
from observability.spec.plan import Plan, Slo
from observability.spec.quantities import format_decimal

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Availability(),
        Latency(),
        Freshness(),
        Probe(),
        Ratio(),
        Gauge(),
    )
}


def kind_of(slo: Slo) -> Kind:
    """Return the kind of an SLO's SLI."""
    return KINDS[slo.sli]


def scrape_job(plan: Plan, slo: Slo) -> str:
    """Return the scrape job of the targets that measure an SLO; empty when it may be several."""
    jobs = scope.jobs_read(plan, kind_of(slo).measured_by(slo))
    return jobs.pop() if len(jobs) == 1 else ""


def promise(slo: Slo) -> str:
    """Return the promise in words, as tables and runbook pages show it."""
    return f"{format_decimal(slo.objective * 100)} % {kind_of(slo).promise(slo)}"


def labels(slo: Slo) -> dict[str, str]:
    """Return the static labels of what is recorded of all SLOs of a kind, source and limit.

    A declared SLO is recorded alone.
    """
    of_kind = {names.SOURCE: slo.source, names.SLI: slo.sli}
    if slo.is_declared:
        of_kind[names.SLO] = slo.name
    limit = slo.threshold or slo.fresh_within
    return of_kind | {names.LIMIT: limit.text} if limit else of_kind


def event_counters(plan: Plan) -> list[tuple[EventCounters, dict[str, str]]]:
    """Return the counters of all SLOs that count events, and their labels."""
    slos_by_form: dict[str, list[Slo]] = defaultdict(list)
    for slo in plan.slos:
        slos_by_form[f"{labels(slo)} {slo.excluded_codes}"].append(slo)
    counters = []
    for slos in slos_by_form.values():
        kind = kind_of(slos[0])
        if isinstance(kind, EventKind):
            counters.append((kind.counters(slos), labels(slos[0])))
    return counters


def missing_is_bad(slo: Slo) -> bool:
    """Return whether an SLO is bad, not unmeasured, while its series are missing."""
    kind = kind_of(slo)
    return isinstance(kind, SecondsKind) and kind.missing_is_bad


def counts_seconds(plan: Plan) -> bool:
    """Return whether the plan has an SLO that counts seconds."""
    return any(kind_of(slo).counts_seconds for slo in plan.slos)


def counts_events(plan: Plan) -> bool:
    """Return whether the plan has an SLO that counts events."""
    return not all(kind_of(slo).counts_seconds for slo in plan.slos)


def freshness(plan: Plan) -> list[tuple[str, dict[str, str]]]:
    """Return expressions and labels of every kind that counts seconds; none without such SLOs."""
    kinds = [kind for kind in KINDS.values() if isinstance(kind, SecondsKind)]
    return [fresh for kind in kinds for fresh in kind.freshness(plan)]


def steady_series(plan: Plan, traffic: SteadyTraffic) -> dict[str, str]:
    """Return promtool's input series of all SLOs."""
    series: dict[str, str] = {}
    for kind in KINDS.values():
        series |= kind.steady_series(plan, traffic)
    return series
