"""Checks of the catalogue: within it, and against the policy."""

from collections.abc import Iterator

from observability.spec import board_slugs, names
from observability.spec.problems import Problem
from observability.spec.schema.catalogue import Catalogue
from observability.spec.schema.fields import Http
from observability.spec.schema.policy import Policy
from observability.spec.validation.objectives import check_availability, check_latencies
from observability.spec.validation.references import Where, repeated, undeclared

SYMPTOM_SECTIONS = ("watch", "logs")
OWNED_SECTIONS = ("routes", "dependencies", "jobs", *SYMPTOM_SECTIONS)
RESERVED_ALERTS = {names.BURN_ALERT, names.TEST_ALERT, *names.GUARDS}


def check_catalogue(catalogue: Catalogue, policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield every problem of the catalogue.

    `where` returns the place of one of its keys.
    """
    yield from check_addresses(catalogue, where)
    yield from check_owners(catalogue, policy, where)
    yield from check_dependencies(catalogue, where)
    yield from check_symptoms(catalogue, policy, where)
    yield from check_probe(catalogue, where)
    yield from check_metrics(catalogue, where)
    yield from check_stack(catalogue, where)
    yield from check_drill_route(catalogue, where)
    yield from check_latencies(catalogue, where)
    yield from check_availability(catalogue, where)


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


def check_owners(catalogue: Catalogue, policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield owners that the policy does not declare; an entry without one has the service's.

    Alertmanager routes by owner: alerts of an unknown one would go to the default receiver.
    """
    owners: dict[tuple[str, ...], str | None] = {
        ("owner",): catalogue.owner,
        ("probe", "owner"): catalogue.probe.owner,
    }
    for section in OWNED_SECTIONS:
        for name, entry in getattr(catalogue, section).items():
            owners[section, name, "owner"] = entry.owner
    if catalogue.gateway:
        owners["gateway", "owner"] = catalogue.gateway.owner
    for path, owner in owners.items():
        yield from undeclared(where(*path), [owner], policy.owners, "owner")


def check_dependencies(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield dependencies that routes need and nobody declares, and the gateway's name.

    SLOs are named by their subject, so no dependency may share the gateway's name.
    """
    for route_id, route in catalogue.routes.items():
        place = where("routes", route_id, "needs")
        yield from undeclared(place, route.needs, catalogue.dependencies, "dependency")
    if catalogue.gateway and names.GATEWAY in catalogue.dependencies:
        place = where("dependencies", names.GATEWAY)
        yield Problem(place, "is the gateway's name, whose SLO has it", "choose another name")


def check_symptoms(catalogue: Catalogue, policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield unknown severities of symptoms, and names of alerts that every service has.

    An alert's name is its page in the runbook, so two alerts cannot share one.
    """
    for section in SYMPTOM_SECTIONS:
        for name, entry in getattr(catalogue, section).items():
            place = where(section, name, "severity")
            yield from undeclared(place, [entry.severity], policy.severities, "severity")
            if name in RESERVED_ALERTS:
                message = "is the name of an alert that every service has"
                yield Problem(where(section, name), message, "choose another name")


def check_probe(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield probed routes that are unknown, repeated, or change something.

    The prober calls its routes every few seconds, in production, too.
    """
    http_by_route = catalogue.http_by_route()
    probed = catalogue.probe.routes
    place = where("probe", "routes")
    yield from undeclared(place, probed, http_by_route, "route")
    yield from repeated(place, probed)
    for route_id in sorted(set(probed) & http_by_route.keys()):
        if http_by_route[route_id].method != "GET":
            message = f"{route_id} is not a GET; a probe must change nothing"
            yield Problem(place, message, "probe another route")


def check_metrics(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield metrics whose name something else exposes, and panels of boards that do not exist."""
    for name, metric in catalogue.metrics.items():
        if name in names.EMITTED or name in names.FOREIGN:
            message = "is exposed by the platform already"
            yield Problem(where("metrics", name), message, "choose another name")
        place = where("metrics", name, "panel", "board")
        yield from undeclared(place, [metric.panel.board], board_slugs.ALL, "board")


def check_stack(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield helper programs with the name of another program, and names declared nowhere."""
    stack = catalogue.stack
    yield from undeclared(where("stack", "wait_for"), stack.wait_for, catalogue.jobs, "job")
    for name, program in stack.programs.items():
        if name in names.LOG_PROGRAMS:
            message = "is a program that every stack has"
            yield Problem(where("stack", "programs", name), message, "choose another name")
        place = where("stack", "programs", name, "replaces")
        yield from undeclared(place, [program.replaces], catalogue.dependencies, "dependency")


def check_drill_route(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield a route that drills cannot call."""
    drill = catalogue.drill
    if drill is None:
        return
    place = where("drill", "route")
    yield from undeclared(place, [drill.route], catalogue.routes, "route")
    if drill.route not in catalogue.routes:
        return
    http = catalogue.routes[drill.route].http
    if http.method != "GET":
        message = f"{drill.route} is not a GET; drills call it many times"
        yield Problem(place, message, "choose another route")
    expected = sorted(http.parameters)
    if sorted(drill.parameters) != expected:
        message = f"are not those of {http}"
        fix = f"give a value to each of: {', '.join(expected) or 'none'}"
        yield Problem(where("drill", "parameters"), message, fix)
