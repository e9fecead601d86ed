"""The shape of catalogue.yaml and policy.yaml: frozen models, and what is wrong with a file; it imports problems only.

What the keys mean is written in docs/catalogue.md. How the two fit together is in crosscheck.py, arithmetic in plan.py.
"""

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

HERE = Path(__file__).resolve().parents[1]
CATALOGUE = HERE / "catalogue.yaml"
POLICY = HERE / "policy.yaml"

UNITS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}


class Duration(NamedTuple):
    """A span of time as it was written (`200ms`) and in seconds (`Decimal("0.2")`)."""

    text: str
    seconds: Decimal


class Http(NamedTuple):
    """A method and an OpenAPI path, as in `GET /api/v1/nodes/{node_id}`."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def duration(value: Any) -> Duration:
    """`200ms`, `5s`, `1m`, `6h`, `30d` → Duration; ValueError for anything else."""
    if isinstance(value, Duration):
        return value
    match = re.fullmatch(r"(\d+)(ms|s|m|h|d)", str(value))
    if not match:
        raise ValueError(
            f"{value!r} is no duration; write a whole number and one of ms, s, m, h, d, as in 200ms"
        )
    return Duration(str(value), Decimal(match[1]) * UNITS[match[2]])


def length(value: Any) -> Duration:
    """A duration that is longer than nothing."""
    found = duration(value)
    if not found.seconds:
        raise ValueError(f"{value!r} is no time at all; write a duration above zero, as in 200ms")
    return found


def percent(value: Any) -> Decimal:
    """An objective in per cent. Below 50 an alert would fire while the objective is met; 100 leaves no budget."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or not 50 <= number <= Decimal("99.999"):
        raise ValueError(
            f"{value!r} is no objective; write per cent from 50 to 99.999 (100 would leave no error budget)"
        )
    return number


def http(value: Any) -> Http:
    """`GET /path/{parameter}` → Http."""
    match = re.fullmatch(r"(GET|POST|PUT|PATCH|DELETE) (/[\w./{}-]*)", str(value))
    if not match:
        raise ValueError(
            f"{value!r} is no route; write METHOD /path/{{parameter}}, as in GET /api/v1/nodes/{{node_id}}"
        )
    return Http(match[1], match[2])


def pattern(regex: str, example: str) -> BeforeValidator:
    def matches(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(regex, value):
            raise ValueError(f"{value!r} does not fit; write it like {example}")
        return value

    return BeforeValidator(matches)


Span = Annotated[Duration, BeforeValidator(duration)]
Length = Annotated[Duration, BeforeValidator(length)]
Percent = Annotated[Decimal, BeforeValidator(percent)]
Route = Annotated[Http, BeforeValidator(http)]
RateLimit = Annotated[str, pattern(r"[1-9]\d*/(second|minute|hour|day)", "120/minute")]
RouteId = Annotated[str, pattern(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*", "nodes.list")]
DependencyId = Annotated[str, pattern(r"[a-z][a-z0-9_]*", "database")]
AlertName = Annotated[str, pattern(r"[A-Z][A-Za-z0-9]*", "TargetDown")]
Steps = Annotated[tuple[str, ...], Field(min_length=1)]


class Model(BaseModel):
    """A mapping with known keys, of which exactly one of those in `one_of` must be given."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    one_of: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="after")
    def exactly_one(self) -> Self:
        if self.one_of and sum(getattr(self, key) is not None for key in self.one_of) != 1:
            *others, last = self.one_of
            raise ValueError(
                f"needs exactly one of {', '.join(others)} and {last}; add the one that is meant, and no other"
            )
        return self


class LatencyTarget(Model):
    threshold: Length
    objective: Percent


class Load(Model):
    """How much of the load a route gets, and where its parameters come from (see loadtests/locustfile.py)."""

    weight: Annotated[int, Field(ge=0)]
    provides: dict[str, str] = {}  # path parameter → field of the response that holds a new one
    consumes: str | None = None  # path parameter whose resource is gone afterwards
    fixed: dict[str, str] = {}  # path parameter → the resource that every request asks for
    vary: dict[
        str, Literal["unique", "now"]
    ] = {}  # field of the example body → how each request differs


class Defaults(Model):
    availability: Percent
    latency: tuple[LatencyTarget, ...]
    rate_limit: RateLimit
    load: Load


class Subject(Model):
    """What something that is promised about has besides the promise."""

    next_steps: Steps
    owner: str | None = None
    impact: str = ""


class Served(Model):
    """What every route has, exempt or not."""

    http: Route
    rate_limit: RateLimit | None = None


class Deprecated(Model):
    """Since when a route should not be used, when it goes, and the URL of what replaces it."""

    since: date
    sunset: date | None = None
    successor: str | None = None


class RouteEntry(Subject, Served):
    deprecated: Deprecated | None = None
    needs: tuple[str, ...] = ()
    availability: Percent | None = None
    latency: tuple[LatencyTarget, ...] | None = None
    load: Load | None = None


class GatewayEntry(Subject):
    availability: Percent


class DependencyEntry(GatewayEntry):
    latency: tuple[LatencyTarget, ...] = ()


class JobEntry(Subject):
    fresh_within: Length
    objective: Percent


class ProbeEntry(Model):
    every: Length
    fresh_within: Length
    objective: Percent
    routes: tuple[str, ...]
    next_steps: Steps
    impact: str = ""


class Cases(Model):
    """Input series of the generated promtool cases: one sample a minute, in promtool's notation."""

    fires: dict[str, str]
    silent: dict[str, str]


class GuardAlert(Model):
    severity: str
    for_: Annotated[Span, Field(alias="for")]
    summary: str
    meaning: str
    impact: str
    next_steps: Steps


class Symptom(GuardAlert):
    for_: Annotated[Span, Field(alias="for")] = Duration("0s", Decimal(0))
    owner: str | None = None


class WatchEntry(Symptom):
    one_of = ("drill", "drilled_by")
    expr: str
    cases: Cases
    drill: str | None = None
    drilled_by: str | None = None  # the test that breaks, for real, what `make drill` does not run


class LogEntry(Symptom):
    """Lines of one program with a level and a text, of which there are too many, or none, within `over`."""

    one_of = ("more_than", "silence")
    over: Length
    program: str | None = None
    level: Literal["debug", "info", "warning", "error"] | None = None
    text: str | None = None
    more_than: Annotated[int, Field(ge=0)] | None = None
    silence: Literal[True] | None = None


class Catalogue(Model):
    service: str
    owner: str
    period: Length
    defaults: Defaults
    routes: Annotated[dict[RouteId, RouteEntry], Field(min_length=1)]
    dependencies: dict[DependencyId, DependencyEntry] = {}
    jobs: dict[RouteId, JobEntry] = {}
    probe: ProbeEntry
    gateway: GatewayEntry | None = None
    watch: dict[AlertName, WatchEntry] = {}
    logs: dict[AlertName, LogEntry] = {}
    exempt: dict[
        RouteId,
        Annotated[
            Served,
            BeforeValidator(lambda given: {"http": given} if isinstance(given, str) else given),
        ],
    ] = {}

    def served(self) -> list[tuple[str, Served]]:
        """Every route id, watched or exempt, with its entry."""
        return [*self.routes.items(), *self.exempt.items()]

    def endpoints(self) -> dict[str, Http]:
        return {name: entry.http for name, entry in self.served()}


class Window(Model):
    one_of = ("factor", "ratio")
    over: Length
    factor: Annotated[Decimal, Field(gt=0)] | None = None
    ratio: Annotated[Decimal, Field(gt=0, lt=1)] | None = None


class Guard(Model):
    over: Length
    events: Annotated[Decimal, Field(gt=0)]


class Tier(Model):
    severity: str
    for_: Annotated[Span, Field(alias="for")]
    windows: Annotated[tuple[Window, ...], Field(min_length=1)]
    failed: Guard
    slis: (
        Annotated[
            tuple[Literal["availability", "latency", "freshness", "probe"], ...],
            Field(min_length=1),
        ]
        | None
    ) = None


class Links(Model):
    """Where people look: addresses without a slash at their end."""

    console: str
    grafana: str | None = None


class Clock(Model):
    scrape: Length
    evaluate: Length
    thin: Length
    fine_up_to: Length
    thin_up_to: Length
    long: Length


class Severity(Model):
    integrations: tuple[str, ...]
    group_wait: Span
    group_interval: Length
    repeat_interval: Length


class Owner(Model):
    only: tuple[str, ...] | None = None


class Integration(Model):
    one_of = ("webhook", "webhook_url_file", "email", "slack_url_file", "pagerduty_key_file")
    webhook: str | None = None
    webhook_url_file: str | None = None
    email: str | None = None
    sender: str | None = None
    smarthost: str | None = None
    tls: bool = True
    slack_url_file: str | None = None
    channel: str | None = None
    pagerduty_key_file: str | None = None


class Inhibition(Model):
    source: dict[str, str]
    target: dict[str, str]
    equal: tuple[str, ...]


class DrillClock(Model):
    speed: Annotated[int, Field(ge=1)]
    scrape: Length
    scrapes_per_window: Annotated[int, Field(ge=2)]  # a rate needs two samples
    by_sli: dict[str, str]  # which drill breaks such a promise


class Policy(Model):
    clock: Clock
    buckets: tuple[Length, ...]
    max_threshold: Annotated[Decimal, Field(gt=0, lt=1)]
    tiers: dict[str, Tier]
    guards: dict[str, GuardAlert]
    severities: Annotated[dict[str, Severity], Field(min_length=1)]
    owners: dict[str, Owner]
    integrations: dict[str, Integration]
    inhibit: tuple[Inhibition, ...]
    links: Links
    drill: DrillClock
