"""Models of catalogue.yaml; docs/catalogue.md explains its keys."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from observability.spec import names
from observability.spec.quantities import Duration
from observability.spec.schema.entry import (
    AlertEntry,
    Entry,
    LatencyEntry,
    NeedsEntry,
)
from observability.spec.schema.fields import (
    ALL_ROUTES,
    AddressText,
    AlertName,
    BackupText,
    DurationField,
    Environment,
    ExcludedCodes,
    Http,
    HttpField,
    LinePart,
    MetricName,
    Percent,
    Period,
    PositiveDuration,
    ProgramName,
    PythonCommand,
    RateLimit,
    Service,
    SloName,
    SpelledPath,
    SubjectId,
    limit_service,
)
from observability.spec.schema.maintenance import MaintenanceEntry
from observability.spec.schema.metrics import MetricEntry
from observability.spec.schema.scrape import ScrapeEntry
from observability.spec.schema.signals import SignalsEntry, SignalsField
from observability.spec.schema.slos import SloEntry
from observability.spec.schema.subject import SubjectEntry


class LoadEntry(Entry):
    """The share of the load that a route gets, and the source of its parameters.

    loadtests/locustfile.py interprets them.
    """

    weight: Annotated[int, Field(ge=0)]
    # path parameter, or path that ends with it → field of the response that holds a new id
    provides: dict[str, str] = {}
    consumes: str | None = None  # path parameter whose resource is gone afterwards
    fixed: dict[str, str] = {}  # path parameter → the resource that every request asks for
    # field of the example body → how each request differs
    vary: dict[str, Literal["unique", "now"]] = {}


class DefaultsEntry(Entry):
    """Values for routes that declare none."""

    availability: Percent | None = None
    latency: tuple[LatencyEntry, ...] = ()
    excluded_codes: ExcludedCodes = ()
    rate_limit: RateLimit | None = None
    load: LoadEntry = LoadEntry(weight=0)


class ServedEntry(NeedsEntry):
    """Keys of every route, watched or exempt."""

    http: HttpField
    rate_limit: RateLimit | None = None


class DeprecationEntry(Entry):
    """The dates of a route's deprecation and removal, and the URL of its successor."""

    since: date
    sunset: date | None = None
    successor: str | None = None


class RouteEntry(SubjectEntry, ServedEntry):
    """A watched route."""

    deprecated: DeprecationEntry | None = None
    path: SpelledPath | None = None
    excluded_codes: ExcludedCodes | None = None
    availability: Percent | None = None
    latency: tuple[LatencyEntry, ...] | None = None
    load: LoadEntry | None = None


class CalledEntry(SubjectEntry):
    """Something that is called, and whose calls may fail."""

    availability: Percent


class GatewayEntry(CalledEntry, NeedsEntry):
    """The gateway in front of the API."""


class DependencyEntry(CalledEntry):
    """A dependency whose calls are measured."""

    latency: tuple[LatencyEntry, ...] = ()


class FreshEntry(SubjectEntry):
    """Something whose last success must be recent."""

    fresh_within: PositiveDuration
    objective: Percent


class JobEntry(FreshEntry, NeedsEntry):
    """A job whose last success must be recent."""


class ProbeEntry(FreshEntry):
    """The routes that the prober calls from outside; each must have answered recently."""

    every: PositiveDuration
    routes: tuple[str, ...]


class SymptomEntry(AlertEntry, NeedsEntry):
    """An alert of the catalogue, which may have an owner of its own."""

    for_: Annotated[DurationField, Field(alias="for")] = Duration("0s", Decimal(0))
    owner: str | None = None


class CasesEntry(Entry):
    """Input series of the generated promtool cases: one sample a minute, in promtool's notation."""

    fires: dict[str, str]
    silent: dict[str, str]


class WatchEntry(SymptomEntry):
    """A symptom that a PromQL expression shows."""

    one_of = ("drill", "drilled_by")
    expr: str
    cases: CasesEntry
    drill: str | None = None
    dependency: str | None = None  # the dependency that fails while it fires
    keep_firing_for: DurationField = Duration("0s", Decimal(0))


class LogEntry(SymptomEntry):
    """Too many log lines of one program, level and text within `over`, or none."""

    one_of = ("more_than", "silence")
    over: PositiveDuration
    program: str | None = None
    level: Literal["debug", "info", "warning", "error"] | None = None
    text: LinePart | None = None
    more_than: Annotated[int, Field(ge=0)] | None = None
    silence: Literal[True] | None = None


class ProgramEntry(Entry):
    """A helper program, which the API finds by the settings in `environment`."""

    command: PythonCommand
    port: Annotated[int, Field(ge=1024, le=65_535)]
    environment: dict[str, AddressText] = {}
    drill_arguments: str = ""
    replaces: str | None = None  # the dependency that it stands in for


class StackEntry(Entry):
    """The parts of the stack that belong to this service alone."""

    programs: dict[ProgramName, ProgramEntry] = {}
    wait_for: tuple[str, ...] = ()  # jobs


class BackupEntry(Entry):
    """A table and its column of times, whose newest time a restored backup must have."""

    table: MetricName
    column: MetricName


class DrillRouteEntry(Entry):
    """The route that drills break and `make up` proposes to call, and settings of their API."""

    route: str
    parameters: dict[str, str] = {}
    environment: dict[str, str] = {}


def expand_exempt(value: Any) -> Any:
    """Return `{"http": "GET /path"}` for the short form `GET /path`, other values unchanged."""
    return {"http": value} if isinstance(value, str) else value


ExemptEntry = Annotated[ServedEntry, BeforeValidator(expand_exempt)]


class Catalogue(Entry):
    """The whole of catalogue.yaml."""

    sections_sharing_ids = (("routes", "exempt", "jobs", "dependencies"), ("watch", "logs"))
    service: Service
    environment: Environment | None = None
    scrape: ScrapeEntry = ScrapeEntry()
    signals: SignalsField = SignalsEntry(preset="evara")
    owner: str
    period: Period
    defaults: DefaultsEntry = DefaultsEntry()
    routes: dict[SubjectId, RouteEntry] = {}
    dependencies: dict[SubjectId, DependencyEntry] = {}
    jobs: dict[SubjectId, JobEntry] = {}
    probe: ProbeEntry | None = None
    gateway: GatewayEntry | None = None
    slos: dict[SloName, SloEntry] = {}
    watch: dict[AlertName, WatchEntry] = {}
    logs: dict[AlertName, LogEntry] = {}
    metrics: dict[MetricName, MetricEntry] = {}
    stack: StackEntry = StackEntry()
    drill: DrillRouteEntry | None = None
    log_fields: tuple[MetricName, ...] = ()
    backup: dict[BackupText, BackupEntry] = {}
    table_sizes: tuple[MetricName, ...] = ()
    exempt: dict[SubjectId, ExemptEntry] = {}
    maintenance: tuple[MaintenanceEntry, ...] = ()

    @field_validator("environment")
    @classmethod
    def limit_scope(cls, environment: str | None, info: ValidationInfo) -> str | None:
        """Raise ValueError when the uids of dashboards would be too long."""
        limit_service(f"{info.data.get('service')}_{environment}")
        return environment

    def served(self) -> list[tuple[str, ServedEntry]]:
        """Return every route id, watched or exempt, with its entry."""
        return [*self.routes.items(), *self.exempt.items()]

    def needs_by_subject(self) -> dict[str, tuple[str, ...]]:
        """Return the dependencies that every route, job, declared SLO and the gateway needs."""
        entries: dict[str, NeedsEntry] = dict(sorted(self.served()))
        entries |= dict(sorted(self.jobs.items()))
        if self.gateway:
            entries[names.GATEWAY] = self.gateway
        needs: dict[str, tuple[str, ...]] = {}
        for name, slo in self.slos.items():
            subject = slo.subject or name
            needed = (*needs.get(subject, ()), *self.needs_of_slo(slo))
            needs[subject] = tuple(dict.fromkeys(needed))
        needs |= {subject: entry.needs for subject, entry in entries.items()}
        return {subject: needed for subject, needed in needs.items() if needed}

    def routes_of_slo(self, slo: SloEntry) -> tuple[str, ...]:
        """Return the routes whose requests an SLO counts; none for a ratio or a gauge."""
        return tuple(sorted(self.routes)) if slo.routes == ALL_ROUTES else slo.routes or ()

    def needs_of_slo(self, slo: SloEntry) -> tuple[str, ...]:
        """Return the dependencies of an SLO, and those of each of its routes."""
        entries = dict(self.served())
        needed = dict.fromkeys(slo.needs)
        for route in self.routes_of_slo(slo):
            needed |= dict.fromkeys(entries[route].needs)
        return tuple(needed)

    def http_by_route(self) -> dict[str, Http]:
        """Return the method and path of every route id, watched or exempt."""
        return {route_id: entry.http for route_id, entry in self.served()}
