"""The Plan of a valid catalogue and policy: defaults are merged in, the rest is computed."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import partial

from observability.spec import names
from observability.spec.alert import Alert, EntryT
from observability.spec.burn_tiers import build_clock, build_tiers, build_window, collect_windows
from observability.spec.drill_route import DrillRoute
from observability.spec.openapi import Contract, parameter_types
from observability.spec.plan import (
    AVAILABILITY,
    COUNTER_RATIO,
    DECLARED_SOURCE,
    DEPENDENCY_SOURCE,
    FRESHNESS,
    GATEWAY_SOURCE,
    GAUGE_VALUE,
    HTTP_SOURCE,
    JOB_SOURCE,
    LATENCY,
    PROBE,
    PROBE_SOURCE,
    Plan,
    Route,
    Slo,
)
from observability.spec.quantities import Duration
from observability.spec.schema.catalogue import Catalogue, RouteEntry
from observability.spec.schema.entry import LatencyEntry
from observability.spec.schema.policy import Policy, SliKind
from observability.spec.schema.slos import NO_MEASURE, SloEntry
from observability.spec.schema.subject import SubjectEntry


def build_plan(catalogue: Catalogue, policy: Policy, contract: Contract) -> Plan:
    """Return the Plan; the two models must have passed `validation.validate`.

    `contract` is the service's OpenAPI document, empty where it is not at hand.
    """
    routes = tuple(
        build_route(route_id, catalogue, contract) for route_id in sorted(catalogue.routes)
    )
    slos = (
        *(slo for route in routes for slo in route.slos),
        *build_other_slos(catalogue),
    )
    tiers = build_tiers(catalogue, policy, slos)
    period = build_window(catalogue.period, policy)
    http_by_route = catalogue.http_by_route()
    probe = catalogue.probe
    probed = sorted(probe.routes) if probe else []
    return as_declared(catalogue)(
        period=period,
        routes=routes,
        exempt=tuple((name, entry.http) for name, entry in sorted(catalogue.exempt.items())),
        rate_limits=collect_rate_limits(catalogue),
        slos=slos,
        tiers=tiers,
        guards=build_alerts(policy.guards, catalogue.owner),
        symptoms=build_alerts(catalogue.watch, catalogue.owner),
        log_alerts=build_alerts(catalogue.logs, catalogue.owner),
        buckets=collect_buckets(slos, policy),
        windows=collect_windows(tiers, period, policy),
        clock=build_clock(policy),
        probe_every=probe.every.seconds if probe else Decimal(0),
        probe_routes=tuple((name, http_by_route[name]) for name in probed),
        jobs=tuple(sorted(catalogue.jobs)),
        dependencies=tuple(sorted(catalogue.dependencies)),
        drill_route=build_drill_route(catalogue),
        policy=policy,
    )


def as_declared(catalogue: Catalogue) -> partial[Plan]:
    """Return the beginning of the Plan: what it takes from the catalogue as it is."""
    return partial(
        Plan,
        service=catalogue.service,
        environment=catalogue.environment,
        scrape=catalogue.scrape,
        signals=catalogue.signals.signals,
        owner=catalogue.owner,
        needs=catalogue.needs_by_subject(),
        metrics=catalogue.metrics,
        stack=catalogue.stack,
        log_fields=catalogue.log_fields,
        backup=catalogue.backup,
        table_sizes=catalogue.table_sizes,
        maintenance=catalogue.maintenance,
    )


# --- routes and SLOs ---


def build_route(route_id: str, catalogue: Catalogue, contract: Contract) -> Route:
    """Return a watched route with the SLOs that it or the defaults declare."""
    entry = catalogue.routes[route_id]
    defaults = catalogue.defaults
    availability = entry.availability or defaults.availability
    latency = defaults.latency if entry.latency is None else entry.latency
    slos = (
        replace(
            slo,
            signals=catalogue.signals.signals,
            excluded_codes=excluded_codes(catalogue, entry, slo.sli),
        )
        for slo in build_call_slos(
            HTTP_SOURCE, route_id, entry, availability, latency, catalogue.owner
        )
    )
    return Route(
        route_id,
        entry.http,
        entry.load or defaults.load,
        tuple(slos),
        entry.deprecated,
        entry.path or "",
        tuple(parameter_types(entry.http, contract).items()),
    )


def build_drill_route(catalogue: Catalogue) -> DrillRoute | None:
    """Return the route that drills call, None where the catalogue declares none."""
    drill = catalogue.drill
    if drill is None:
        return None
    path = catalogue.routes[drill.route].http.path
    return DrillRoute(drill.route, path.format(**drill.parameters), drill.environment)


def collect_rate_limits(catalogue: Catalogue) -> dict[str, str]:
    """Return the rate limit of every route, watched or exempt, and of unmatched URLs, if any."""
    default = catalogue.defaults.rate_limit
    limits = {route_id: entry.rate_limit or default for route_id, entry in catalogue.served()}
    limits[names.UNMATCHED] = default
    return {name: limit for name, limit in limits.items() if limit}


def build_call_slos(
    source: str,
    subject: str,
    entry: SubjectEntry,
    availability: Decimal | None,
    latency: tuple[LatencyEntry, ...],
    default_owner: str,
) -> Iterator[Slo]:
    """Yield the SLOs of something that is called: availability, and one per latency threshold."""
    slo = partial(build_slo, source, subject, entry, default_owner)
    if availability:
        yield slo(AVAILABILITY, availability)
    for target in latency:
        yield slo(LATENCY, target.objective, target.threshold)


def build_slo(
    source: str,
    subject: str,
    entry: SubjectEntry,
    default_owner: str,
    sli: SliKind,
    percent: Decimal,
    threshold: Duration | None = None,
    fresh_within: Duration | None = None,
) -> Slo:
    """Return one SLO; a threshold is part of its name, as there may be several."""
    suffix = f"{sli}-{threshold.text}" if threshold else sli
    return Slo(
        name=f"{subject}-{suffix}",
        sli=sli,
        source=source,
        subject=subject,
        objective=percent / 100,
        owner=entry.owner or default_owner,
        next_steps=entry.next_steps,
        threshold=threshold,
        fresh_within=fresh_within,
        impact=entry.impact,
        muted=entry.alerts.muted(sli),
        labels=entry.alerts.labels_of(sli),
    )


def build_other_slos(catalogue: Catalogue) -> Iterator[Slo]:
    """Yield the SLOs of dependencies, jobs, probed routes and the gateway, and declared ones."""
    owner = catalogue.owner
    for name, entry in sorted(catalogue.dependencies.items()):
        yield from build_call_slos(
            DEPENDENCY_SOURCE, name, entry, entry.availability, entry.latency, owner
        )
    for name, job in sorted(catalogue.jobs.items()):
        yield build_slo(
            JOB_SOURCE,
            name,
            job,
            owner,
            FRESHNESS,
            job.objective,
            fresh_within=job.fresh_within,
        )
    if probe := catalogue.probe:
        for name in sorted(probe.routes):
            yield build_slo(
                PROBE_SOURCE,
                name,
                probe,
                owner,
                PROBE,
                probe.objective,
                fresh_within=probe.fresh_within,
            )
    if gateway := catalogue.gateway:
        yield from build_call_slos(
            GATEWAY_SOURCE, names.GATEWAY, gateway, gateway.availability, (), owner
        )
    yield from build_declared_slos(catalogue)


def build_declared_slos(catalogue: Catalogue) -> Iterator[Slo]:
    """Yield the SLOs that are declared by hand."""
    for name, entry in sorted(catalogue.slos.items()):
        sli, source, measure = AVAILABILITY, HTTP_SOURCE, NO_MEASURE
        if entry.ratio:
            sli, source, measure = COUNTER_RATIO, DECLARED_SOURCE, entry.ratio.measure
        elif entry.gauge:
            sli, source, measure = GAUGE_VALUE, DECLARED_SOURCE, entry.gauge.measure
        elif entry.latency:
            sli = LATENCY
        yield Slo(
            name=name,
            sli=sli,
            source=source,
            subject=entry.subject or name,
            objective=entry.promised / 100,
            owner=entry.owner or catalogue.owner,
            next_steps=entry.next_steps,
            threshold=entry.latency.threshold if entry.latency else None,
            impact=entry.impact,
            measure=measure,
            routes=catalogue.routes_of_slo(entry),
            signals=catalogue.signals.signals,
            excluded_codes=excluded_codes(catalogue, entry, sli) if entry.routes else (),
            muted=entry.alerts.muted(sli),
            labels=entry.alerts.labels_of(sli),
        )


def excluded_codes(catalogue: Catalogue, entry: RouteEntry | SloEntry, sli: str) -> tuple[str, ...]:
    """Return the status codes that count neither way; other kinds count none of them anyway."""
    if sli != AVAILABILITY:
        return ()
    if entry.excluded_codes is None:
        return catalogue.defaults.excluded_codes
    return entry.excluded_codes


def collect_buckets(slos: tuple[Slo, ...], policy: Policy) -> tuple[Decimal, ...]:
    """Return the edges of the histograms in seconds, ascending; every threshold is one."""
    edges = {slo.threshold.seconds for slo in slos if slo.threshold}
    edges |= {bucket.seconds for bucket in policy.buckets}
    return tuple(sorted(edges))


# --- alerts ---


def build_alerts(entries: dict[str, EntryT], default_owner: str) -> tuple[Alert[EntryT], ...]:
    """Return alerts with their names and owners, in the order of the file."""
    return tuple(
        Alert(name, getattr(entry, "owner", None) or default_owner, entry)
        for name, entry in entries.items()
    )
