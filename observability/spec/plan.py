"""Catalogue and policy → Plan: every SLO, window, bucket, limit and alert as data; it imports catalogue and crosscheck.

The Plan is what the API registers its metrics from, what every emitter renders, and what `slo` and `drill` judge by.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from observability.spec import names
from observability.spec.schema import (
    CATALOGUE,
    POLICY,
    Catalogue,
    Deprecated,
    Duration,
    GatewayEntry,
    Http,
    LatencyTarget,
    Load,
    LogEntry,
    Policy,
    RouteEntry,
    Severity,
    duration,
)
from observability.spec.validation import load

HTTP_SOURCE = "http"
DEPENDENCY_SOURCE = "dependency"
JOB_SOURCE = "job"
PROBE_SOURCE = "probe"
GATEWAY_SOURCE = "gateway"

FINE, THIN, LONG = "fine", "thin", "long"
SHORT = "5m"  # a window that is always recorded: guards and `slo` ask for it

AVAILABILITY = "availability"
LATENCY = "latency"
FRESHNESS = "freshness"
PROBE = "probe"


@dataclass(frozen=True)
class Slo:
    """One promise: `objective` (0..1) of the events of `subject` over the period are good."""

    name: str  # unique; every join in the rules is on this label alone
    sli: str  # availability, latency, freshness or probe
    source: str  # which metric the events come from
    subject: str  # route, dependency, job or the gateway
    objective: Decimal
    owner: str
    next_steps: tuple[str, ...]
    threshold: Duration | None = (
        None  # latency: the slowest good event; freshness and probe: the oldest good success
    )
    impact: str = ""  # what users notice, where the catalogue says it

    @property
    def budget(self) -> Decimal:
        """The share of events that may be bad, 0..1."""
        return 1 - self.objective

    @property
    def promise(self) -> str:
        """The promise in words, as tables and alerts show it."""
        limit = self.threshold.text if self.threshold else ""
        what = {
            AVAILABILITY: "of calls succeed"
            if self.source == DEPENDENCY_SOURCE
            else "of requests do not fail",
            LATENCY: f"of good answers within {limit}",
            FRESHNESS: f"of the time done within {limit}",
            PROBE: f"of the time reached within {limit}",
        }[self.sli]
        return f"{plain(self.objective * 100)} % {what}"


@dataclass(frozen=True)
class Window:
    """A span that rules look back over: `name` is in the recorded names and stays, `seconds` follows the clock.

    `pace` says what it is computed from and how often: `fine` from every sample at every evaluation, `thin` from the
    thinned series, `long` from the same but seldom, because it reads weeks.
    """

    name: str
    seconds: Decimal
    pace: str = FINE

    @property
    def text(self) -> str:
        return span(self.seconds)


@dataclass(frozen=True)
class Condition:
    """Bad ÷ total over `window` must be above `ratio`, or else above min(factor × budget, the policy's maximum)."""

    window: Window
    factor: Decimal | None
    ratio: Decimal | None

    def threshold(self, slo: Slo, maximum: Decimal) -> Decimal:
        return (
            self.ratio
            if self.ratio is not None
            else min((self.factor or Decimal(0)) * slo.budget, maximum)
        )


@dataclass(frozen=True)
class Tier:
    """One burn-rate alert over all SLOs of `slis`."""

    name: str
    severity: str
    for_: Decimal  # seconds
    conditions: tuple[Condition, ...]
    guard_window: Window
    guard_events: Decimal  # at least so many bad events in guard_window
    slis: tuple[str, ...]


@dataclass(frozen=True)
class Alert:
    """A guard or a watched symptom; `expr` is None for guards, whose expression the emitter builds."""

    name: str
    severity: str
    owner: str
    for_: Decimal  # seconds
    summary: str
    meaning: str
    impact: str
    next_steps: tuple[str, ...]
    expr: str | None = None
    fires: tuple[tuple[str, str], ...] = ()
    silent: tuple[tuple[str, str], ...] = ()
    drill: str | None = None
    drilled_by: str | None = None


@dataclass(frozen=True)
class LogAlert:
    """A symptom that only the log shows, with its name and its owner."""

    name: str
    owner: str
    entry: LogEntry


@dataclass(frozen=True)
class Route:
    """A watched route: its id is the `route` label, the load scenario's name and the limit's scope."""

    id: str
    http: Http
    load: Load
    slos: tuple[Slo, ...]
    deprecated: Deprecated | None = None


@dataclass(frozen=True)
class Clock:
    """Seconds between scrapes, evaluations, samples of the thinned series, and evaluations of the longest windows."""

    scrape: Decimal
    evaluate: Decimal
    thin: Decimal
    long: Decimal


@dataclass(frozen=True)
class Plan:
    service: str
    owner: str
    period: Window
    routes: tuple[Route, ...]
    exempt: tuple[tuple[str, Http], ...]
    rate_limits: dict[str, str]  # by route id; exempt ones and `unmatched`, too
    slos: tuple[Slo, ...]
    tiers: tuple[Tier, ...]
    alerts: tuple[Alert, ...]  # guards, then watched symptoms
    log_alerts: tuple[LogAlert, ...]
    buckets: tuple[Decimal, ...]  # seconds, ascending
    windows: tuple[Window, ...]  # ascending, the period last
    clock: Clock
    probe_every: Decimal
    probe_routes: tuple[tuple[str, Http], ...]
    jobs: tuple[str, ...]
    dependencies: tuple[str, ...]
    policy: Policy

    @cached_property
    def route_ids(self) -> dict[Http, str]:
        """(method, OpenAPI path) → route id, exempt ones too."""
        return {route.http: route.id for route in self.routes} | {
            http: name for name, http in self.exempt
        }

    @cached_property
    def paging_severity(self) -> str:
        """The severity that calls somebody: the policy's first."""
        return next(iter(self.policy.severities))

    @cached_property
    def heartbeat(self) -> str:
        """The severity that says no more than that delivery works: the watchdog's."""
        return next(
            (alert.severity for alert in self.alerts if alert.name == names.WATCHDOG_ALERT), ""
        )

    def slo(self, name: str) -> Slo:
        return next(slo for slo in self.slos if slo.name == name)

    def sources(self, source: str, sli: str) -> tuple[Slo, ...]:
        return tuple(slo for slo in self.slos if (slo.source, slo.sli) == (source, sli))

    def thresholds(self, source: str, sli: str) -> dict[Duration, list[Slo]]:
        """The distinct thresholds of such SLOs, ascending, with the SLOs that have them."""
        found: dict[Duration, list[Slo]] = {}
        for slo in self.sources(source, sli):
            if slo.threshold:
                found.setdefault(slo.threshold, []).append(slo)
        return dict(sorted(found.items(), key=lambda item: item[0].seconds))


def plain(number: Decimal) -> str:
    """A decimal without exponent and trailing zeros: 99.90 → 99.9, 1E+1 → 10."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def span(seconds: Decimal) -> str:
    """Seconds → the shortest exact Prometheus duration: 300 → 5m, 90 → 90s, 0.5 → 500ms."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size:f}{unit}"
    return f"{seconds * 1000:.0f}ms" if seconds else "0s"


def build(catalogue: Catalogue, policy: Policy) -> Plan:
    """Merges entries with defaults and works out everything that is derived; both must come from `crosscheck.load`."""
    routes = tuple(route(name, catalogue) for name in sorted(catalogue.routes))
    slos = (
        *(slo for entry in routes for slo in entry.slos),
        *(slo for name in sorted(catalogue.dependencies) for slo in dependency(name, catalogue)),
        *timed(catalogue),
        *(
            promises(GATEWAY_SOURCE, names.GATEWAY, edge, edge.availability, (), catalogue.owner)
            if (edge := catalogue.gateway)
            else ()
        ),
    )
    tiers = tuple(tier(name, policy) for name in policy.tiers)
    period = window(catalogue.period, policy)
    used = {c.window for entry in tiers for c in entry.conditions} | {
        entry.guard_window for entry in tiers
    }
    thresholds = {slo.threshold.seconds for slo in slos if slo.threshold and slo.sli == LATENCY}
    endpoints, default = catalogue.endpoints(), catalogue.defaults.rate_limit
    return Plan(
        service=catalogue.service,
        owner=catalogue.owner,
        period=period,
        routes=routes,
        exempt=tuple((name, catalogue.exempt[name].http) for name in sorted(catalogue.exempt)),
        rate_limits={name: entry.rate_limit or default for name, entry in catalogue.served()}
        | {names.UNMATCHED: default},
        slos=slos,
        tiers=tiers,
        alerts=(*guards(catalogue, policy), *symptoms(catalogue)),
        log_alerts=tuple(
            LogAlert(name, entry.owner or catalogue.owner, entry)
            for name, entry in catalogue.logs.items()
        ),
        buckets=tuple(sorted(thresholds | {bucket.seconds for bucket in policy.buckets})),
        windows=tuple(
            sorted(used | {period, window(duration(SHORT), policy)}, key=lambda w: w.seconds)
        ),
        clock=Clock(
            *(getattr(policy.clock, key).seconds for key in ("scrape", "evaluate", "thin", "long"))
        ),
        probe_every=catalogue.probe.every.seconds,
        probe_routes=tuple(
            (name, endpoints[name]) for name in sorted(catalogue.probe.routes) if name in endpoints
        ),
        jobs=tuple(sorted(catalogue.jobs)),
        dependencies=tuple(sorted(catalogue.dependencies)),
        policy=policy,
    )


def window(length: Duration, policy: Policy) -> Window:
    """A span with the pace that the policy's clock gives it."""
    clock = policy.clock
    pace = (
        FINE
        if length.seconds <= clock.fine_up_to.seconds
        else THIN
        if length.seconds <= clock.thin_up_to.seconds
        else LONG
    )
    return Window(length.text, length.seconds, pace)


def timed(catalogue: Catalogue) -> Iterator[Slo]:
    """The SLOs that are judged by the clock: freshness of jobs, and probes."""
    for name, entry in sorted(catalogue.jobs.items()):
        owner = entry.owner or catalogue.owner
        objective = entry.objective / 100
        yield Slo(
            f"{name}-{FRESHNESS}",
            FRESHNESS,
            JOB_SOURCE,
            name,
            objective,
            owner,
            entry.next_steps,
            entry.fresh_within,
            entry.impact,
        )
    probe = catalogue.probe
    for name in sorted(probe.routes):
        about = (
            probe.objective / 100,
            catalogue.owner,
            probe.next_steps,
            probe.fresh_within,
            probe.impact,
        )
        yield Slo(f"{name}-{PROBE}", PROBE, PROBE_SOURCE, name, *about)


def tier(name: str, policy: Policy) -> Tier:
    entry = policy.tiers[name]
    return Tier(
        name,
        entry.severity,
        entry.for_.seconds,
        tuple(Condition(window(w.over, policy), w.factor, w.ratio) for w in entry.windows),
        window(entry.failed.over, policy),
        entry.failed.events,
        entry.slis or (AVAILABILITY, LATENCY, FRESHNESS, PROBE),
    )


def guards(catalogue: Catalogue, policy: Policy) -> Iterator[Alert]:
    for name, entry in policy.guards.items():
        texts = (entry.summary, entry.meaning, entry.impact, entry.next_steps)
        yield Alert(name, entry.severity, catalogue.owner, entry.for_.seconds, *texts)


def symptoms(catalogue: Catalogue) -> Iterator[Alert]:
    for name, entry in catalogue.watch.items():
        yield Alert(
            name,
            entry.severity,
            entry.owner or catalogue.owner,
            entry.for_.seconds,
            entry.summary,
            entry.meaning,
            entry.impact,
            entry.next_steps,
            entry.expr,
            tuple(entry.cases.fires.items()),
            tuple(entry.cases.silent.items()),
            entry.drill,
            entry.drilled_by,
        )


def route(name: str, catalogue: Catalogue) -> Route:
    entry, defaults = catalogue.routes[name], catalogue.defaults
    latency = defaults.latency if entry.latency is None else entry.latency
    slos = promises(
        HTTP_SOURCE,
        name,
        entry,
        entry.availability or defaults.availability,
        latency,
        catalogue.owner,
    )
    return Route(name, entry.http, entry.load or defaults.load, slos, entry.deprecated)


def dependency(name: str, catalogue: Catalogue) -> tuple[Slo, ...]:
    entry = catalogue.dependencies[name]
    return promises(
        DEPENDENCY_SOURCE, name, entry, entry.availability, entry.latency, catalogue.owner
    )


def promises(
    source: str,
    name: str,
    entry: RouteEntry | GatewayEntry,
    available: Decimal,
    latency: tuple[LatencyTarget, ...],
    owner: str,
) -> tuple[Slo, ...]:
    """The SLOs of something that is called: availability, and one per latency target."""

    def slo(suffix: str, sli: str, objective: Decimal, threshold: Duration | None = None) -> Slo:
        about = (entry.owner or owner, entry.next_steps, threshold, entry.impact)
        return Slo(f"{name}-{suffix}", sli, source, name, objective / 100, *about)

    slow = (
        slo(f"{LATENCY}-{target.threshold.text}", LATENCY, target.objective, target.threshold)
        for target in latency
    )
    return slo(AVAILABILITY, AVAILABILITY, available), *slow


def from_files(catalogue: Path = CATALOGUE, policy: Path = POLICY) -> Plan:
    """The Plan of two files; Invalid with every problem in them."""
    return build(*load(catalogue, policy))


def without_gateway(plan: Plan) -> Plan:
    """The same Plan for a stack that has no gateway, where nothing could measure its SLO."""
    return replace(plan, slos=tuple(slo for slo in plan.slos if slo.source != GATEWAY_SOURCE))


def scaled(plan: Plan) -> Plan:
    """The same Plan on the drill's clock: every duration ÷ speed, no window shorter than some scrapes; names stay."""
    drill = plan.policy.drill
    shortest = drill.scrape.seconds * drill.scrapes_per_window

    def fast(seconds: Decimal, floor: Decimal = drill.scrape.seconds) -> Decimal:
        return max(Decimal(round(seconds / drill.speed)), floor) if seconds else seconds

    def window(w: Window) -> Window:
        return replace(w, seconds=fast(w.seconds, shortest))

    def slo(s: Slo) -> Slo:
        if s.sli not in (FRESHNESS, PROBE) or s.threshold is None:
            return s
        return replace(s, threshold=Duration(s.threshold.text, fast(s.threshold.seconds, shortest)))

    def expression(text: str | None) -> str | None:
        return text and re.sub(
            r"(?<=\[)\d+(?:ms|s|m|h|d)(?=[]:])",
            lambda range_: span(fast(duration(range_[0]).seconds, shortest)),
            text,
        )

    def delivery(severity: Severity) -> Severity:
        timings = ("group_wait", "group_interval", "repeat_interval")
        return severity.model_copy(
            update={key: Duration("", fast(getattr(severity, key).seconds)) for key in timings}
        )

    severities = {name: delivery(severity) for name, severity in plan.policy.severities.items()}
    return replace(
        plan,
        period=window(plan.period),
        slos=tuple(map(slo, plan.slos)),
        tiers=tuple(
            replace(
                tier,
                for_=fast(tier.for_),
                conditions=tuple(replace(c, window=window(c.window)) for c in tier.conditions),
                guard_window=window(tier.guard_window),
            )
            for tier in plan.tiers
        ),
        alerts=tuple(
            replace(alert, for_=fast(alert.for_), expr=expression(alert.expr))
            for alert in plan.alerts
        ),
        windows=tuple(map(window, plan.windows)),
        clock=Clock(
            *(
                fast(seconds)
                for seconds in (
                    plan.clock.scrape,
                    plan.clock.evaluate,
                    plan.clock.thin,
                    plan.clock.long,
                )
            )
        ),
        probe_every=drill.scrape.seconds,
        policy=plan.policy.model_copy(update={"severities": severities}),
    )
