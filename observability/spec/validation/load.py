"""Checks of load: requests of load runs that cannot be sent, or would ask for what is not there."""

from collections.abc import Iterator
from typing import NamedTuple

from observability.spec.load_resources import is_sent, list_available, list_missing, resource_of
from observability.spec.problems import Problem
from observability.spec.schema.catalogue import Catalogue, LoadEntry
from observability.spec.schema.fields import Http
from observability.spec.validation.references import Where


class Loaded(NamedTuple):
    """A route of the catalogue with its load, its own or that of the defaults."""

    http: Http
    load: LoadEntry


def check_load(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield parameters of paths that load runs have no value for, and those that no path has."""
    routes = {
        route_id: Loaded(entry.http, entry.load or catalogue.defaults.load)
        for route_id, entry in catalogue.routes.items()
    }
    available = list_available(routes.values())
    for route_id, route in routes.items():
        place = where("routes", route_id, "load")
        yield from check_parameters(route.http, route.load, place)
        if is_sent(route.load):
            for parameter in list_missing(route.http, route.load, available):
                yield missing_value(route.http, parameter, place)


def check_parameters(http: Http, load: LoadEntry, place: str) -> Iterator[Problem]:
    """Yield what `fixed` and `consumes` name beside the parameters of the path."""
    used = set(load.fixed)
    if load.consumes is not None:
        used.add(load.consumes)
    known = ", ".join(http.parameters) or "none, so remove it"
    for name in sorted(used - set(http.parameters)):
        yield Problem(place, f"{name!r} is not a parameter of {http}", f"use one of: {known}")
    if load.consumes in http.parameters[:-1]:
        message = f"deletes the {load.consumes!r}, but {http} ends with another parameter"
        yield Problem(place, message, f"write `consumes: {http.parameters[-1]}`")
    if load.consumes in load.fixed:
        message = f"deletes the {load.consumes!r} that it names as fixed, so only once"
        yield Problem(place, message, "remove it from `fixed`")


def missing_value(http: Http, parameter: str, place: str) -> Problem:
    """Return the problem of a parameter that no route provides."""
    resource = resource_of(http.path, parameter)
    message = f"cannot be sent: no route with load creates a resource for {resource}"
    fix = (
        f"name a resource, `fixed: {{{parameter}: …}}`; or give the route that creates one "
        f'`provides: {{"{resource}": <field of its response>}}`; or send nothing, `weight: 0`'
    )
    return Problem(place, message, fix)
