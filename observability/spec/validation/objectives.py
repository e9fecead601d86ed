"""Checks of objectives: those that say nothing, and those that cannot be met."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

from observability.spec.problems import Problem
from observability.spec.schema.catalogue import Catalogue
from observability.spec.schema.entry import LatencyEntry
from observability.spec.validation.references import Where, repeated


def check_latencies(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield latencies that would make two SLOs of one name, or that another one includes.

    An SLO of latency is named by its threshold, as in `orders.list-latency-200ms`.
    """
    yield from check_latency(catalogue.defaults.latency, where("defaults", "latency"))
    for route_id, route in catalogue.routes.items():
        place = where("routes", route_id, "latency")
        yield from check_latency(route.latency or (), place)
    for name, dependency in catalogue.dependencies.items():
        place = where("dependencies", name, "latency")
        yield from check_latency(dependency.latency, place)


def check_latency(targets: tuple[LatencyEntry, ...], where: str) -> Iterator[Problem]:
    """Yield the problems of one list of latencies.

    95 % within 200 ms include 95 % within a second: the slower objective can never be missed alone.
    """
    yield from repeated(where, [f"{threshold_seconds(target):f}s" for target in targets])
    for quick, slow in pairwise(sorted(targets, key=threshold_seconds)):
        differ = threshold_seconds(quick) < threshold_seconds(slow)
        if differ and quick.objective >= slow.objective:
            yield includes(where, quick, slow)


def threshold_seconds(target: LatencyEntry) -> Decimal:
    """Return the threshold in seconds, without trailing zeros."""
    return target.threshold.seconds.normalize()


def includes(where: str, quick: LatencyEntry, slow: LatencyEntry) -> Problem:
    """Return the problem of a latency that a quicker one includes."""
    threshold = slow.threshold.text
    message = (
        f"{quick.objective} within {quick.threshold.text} makes "
        f"{slow.objective} within {threshold} say nothing"
    )
    fix = f"promise more than {quick.objective} within {threshold}, or leave one out"
    return Problem(where, message, fix)


def check_availability(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield objectives above those of what the route needs: they cannot be met."""
    for route_id, route in catalogue.routes.items():
        objective = route.availability or catalogue.defaults.availability
        for name in route.needs:
            dependency = catalogue.dependencies.get(name)
            if dependency is None or not objective or objective <= dependency.availability:
                continue
            place = where("routes", route_id, "availability")
            limit = dependency.availability
            message = (
                f"{objective} cannot be met: the route needs {name}, whose availability is {limit}"
            )
            fix = f"write at most {limit} here, or raise dependencies.{name}.availability"
            yield Problem(place, message, fix)


def check_objectives(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield routes without an objective, their own or of the defaults, and a file without any."""
    defaults = catalogue.defaults
    for route_id, route in catalogue.routes.items():
        latency = defaults.latency if route.latency is None else route.latency
        if not (route.availability or defaults.availability or latency):
            fix = (
                "add `availability` or `latency` here or under defaults; "
                "or declare it under exempt, for routes without SLO"
            )
            yield Problem(where("routes", route_id), "has neither availability nor latency", fix)
    promising = (catalogue.routes, catalogue.dependencies, catalogue.jobs, catalogue.slos)
    if not any((*promising, catalogue.gateway)):
        fix = "declare one under slos, or a route under routes"
        yield Problem(where("slos"), "the catalogue has no SLO", fix)
