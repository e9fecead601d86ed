"""The Plan: every SLO, window, bucket, limit and alert of a service as frozen data.

The API registers its metrics from it, generators render it, and `slo` and `drill` judge by it.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from observability.spec import names
from observability.spec.alert import Alert
from observability.spec.clock import Clock
from observability.spec.drill_route import DrillRoute
from observability.spec.presets import EVARA
from observability.spec.quantities import Duration, format_duration
from observability.spec.schema.catalogue import (
    BackupEntry,
    DeprecationEntry,
    LoadEntry,
    LogEntry,
    StackEntry,
    WatchEntry,
)
from observability.spec.schema.entry import AlertEntry
from observability.spec.schema.fields import Http
from observability.spec.schema.maintenance import MaintenanceEntry
from observability.spec.schema.metrics import MetricEntry
from observability.spec.schema.policy import Policy, SliKind
from observability.spec.schema.scrape import ScrapeEntry
from observability.spec.schema.slos import NO_MEASURE, Measure
from observability.spec.signals import Labels, Signal, Signals, spell

HTTP_SOURCE = "http"
DEPENDENCY_SOURCE = "dependency"
JOB_SOURCE = "job"
PROBE_SOURCE = "probe"
GATEWAY_SOURCE = "gateway"
DECLARED_SOURCE = "declared"  # metrics that the catalogue names

FINE_PACE = "fine"
THIN_PACE = "thin"
LONG_PACE = "long"
DAY = Decimal(86_400)  # seconds
SHORT_WINDOW = "5m"  # recorded in every plan, because guards and `slo` read it

AVAILABILITY: SliKind = "availability"
LATENCY: SliKind = "latency"
FRESHNESS: SliKind = "freshness"
PROBE: SliKind = "probe"
COUNTER_RATIO: SliKind = "ratio"
GAUGE_VALUE: SliKind = "gauge"


@dataclass(frozen=True)
class Slo:
    """One promise: `objective` (0..1) of the events of `subject` over the period are good."""

    name: str  # unique; every join in the rules is on this label alone
    sli: str  # a SliKind
    source: str  # a SourceName
    subject: str  # route, dependency, job, the gateway, or what the catalogue says
    objective: Decimal
    owner: str
    next_steps: tuple[str, ...]
    threshold: Duration | None = None  # the slowest good event, where durations are judged
    fresh_within: Duration | None = None  # the oldest good success, where seconds are counted
    impact: str = ""  # what users notice, where the catalogue says it
    muted: tuple[str, ...] = ()  # severities whose burn-rate alerts are off
    labels: tuple[tuple[str, str], ...] = ()  # more labels of its alerts
    measure: Measure = NO_MEASURE
    routes: tuple[str, ...] = ()  # whose requests a declared SLO counts together
    signals: Signals = EVARA  # which count requests
    excluded_codes: tuple[str, ...] = ()  # of HTTP; such requests count neither way

    @property
    def is_declared(self) -> bool:
        """Return whether the catalogue declares the SLO by hand; it has rules of its own."""
        return self.source == DECLARED_SOURCE or bool(self.routes)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Return the values of the source's label whose events count."""
        return self.routes or (self.subject,)

    @property
    def budget(self) -> Decimal:
        """Return the share of events that may be bad, 0..1."""
        return 1 - self.objective

    @property
    def events_needed(self) -> int:
        """Return how many events a verdict needs: of these, one may be bad."""
        return math.ceil(1 / self.budget)

    @property
    def limit(self) -> Duration:
        """Return the threshold or the freshness; raise ValueError for an SLI that has neither."""
        limit = self.threshold or self.fresh_within
        if limit is None:
            raise ValueError(f"{self.name} has no limit")
        return limit


@dataclass(frozen=True)
class Window:
    """A duration that rules look back over.

    `name` is part of recorded names and never changes; `seconds` is shorter on the drill's clock.
    `pace` says what the window is computed from and how often: `fine` from every sample at every
    evaluation, `thin` from the thinned series, `long` from the same but seldom, as it reads weeks.
    """

    name: str
    seconds: Decimal
    pace: str = FINE_PACE

    @property
    def text(self) -> str:
        """Return the length as a Prometheus duration."""
        return format_duration(self.seconds)


@dataclass(frozen=True)
class Condition:
    """A window and its threshold: `ratio`, or `factor` × the SLO's budget up to a maximum."""

    window: Window
    factor: Decimal | None
    ratio: Decimal  # read where there is no factor

    def threshold(self, slo: Slo, maximum: Decimal) -> Decimal:
        """Return the share of bad events, 0..1, above which the condition is true for `slo`."""
        if self.factor is None:
            return self.ratio
        return min(self.factor * slo.budget, maximum)


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
    source: str | None = None  # None: every source

    def judges(self, slo: Slo) -> bool:
        """Return whether the alert is about this SLO, too."""
        is_meant = slo.sli in self.slis and self.source in (None, slo.source)
        return is_meant and self.severity not in slo.muted

    @property
    def windows(self) -> tuple[Window, ...]:
        """Return every window that the alert reads; the guard's is the last."""
        return *(condition.window for condition in self.conditions), self.guard_window

    @property
    def is_slow(self) -> bool:
        """Return whether none of its ratios is computed from every sample."""
        return all(condition.window.pace != FINE_PACE for condition in self.conditions)

    @property
    def recovery(self) -> Decimal:
        """Return the seconds after a recovery within which the alert resolves."""
        return min(condition.window.seconds for condition in self.conditions)

    def threshold(self, slo: Slo, maximum: Decimal) -> Decimal:
        """Return the share of bad events, 0..1, above which all its conditions are true."""
        return max(condition.threshold(slo, maximum) for condition in self.conditions)


@dataclass(frozen=True)
class Route:
    """A watched route: `id` is the `route` label, the name of the load scenario and the limit."""

    id: str
    http: Http
    load: LoadEntry
    slos: tuple[Slo, ...]
    deprecated: DeprecationEntry | None = None
    path: str = ""  # as the metrics spell it, where the catalogue says so
    types: tuple[tuple[str, str], ...] = ()  # of the parameters in the path, where they are known

    def spell(self, signal: Signal) -> list[str]:
        """Return every value of the signal's label of paths that means this route."""
        return [self.path] if self.path else spell(self.http, dict(self.types), signal.spelling)

    def labels(self, signal: Signal) -> Labels:
        """Return the method and path of requests to this route, in one of its spellings."""
        method = {signal.method: self.http.method} if signal.method else {}
        return method | {signal.path: self.spell(signal)[0]}


@dataclass(frozen=True)
class Plan:
    """Everything that follows from one catalogue and one policy."""

    service: str
    environment: str | None
    scrape: ScrapeEntry
    signals: Signals
    owner: str
    period: Window
    routes: tuple[Route, ...]
    exempt: tuple[tuple[str, Http], ...]
    rate_limits: dict[str, str]  # by route id; exempt ones and `unmatched`, too; not without limit
    slos: tuple[Slo, ...]
    tiers: tuple[Tier, ...]
    guards: tuple[Alert[AlertEntry], ...]  # the generator builds their expressions
    symptoms: tuple[Alert[WatchEntry], ...]
    log_alerts: tuple[Alert[LogEntry], ...]
    buckets: tuple[Decimal, ...]  # seconds, ascending
    windows: tuple[Window, ...]  # ascending, the period last
    clock: Clock
    probe_every: Decimal  # seconds; 0 without prober
    probe_routes: tuple[tuple[str, Http], ...]
    jobs: tuple[str, ...]
    dependencies: tuple[str, ...]
    needs: dict[str, tuple[str, ...]]  # dependencies of a route, a job or the gateway
    metrics: dict[str, MetricEntry]  # the service's own, by name
    stack: StackEntry
    drill_route: DrillRoute | None
    log_fields: tuple[str, ...]  # of the service's own log lines
    backup: dict[str, BackupEntry]  # by what it is called in the summary of a backup
    table_sizes: tuple[str, ...]
    policy: Policy
    maintenance: tuple[MaintenanceEntry, ...] = ()  # when nothing counts

    @property
    def retention(self) -> Decimal:
        """Return for how many seconds samples and log lines are stored: the period and a day."""
        return self.period.seconds + DAY

    @property
    def scope(self) -> str:
        """Return service and environment as one word, with which unique names begin."""
        return "_".join(filter(None, (self.service, self.environment)))

    @property
    def bucket_edges(self) -> list[float]:
        """Return the upper edges of histograms of durations, in seconds, ascending."""
        return [float(edge) for edge in self.buckets]

    @cached_property
    def route_ids(self) -> dict[Http, str]:
        """Return the id of every route, watched or exempt, by method and OpenAPI path."""
        ids = {route.http: route.id for route in self.routes}
        ids |= {http: route_id for route_id, http in self.exempt}
        return ids

    @cached_property
    def emitted(self) -> dict[str, str]:
        """Return the kind of every metric that the API and its helpers expose, by name."""
        own = {name: entry.type for name, entry in self.metrics.items()}
        return names.EMITTED | own

    @cached_property
    def counters_by_job(self) -> tuple[str, ...]:
        """Return the service's own counters whose only label is the job."""
        return tuple(
            name
            for name, entry in self.metrics.items()
            if entry.type == "counter" and entry.labels == (names.JOB,)
        )

    @cached_property
    def paging_severity(self) -> str:
        """Return the severity that pages: the policy's first."""
        return next(iter(self.policy.severities))

    @cached_property
    def heartbeat_severity(self) -> str:
        """Return the severity of the watchdog, which only shows that delivery works."""
        return self.policy.guards[names.WATCHDOG_ALERT].severity

    def dependents(self, dependency: str) -> tuple[str, ...]:
        """Return the routes, jobs and the gateway that need the dependency."""
        return tuple(subject for subject, needed in self.needs.items() if dependency in needed)

    def slos_of(self, source: str, sli: str) -> tuple[Slo, ...]:
        """Return the SLOs of one kind of SLI that follow from the entries of `source`."""
        return tuple(
            slo
            for slo in self.slos
            if (slo.source, slo.sli) == (source, sli) and not slo.is_declared
        )

    def slos_by_limit(self, source: str, sli: str) -> dict[Duration, list[Slo]]:
        """Return the SLOs of one kind and source, grouped by their limit, ascending."""
        slos: dict[Duration, list[Slo]] = {}
        for slo in sorted(self.slos_of(source, sli), key=lambda slo: slo.limit.seconds):
            slos.setdefault(slo.limit, []).append(slo)
        return slos
