"""The resources of load runs: which route creates what the parameters of another path stand for.

A resource is named by the path that ends with its parameter, because /users/{id} and /orders/{id}
are different resources although both paths call their parameter `id`.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from observability.spec.schema.catalogue import LoadEntry
from observability.spec.schema.fields import Http


class LoadedRoute(Protocol):
    """A route of the catalogue or of the Plan."""

    @property
    def http(self) -> Http: ...

    @property
    def load(self) -> LoadEntry: ...


class Created(NamedTuple):
    """A resource that a route creates, and the field of the response that holds its id.

    `below` has the parameters of the route's path that are also in the path of the resource.
    """

    resource: str
    field: str
    below: tuple[str, ...]


class Needed(NamedTuple):
    """The resource that a parameter stands for, and the parameters of its path, `fills`.

    A resource also gives values to the parameters above it that its creator knew.
    """

    resource: str
    fills: tuple[str, ...]


def is_sent(load: LoadEntry) -> bool:
    """Return whether load runs send the route: by weight, or to create or delete resources."""
    return bool(load.weight or load.provides or load.consumes)


def consumed_parameter(http: Http, load: LoadEntry) -> str | None:
    """Return the parameter whose resource the route removes.

    A DELETE that load runs send removes what its path ends with, also where nothing says so.
    """
    last = http.parameters[-1:]
    removes_last = http.method == "DELETE" and http.path.endswith("}") and load.weight
    if load.consumes or not removes_last or last[0] in load.fixed:
        return load.consumes
    return last[0]


def resource_of(path: str, parameter: str) -> str:
    """Return the part of a path that ends with the parameter."""
    before, placeholder, _ = path.partition(f"{{{parameter}}}")
    return before + placeholder


def without_names(path: str) -> str:
    """Return a path without the names of its parameters: they do not tell resources apart."""
    return re.sub(r"{\w+}", "{}", path)


def list_created(http: Http, load: LoadEntry) -> Iterator[Created]:
    """Yield what a route creates; a key of `provides` without a slash continues its own path."""
    collection = http.path.rstrip("/")
    for key, field in load.provides.items():
        resource = without_names(key if "/" in key else f"{collection}/{{{key}}}")
        yield Created(resource, field, shared_parameters(collection, resource))


def shared_parameters(path: str, resource: str) -> tuple[str, ...]:
    """Return the parameters of a path in those segments that also lead to the resource."""
    above = resource.split("/")[:-1]
    shared = []
    for segment, other in zip(path.split("/"), above, strict=False):
        if without_names(segment) != other:
            break
        shared += re.findall(r"{(\w+)}", segment)
    return tuple(shared)


def list_needed(http: Http, load: LoadEntry, created: Iterable[Created]) -> dict[str, Needed]:
    """Return what each parameter stands for; those that `fixed` or nothing gives are absent."""
    resources = {new.resource for new in created}
    needed = {}
    for index, parameter in enumerate(http.parameters):
        resource = without_names(resource_of(http.path, parameter))
        if resource in resources and parameter not in load.fixed:
            needed[parameter] = Needed(resource, tuple(http.parameters[: index + 1]))
    return needed


def list_missing(http: Http, load: LoadEntry, created: Iterable[Created]) -> list[str]:
    """Return the parameters of a path that get a value from nowhere."""
    created = list(created)
    given = set(load.fixed)
    for parameter, need in list_needed(http, load, created).items():
        parents = min(len(new.below) for new in created if new.resource == need.resource)
        given |= {parameter, *need.fills[:parents]}
    return [parameter for parameter in http.parameters if parameter not in given]


def rank_routes(routes: Iterable[LoadedRoute]) -> dict[Http, int]:
    """Return in which round each route can be sent: after those that create what it needs.

    A route that needs what only itself or nothing creates is absent.
    """
    waiting = [route for route in routes if is_sent(route.load)]
    ranks: dict[Http, int] = {}
    created: list[Created] = []
    for number in itertools.count():
        ready = [route for route in waiting if not list_missing(route.http, route.load, created)]
        if not ready:
            break
        ranks |= {route.http: number for route in ready}
        waiting = [route for route in waiting if route.http not in ranks]
        created += [new for route in ready for new in list_created(route.http, route.load)]
    return ranks


def list_available(routes: Iterable[LoadedRoute]) -> list[Created]:
    """Return the resources that load runs can create."""
    routes = list(routes)
    ranks = rank_routes(routes)
    return [
        new
        for route in routes
        if route.http in ranks
        for new in list_created(route.http, route.load)
    ]
