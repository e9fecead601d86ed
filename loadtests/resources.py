"""The resources that a user of a load run created, read from the answers to its requests."""

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


@dataclass(eq=False)
class Resource:
    """A resource that a user created: ids of those above it, as far as known, and its own.

    `name` is its path without the names of parameters; `together` has all resources of the same
    request.
    """

    name: str
    parents: list[str]
    own_id: str
    together: list["Resource"] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        """Return the known ids of its path, from the left."""
        return [*self.parents, self.own_id]

    def match(self, parameters: list[str]) -> dict[str, str]:
        """Return the known values of the parameters of the resource's path."""
        values = dict(zip(parameters, self.parents, strict=False))
        return values | {parameters[-1]: self.own_id}

    def fits(self, parameters: list[str], values: dict[str, str]) -> bool:
        """Return whether the resource agrees with values that are given already."""
        return all(
            values.get(name, value) == value for name, value in self.match(parameters).items()
        )

    def is_below(self, other: "Resource") -> bool:
        """Return whether the other resource's path leads to this one."""
        return self.name.startswith(f"{other.name}/")


def list_created(provides: list[Row], values: dict[str, str], body: Any) -> list[Resource]:
    """Return what a request created, by its values of parameters and the body of its answer.

    A resource may lie below another one of the same answer. Raise KeyError, TypeError or
    ValueError when the body does not have the ids.
    """
    created: list[Resource] = []
    for new in sorted(provides, key=count_parameters):
        parents = [values[parameter] for parameter in new["below"]]
        resource = Resource(new["resource"], parents, read_id(body, new["field"]))
        for above in filter(resource.is_below, created):
            if len(above.ids) == above.name.count("{}"):
                resource.parents = above.ids
        created.append(resource)
    for resource in created:
        resource.together = created
    return created


def count_parameters(new: Row) -> int:
    """Return the number of parameters in the path of a resource: those above it have fewer."""
    path: str = new["resource"]
    return path.count("{}")


def read_id(body: Any, name: str) -> str:
    """Return the id in a field of an answer; raise KeyError, TypeError or ValueError."""
    value = body[name]
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise ValueError(f"{name} is {value!r}")
    return str(value)
