"""Checks of a catalogue and a policy that are valid by themselves: within and between the two."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Protocol

from observability.spec import names
from observability.spec.problems import Problem
from observability.spec.schema.catalogue import Catalogue, LatencyEntry, SubjectEntry, SymptomEntry
from observability.spec.schema.fields import Http
from observability.spec.schema.policy import Policy


class Where(Protocol):
    """A function that returns the place of a key as text: `file:line: key.path`."""

    def __call__(self, *path: str | int) -> str: ...


def validate(
    catalogue: Catalogue, policy: Policy, in_catalogue: Where, in_policy: Where
) -> list[Problem]:
    """Return every problem; `in_catalogue` and `in_policy` return the places of keys."""
    return [
        *check_addresses(catalogue, in_catalogue),
        *check_owners(catalogue, policy, in_catalogue),
        *check_dependencies(catalogue, in_catalogue),
        *check_symptoms(catalogue, policy, in_catalogue),
        *check_probe(catalogue, in_catalogue),
        *check_latencies(catalogue, in_catalogue),
        *check_availability(catalogue, in_catalogue),
        *check_integrations(policy, in_policy),
        *check_reachable_owners(policy, in_policy),
        *check_severities(policy, in_policy),
        *check_guards(policy, in_policy),
        *check_windows(catalogue, policy, in_policy),
    ]


def undeclared(
    where: str, references: Iterable[str | None], declared: Iterable[str], kind: str
) -> Iterator[Problem]:
    """Yield a problem for each name that is declared nowhere; None is no reference."""
    for name in references:
        if name is not None and name not in declared:
            fix = f"use one of: {', '.join(sorted(declared))}"
            yield Problem(where, f"{kind} {name!r} is not declared", fix)


def repeated(where: str, values: Iterable[str]) -> Iterator[Problem]:
    """Yield a problem for each repeated element of a list: it would make two SLOs of one name."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            yield Problem(where, f"{value} stands there twice", "remove one of the two")
        seen.add(value)


# --- the catalogue by itself ---


def check_addresses(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield routes whose method and path another route has."""
    route_by_http: dict[Http, str] = {}
    for section, entries in (("routes", catalogue.routes), ("exempt", catalogue.exempt)):
        for route_id, entry in entries.items():
            other = route_by_http.setdefault(entry.http, route_id)
            if other != route_id:
                message = f"{entry.http} is declared by {other} already"
                yield Problem(where(section, route_id), message, "keep one of the two")


def check_dependencies(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield dependencies that routes need and nobody declares, and the gateway's name."""
    for route_id, route in catalogue.routes.items():
        place = where("routes", route_id, "needs")
        yield from undeclared(place, route.needs, catalogue.dependencies, "dependency")
    if catalogue.gateway and names.GATEWAY in catalogue.dependencies:
        place = where("dependencies", names.GATEWAY)
        yield Problem(place, "is the gateway's name, whose SLO has it", "choose another name")


def check_probe(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield probed routes that are unknown, repeated, or change something."""
    http_by_route = catalogue.http_by_route()
    probed = catalogue.probe.routes
    place = where("probe", "routes")
    yield from undeclared(place, probed, http_by_route, "route")
    yield from repeated(place, probed)
    for route_id in sorted(set(probed) & http_by_route.keys()):
        if http_by_route[route_id].method != "GET":
            message = f"{route_id} is not a GET; a probe must change nothing"
            yield Problem(place, message, "probe another route")


def check_latencies(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield latencies that would make two SLOs of one name, or that another one includes."""
    yield from check_latency(catalogue.defaults.latency, where("defaults", "latency"))
    for route_id, route in catalogue.routes.items():
        yield from check_latency(route.latency or (), where("routes", route_id, "latency"))
    for name, dependency in catalogue.dependencies.items():
        yield from check_latency(dependency.latency, where("dependencies", name, "latency"))


def check_latency(targets: tuple[LatencyEntry, ...], where: str) -> Iterator[Problem]:
    """Yield the problems of one list of latencies."""
    yield from repeated(where, [f"{target.threshold.seconds.normalize():f}s" for target in targets])
    for quick, slow in pairwise(sorted(targets, key=threshold_seconds)):
        differ = threshold_seconds(quick) < threshold_seconds(slow)
        if differ and quick.objective >= slow.objective:
            message = (
                f"{quick.objective} within {quick.threshold.text} makes "
                f"{slow.objective} within {slow.threshold.text} say nothing"
            )
            fix = (
                f"promise more than {quick.objective} within {slow.threshold.text}, "
                "or leave one out"
            )
            yield Problem(where, message, fix)


def threshold_seconds(target: LatencyEntry) -> Decimal:
    """Return the threshold in seconds."""
    return target.threshold.seconds


def check_availability(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield objectives above those of what the route needs: they cannot be met."""
    for route_id, route in catalogue.routes.items():
        objective = route.availability or catalogue.defaults.availability
        for name in route.needs:
            dependency = catalogue.dependencies.get(name)
            if dependency and objective > dependency.availability:
                promised = dependency.availability
                message = (
                    f"{objective} cannot be kept: it needs {name}, "
                    f"which is promised for {promised} only"
                )
                fix = f"promise at most {promised} here, or raise dependencies.{name}.availability"
                yield Problem(where("routes", route_id, "availability"), message, fix)


# --- the catalogue against the policy ---


def check_owners(catalogue: Catalogue, policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield owners that the policy does not declare."""
    yield from undeclared(where("owner"), [catalogue.owner], policy.owners, "owner")
    sections: dict[str, Mapping[str, SubjectEntry | SymptomEntry]] = {
        "routes": catalogue.routes,
        "dependencies": catalogue.dependencies,
        "jobs": catalogue.jobs,
        "watch": catalogue.watch,
        "logs": catalogue.logs,
    }
    for section, entries in sections.items():
        for name, entry in entries.items():
            place = where(section, name, "owner")
            yield from undeclared(place, [entry.owner], policy.owners, "owner")
    if catalogue.gateway:
        place = where("gateway", "owner")
        yield from undeclared(place, [catalogue.gateway.owner], policy.owners, "owner")


def check_symptoms(catalogue: Catalogue, policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield unknown severities of symptoms, and names of alerts that every service has."""
    sections: dict[str, Mapping[str, SymptomEntry]] = {
        "watch": catalogue.watch,
        "logs": catalogue.logs,
    }
    for section, entries in sections.items():
        for name, entry in entries.items():
            place = where(section, name, "severity")
            yield from undeclared(place, [entry.severity], policy.severities, "severity")
            if name in (names.BURN_ALERT, *names.GUARDS):
                message = "is the name of an alert that every service has"
                yield Problem(where(section, name), message, "choose another name")


def check_windows(catalogue: Catalogue, policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield windows that are longer than the period, for which nothing is stored."""
    period = catalogue.period
    for name, tier in policy.tiers.items():
        lengths = [window.over for window in tier.windows]
        for length in (*lengths, tier.failed.over):
            if length.seconds > period.seconds:
                message = (
                    f"looks back {length.text}, which is longer than the period of {period.text}"
                )
                fix = "shorten the window, or lengthen `period` in the catalogue"
                yield Problem(where("tiers", name), message, fix)


# --- the policy by itself ---


def check_integrations(policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield integrations that severities and owners name and nobody declares."""
    for name, severity in policy.severities.items():
        place = where("severities", name, "integrations")
        yield from undeclared(place, severity.integrations, policy.integrations, "integration")
    for name, owner in policy.owners.items():
        place = where("owners", name, "only")
        yield from undeclared(place, owner.only or (), policy.integrations, "integration")


def check_reachable_owners(policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield owners to whom alerts of some severity would not be delivered at all."""
    for owner_name, owner in policy.owners.items():
        for severity_name, severity in policy.severities.items():
            integrations = set(severity.integrations)
            if owner.only is not None:
                integrations &= set(owner.only)
            if not integrations:
                message = (
                    f"severity {severity_name} has no integration left, "
                    "so its alerts would reach nobody"
                )
                fix = f"add one of: {', '.join(severity.integrations)}"
                yield Problem(where("owners", owner_name, "only"), message, fix)


def check_severities(policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield severities that tiers and guards name and nobody declares."""
    for section, entries in (("tiers", policy.tiers), ("guards", policy.guards)):
        for name, entry in entries.items():
            place = where(section, name, "severity")
            yield from undeclared(place, [entry.severity], policy.severities, "severity")


def check_guards(policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield guards that nothing builds, and guards that are missing."""
    for name in policy.guards:
        yield from undeclared(where("guards", name), [name], names.GUARDS, "guard")
    for name in names.GUARDS:
        if name not in policy.guards:
            fix = f"add `{name}:`; nothing else watches the watching"
            yield Problem(where("guards", name), "is missing", fix)
