"""The shape of catalogue.yaml and policy.yaml: frozen models, and what is wrong with a file; it imports problems only.

What the keys mean is written in docs/catalogue.md. How the two fit together is in crosscheck.py, arithmetic in plan.py.
"""

import copy
import difflib
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from observability.problems import Problem

HERE = Path(__file__).parent
CATALOGUE = HERE / "catalogue.yaml"
POLICY = HERE / "policy.yaml"

UNITS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}


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
        raise ValueError(f"{value!r} is no duration; write a whole number and one of ms, s, m, h, d, as in 200ms")
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
        raise ValueError(f"{value!r} is no objective; write per cent from 50 to 99.999 (100 would leave no error budget)")
    return number


def http(value: Any) -> Http:
    """`GET /path/{parameter}` → Http."""
    match = re.fullmatch(r"(GET|POST|PUT|PATCH|DELETE) (/[\w./{}-]*)", str(value))
    if not match:
        raise ValueError(f"{value!r} is no route; write METHOD /path/{{parameter}}, as in GET /api/v1/nodes/{{node_id}}")
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
            raise ValueError(f"needs exactly one of {', '.join(others)} and {last}; add the one that is meant, and no other")
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
    vary: dict[str, Literal["unique", "now"]] = {}  # field of the example body → how each request differs


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
    exempt: dict[RouteId, Annotated[Served, BeforeValidator(lambda given: {"http": given} if isinstance(given, str) else given)]] = {}

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
    slis: Annotated[tuple[Literal["availability", "latency", "freshness", "probe"], ...], Field(min_length=1)] | None = None


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


STAND_INS: dict[str, Any] = {
    "next_steps": ["?"],
    "objective": 50,
    "availability": 50,
    "latency": [],
    "rate_limit": "1/second",
    "load": {"weight": 0},
    "severity": "page",
    "summary": "?",
    "meaning": "?",
    "impact": "?",
}
SALVAGE_ROUNDS = 8


class UniqueKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml's where there is one
    """SafeLoader keeps the last of two equal keys without a word; this one remembers that there were two."""

    def __init__(self, stream: str):
        super().__init__(stream)
        self.duplicates: list[tuple[str, int]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    self.duplicates.append((key.value, key.start_mark.line + 1))
                seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def parse(path: Path) -> tuple[Any, list[Problem]]:
    """YAML text → data and the problems of its form (unreadable, keys written twice)."""
    try:
        loader = UniqueKeyLoader(path.read_text(encoding="utf-8"))
        data = loader.get_single_data()
    except OSError as error:
        return None, [Problem(str(path), error.strerror or "cannot be read", "name the file with --catalogue or --policy")]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path.name}:{mark.line + 1}" if mark else path.name
        what = getattr(error, "problem", None) or error
        return None, [Problem(where, f"is not YAML: {what}", "correct that line; quote texts with : ? # or brackets")]
    twice = [
        Problem(f"{path.name}:{line}", f"the key {key!r} is written twice", "rename or remove one of the two")
        for key, line in loader.duplicates
    ]
    return data, twice


def known_keys(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """The keys that the mapping at `location` inside `model` may have."""
    schema = model.model_json_schema(by_alias=True)
    node: Any = schema
    for part in location:
        node = resolve(schema, node)
        node = node.get("properties", {}).get(part) or node.get("additionalProperties") or node.get("items") or {}
    return sorted(resolve(schema, node).get("properties", {}))


def resolve(schema: dict[str, Any], node: Any) -> dict[str, Any]:
    while isinstance(node, dict) and ("$ref" in node or "anyOf" in node):
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node["anyOf"][0]
    return node if isinstance(node, dict) else {}


def explain(path: Path, model: type[BaseModel], error: ValidationError) -> Iterator[Problem]:
    """pydantic's errors → problems that say where, what and the edit that mends."""
    for item in error.errors():
        location = tuple(part for part in item["loc"] if part != "[key]")
        where = f"{path.name}: {'.'.join(map(str, location)) or 'the whole file'}"
        message, _, fix = item["msg"].removeprefix("Value error, ").partition("; ")
        fix = fix or "correct the value"
        if item["type"] == "extra_forbidden":
            keys = known_keys(model, location[:-1])
            close = difflib.get_close_matches(str(location[-1]), keys, n=1)
            message, fix = "unknown key", f"did you mean {close[0]}?" if close else f"remove it; known here: {', '.join(keys)}"
        elif item["type"] == "literal_error":
            message, fix = f"{item['input']!r} is not known here", f"write {item['ctx']['expected']}"
        elif item["type"] == "missing":
            message, fix = "is missing", f"add `{location[-1]}:` (docs/catalogue.md says what it holds)"
        elif item["type"] in {"too_short", "dict_type", "model_type", "model_attributes_type"}:
            empty = item["type"] == "too_short"
            message = "is empty" if empty else "is no mapping"
            fix = "write at least one entry" if empty else "write `key: value` lines (docs/catalogue.md says which)"
        yield Problem(where, message, fix)


M = TypeVar("M", bound=BaseModel)


def read(path: Path, model: type[M]) -> tuple[M | None, list[Problem]]:
    """One file → its model, and what is wrong with it.

    A file with mistakes gives a model of what is right in it, so that the rest can be looked at in the same run; None
    where nothing can be made of it.
    """
    data, problems = parse(path)
    if data is None:
        return None, problems or [Problem(path.name, "is empty", "see docs/catalogue.md")]
    try:
        return model.model_validate(data), problems
    except ValidationError as error:
        return salvage(data, model, error), problems + list(explain(path, model, error))


def salvage(data: Any, model: type[M], error: ValidationError) -> M | None:
    """The model of `data` without its mistakes: wrong keys, values and list elements are dropped, missing texts made up."""
    for _ in range(SALVAGE_ROUNDS):
        for item in error.errors():
            drop(data, [part for part in item["loc"] if part != "[key]"], item["type"] == "missing")
        try:
            return model.model_validate(data)
        except ValidationError as next_error:
            error = next_error
    return None


def drop(data: Any, location: list[Any], missing: bool) -> None:
    """Takes one mistake out of `data`; an entry that lacks what nobody can make up goes whole."""
    if missing and location[-1] not in STAND_INS:
        location = location[:-1]
    holder = data
    for part in location[:-1]:
        if not isinstance(holder, dict) or part not in holder:
            break
        if isinstance(holder[part], list):
            location = location[: location.index(part) + 1]  # a list with a mistake in it is dropped whole
            break
        holder = holder[part]
    if missing and location and location[-1] in STAND_INS and isinstance(holder, dict):
        holder[location[-1]] = copy.deepcopy(STAND_INS[location[-1]])
    elif isinstance(holder, dict) and location:
        holder.pop(location[-1], None)
