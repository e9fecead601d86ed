"""Checks of the alerts about a dependency, which silence those of what needs it."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from observability.spec.problems import Problem
from observability.spec.quantities import format_decimal, format_duration
from observability.spec.schema.catalogue import Catalogue, WatchEntry
from observability.spec.schema.policy import Policy, TierEntry
from observability.spec.validation.references import Where


def check_dependency_alerts(
    catalogue: Catalogue, policy: Policy, where: Where
) -> Iterator[Problem]:
    """Yield alerts about a dependency that do not page, come too late, or silence each other.

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
        yield from check_first(symptom, policy, where("watch", name, "for"))
        for needed in symptom.needs:
            if symptom.dependency in reach(needed, needs_by_dependency):
                yield silences_itself(where("watch", name, "needs"), symptom.dependency, needed)


def check_first(symptom: WatchEntry, policy: Policy, place: str) -> Iterator[Problem]:
    """Yield an alert that fires after the burn-rate page about the dependency.

    That page would have been sent already, so one incident would be two pages.
    """
    seconds_by_tier = time_pages(policy)
    if not seconds_by_tier:
        return
    tier = min(seconds_by_tier, key=lambda name: seconds_by_tier[name])
    delay = policy.clock.scrape.seconds + policy.clock.evaluate.seconds
    limit = seconds_by_tier[tier] - delay
    if symptom.for_.seconds < limit:
        return
    message = (
        f"is {symptom.for_.text}, so the alert fires up to "
        f"{format_decimal(symptom.for_.seconds + delay)} s after {symptom.dependency} fails; "
        f"tier {tier} pages after {format_decimal(seconds_by_tier[tier])} s, "
        "and one incident would be two pages"
    )
    yield Problem(place, message, f"write a time below {format_duration(limit)}")


def time_pages(policy: Policy) -> dict[str, Decimal]:
    """Return by tier the seconds from a dependency's failure to the earliest page about it."""
    paging_severity = next(iter(policy.severities))
    return {
        name: time_page(tier)
        for name, tier in policy.tiers.items()
        if tier.severity == paging_severity
        and tier.source in {None, "dependency"}
        and (tier.slis is None or "availability" in tier.slis)
    }


def time_page(tier: TierEntry) -> Decimal:
    """Return the seconds of failures that fill each window to its `ratio`, and `for`.

    A window with a `factor` counts as none: how soon it fills depends on the objective.
    """
    filled = [window.over.seconds * (window.ratio or 0) for window in tier.windows]
    return max(filled) + tier.for_.seconds


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
