"""Checks of the catalogue: within it, and against the policy."""

from collections.abc import Iterable, Iterator

from observability.spec import board_slugs, names
from observability.spec.problems import Problem
from observability.spec.schema.catalogue import Catalogue
from observability.spec.schema.fields import Http
from observability.spec.schema.policy import Policy
from observability.spec.validation.dependency_alerts import check_dependency_alerts
from observability.spec.validation.load import check_load
from observability.spec.validation.maintenance import check_maintenance
from observability.spec.validation.objectives import (
    check_availability,
    check_latencies,
    check_objectives,
)
from observability.spec.validation.references import (
    Reference,
    Where,
    check_heard,
    check_references,
    repeated,
)
from observability.spec.validation.signals import check_signals
from observability.spec.validation.slo_alerts import check_slo_alerts
from observability.spec.validation.slos import check_slos

SYMPTOM_SECTIONS = ("watch", "logs")
SUBJECT_SECTIONS = ("routes", "exempt", "jobs", "dependencies")
NEEDING_SECTIONS = ("routes", "exempt", "jobs", "slos", *SYMPTOM_SECTIONS)
OWNED_SECTIONS = ("routes", "dependencies", "jobs", "slos", *SYMPTOM_SECTIONS)
RESERVED_ALERTS = {names.BURN_ALERT, names.TEST_ALERT, *names.GUARDS}


def check_catalogue(catalogue: Catalogue, policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield every problem of the catalogue.

    `where` returns the place of one of its keys.
    """
    yield from check_addresses(catalogue, where)
    yield from check_references(references(catalogue, policy), where)
    yield from check_heard(severities(catalogue), policy, where)
    yield from check_reserved_names(catalogue, where)
    yield from check_dependency_alerts(catalogue, policy, where)
    yield from check_slo_alerts(catalogue, policy, where)
    yield from check_probe(catalogue, where)
    yield from check_drill_route(catalogue, where)
    yield from check_load(catalogue, where)
    yield from check_latencies(catalogue, where)
    yield from check_availability(catalogue, where)
    yield from check_objectives(catalogue, where)
    yield from check_slos(catalogue, where)
    yield from check_signals(catalogue, where)
    yield from check_maintenance(catalogue, where)


def check_addresses(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield routes whose method and path another route has.

    Every series of a route carries its id, so a request must belong to exactly one.
    """
    route_by_http: dict[Http, str] = {}
    for section, entries in (("routes", catalogue.routes), ("exempt", catalogue.exempt)):
        for route_id, entry in entries.items():
            other = route_by_http.setdefault(entry.http, route_id)
            if other != route_id:
                place = where(section, route_id)
                message = f"{entry.http} is declared by {other} already"
                yield Problem(place, message, "keep one of the two")


def references(catalogue: Catalogue, policy: Policy) -> Iterator[Reference]:
    """Yield the names that other sections or the policy must declare.

    Alertmanager routes by owner: alerts of an unknown one would go to the default receiver.
    """
    yield ("owner",), [catalogue.owner], policy.owners, "owner"
    yield ("stack", "wait_for"), catalogue.stack.wait_for, catalogue.jobs, "job"
    if catalogue.probe:
        yield ("probe", "owner"), [catalogue.probe.owner], policy.owners, "owner"
        yield ("probe", "routes"), catalogue.probe.routes, catalogue.http_by_route(), "route"
    if catalogue.gateway:
        yield ("gateway", "owner"), [catalogue.gateway.owner], policy.owners, "owner"
        yield ("gateway", "needs"), catalogue.gateway.needs, catalogue.dependencies, "dependency"
    if catalogue.drill:
        yield ("drill", "route"), [catalogue.drill.route], catalogue.routes, "route"
    for section in OWNED_SECTIONS:
        for name, entry in getattr(catalogue, section).items():
            yield (section, name, "owner"), [entry.owner], policy.owners, "owner"
    for section in SYMPTOM_SECTIONS:
        for name, entry in getattr(catalogue, section).items():
            yield (section, name, "severity"), [entry.severity], policy.severities, "severity"
    for section in NEEDING_SECTIONS:
        for name, entry in getattr(catalogue, section).items():
            yield (section, name, "needs"), entry.needs, catalogue.dependencies, "dependency"
    for name, slo in catalogue.slos.items():
        used_routes = catalogue.routes_of_slo(slo)
        yield ("slos", name, "routes"), used_routes, catalogue.http_by_route(), "route"
    for name, symptom in catalogue.watch.items():
        used = [symptom.dependency]
        yield ("watch", name, "dependency"), used, catalogue.dependencies, "dependency"
    log_programs = {*names.LOG_PROGRAMS, *catalogue.stack.programs}
    for name, log_alert in catalogue.logs.items():
        yield ("logs", name, "program"), [log_alert.program], log_programs, "program"
    for name, program in catalogue.stack.programs.items():
        path = ("stack", "programs", name, "replaces")
        yield path, [program.replaces], catalogue.dependencies, "dependency"
    for name, metric in catalogue.metrics.items():
        yield ("metrics", name, "panel", "board"), [metric.panel.board], board_slugs.ALL, "board"


def severities(catalogue: Catalogue) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path and the severity of every alert of the catalogue."""
    for section in SYMPTOM_SECTIONS:
        for name, entry in getattr(catalogue, section).items():
            yield (section, name), entry.severity


def check_reserved_names(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield names that something else has: an alert's page, an SLO's name, a series, a program."""
    alert = "is the name of an alert that every service has"
    sections: list[tuple[tuple[str, ...], Iterable[str], Iterable[str], str]] = [
        (("watch",), catalogue.watch, RESERVED_ALERTS, alert),
        (("logs",), catalogue.logs, RESERVED_ALERTS, alert),
        (("metrics",), catalogue.metrics, names.EMITTED, "is a metric of the platform"),
        (("metrics",), catalogue.metrics, names.FOREIGN, "is a series of another program"),
        (
            ("stack", "programs"),
            catalogue.stack.programs,
            names.LOG_PROGRAMS,
            "is a program that every stack has",
        ),
    ]
    subjects = [names.UNMATCHED]
    if catalogue.gateway:
        subjects.append(names.GATEWAY)
    for section in SUBJECT_SECTIONS:
        message = "is the gateway's name, or that of requests to unknown routes"
        sections.append(((section,), getattr(catalogue, section), subjects, message))
    for path, declared, reserved, message in sections:
        for name in declared:
            if name in reserved:
                yield Problem(where(*path, name), message, "choose another name")


def check_probe(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield probed routes that are repeated or change something.

    The prober calls its routes every few seconds, in production, too.
    """
    http_by_route = catalogue.http_by_route()
    probed = catalogue.probe.routes if catalogue.probe else ()
    place = where("probe", "routes")
    yield from repeated(place, probed)
    for route_id in sorted(set(probed) & http_by_route.keys()):
        if http_by_route[route_id].method != "GET":
            message = f"{route_id} is not a GET; a probe must change nothing"
            yield Problem(place, message, "probe another route")


def check_drill_route(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield a route that drills cannot call many times, and parameters that it does not have."""
    drill = catalogue.drill
    if drill is None or drill.route not in catalogue.routes:
        return
    http = catalogue.routes[drill.route].http
    if http.method != "GET":
        message = f"{drill.route} is not a GET; drills call it many times"
        yield Problem(where("drill", "route"), message, "choose another route")
    if sorted(drill.parameters) != sorted(http.parameters):
        fix = f"give a value to each of: {', '.join(http.parameters) or 'none'}"
        yield Problem(where("drill", "parameters"), f"are not those of {http}", fix)
