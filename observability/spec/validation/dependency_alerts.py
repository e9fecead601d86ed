"""Checks of the alerts about a dependency, which silence those of what needs it."""

from collections.abc import Iterator, Mapping

from observability.spec.problems import Problem
from observability.spec.schema.catalogue import Catalogue
from observability.spec.schema.policy import Policy
from observability.spec.validation.references import Where


def check_dependency_alerts(
    catalogue: Catalogue, policy: Policy, where: Where
) -> Iterator[Problem]:
    """Yield alerts about a dependency that do not page, or that silence each other.

    Only a page silences the pages of what needs the dependency.
    """
    paging_severity = next(iter(policy.severities))
    needs_by_dependency = collect_needs(catalogue)
    for name, symptom in catalogue.watch.items():
        if symptom.dependency is None:
            continue
        if symptom.severity != paging_severity:
            message = f"is {symptom.dependency}, but the severity is {symptom.severity}"
            fix = f"write `severity: {paging_severity}`, or remove `dependency`"
            yield Problem(where("watch", name, "dependency"), message, fix)
        for needed in symptom.needs:
            if symptom.dependency in reach(needed, needs_by_dependency):
                yield silences_itself(where("watch", name, "needs"), symptom.dependency, needed)


def collect_needs(catalogue: Catalogue) -> dict[str, set[str]]:
    """Return, by dependency, the dependencies whose pages silence an alert about it."""
    needs: dict[str, set[str]] = {}
    for symptom in catalogue.watch.values():
        if symptom.dependency is not None:
            needs.setdefault(symptom.dependency, set()).update(symptom.needs)
    return needs


def reach(start: str, needs_by_dependency: Mapping[str, set[str]]) -> set[str]:
    """Return the dependency and all that it needs, directly or through others."""
    reached: set[str] = set()
    waiting = {start}
    while waiting:
        dependency = waiting.pop()
        reached.add(dependency)
        waiting |= needs_by_dependency.get(dependency, set()) - reached
    return reached


def silences_itself(place: str, dependency: str, needed: str) -> Problem:
    """Return the problem of an alert that waits, maybe through others, for its own end."""
    if needed == dependency:
        message = f"contains {needed}, the dependency that the alert is about"
        return Problem(place, message, f"remove {needed}")
    message = (
        f"contains {needed}, whose alerts need {dependency} directly or through others: "
        "the alerts would silence each other, and none would be delivered"
    )
    fix = f"remove {needed} here, or {dependency} from the `needs` of the other alerts"
    return Problem(place, message, fix)
