"""The resources of load runs: which route creates what the parameters of another path stand for.

A resource is named by the path that ends with its parameter, because /users/{id} and /orders/{id}
are different resources although both paths call their parameter `id`.
"""

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

    `below` has the parameters of the route's own path when the resource's path continues it.
    """

    resource: str
    field: str
    below: tuple[str, ...]


class Needed(NamedTuple):
    """The resource that gives values to the parameters `fills` of a path."""

    resource: str
    fills: tuple[str, ...]


def is_sent(load: LoadEntry) -> bool:
    """Return whether load runs send the route: by weight, or to create or delete resources."""
    return bool(load.weight or load.provides or load.consumes)


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
        parent, _, _ = resource.rpartition("/")
        continues = parent == without_names(collection)
        yield Created(resource, field, tuple(http.parameters) if continues else ())


def list_needed(http: Http, load: LoadEntry, created: Iterable[Created]) -> dict[str, Needed]:
    """Return what gives each parameter its value; those that `fixed` or nothing gives are absent.

    A resource below another one also fills the parameters of the path above it.
    """
    below_by_resource = {new.resource: new.below for new in created}
    needed = {}
    for index, parameter in enumerate(http.parameters):
        resource = without_names(resource_of(http.path, parameter))
        if resource in below_by_resource and parameter not in load.fixed:
            first = index - len(below_by_resource[resource])
            fills = tuple(http.parameters[first : index + 1])
            needed[parameter] = Needed(resource, fills)
    return needed


def list_missing(http: Http, load: LoadEntry, created: Iterable[Created]) -> list[str]:
    """Return the parameters of a path that get a value from nowhere."""
    needed = list_needed(http, load, created)
    filled = {parameter for need in needed.values() for parameter in need.fills}
    return [name for name in http.parameters if name not in filled | load.fixed.keys()]


def list_available(routes: Iterable[LoadedRoute]) -> list[Created]:
    """Return the resources that load runs can create.

    A route that needs what only itself or nothing creates can create nothing.
    """
    sent = [route for route in routes if is_sent(route.load)]
    available: list[Created] = []
    while True:
        found = [
            new
            for route in sent
            if not list_missing(route.http, route.load, available)
            for new in list_created(route.http, route.load)
        ]
        if len(found) == len(available):
            return available
        available = found
