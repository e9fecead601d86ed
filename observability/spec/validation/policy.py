"""Checks of the policy: names that it declares and uses, and the catalogue's period."""

from collections.abc import Iterator

from observability.spec import names
from observability.spec.problems import Problem
from observability.spec.schema.catalogue import Catalogue
from observability.spec.schema.policy import Policy
from observability.spec.validation.references import (
    Reference,
    Where,
    check_heard,
    check_references,
)


def check_policy(catalogue: Catalogue, policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield every problem of the policy; `where` returns the place of one of its keys."""
    yield from check_references(references(policy), where)
    yield from check_heard(severities(policy), policy, where)
    yield from check_reachable_owners(policy, where)
    yield from check_guards(policy, where)
    yield from check_windows(catalogue, policy, where)


def references(policy: Policy) -> Iterator[Reference]:
    """Yield the names that other sections must declare.

    An integration delivers to people: a webhook, mail, Slack, PagerDuty.
    """
    integrations = policy.integrations
    for name, severity in policy.severities.items():
        path = ("severities", name, "integrations")
        yield path, severity.integrations, integrations, "integration"
    for name, owner in policy.owners.items():
        yield ("owners", name, "only"), owner.only or (), integrations, "integration"
    for name, tier in policy.tiers.items():
        yield ("tiers", name, "severity"), [tier.severity], policy.severities, "severity"
    for name, guard in policy.guards.items():
        yield ("guards", name, "severity"), [guard.severity], policy.severities, "severity"
        yield ("guards", name), [name], names.GUARDS, "guard"


def severities(policy: Policy) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path and the severity of every alert of the policy but the watchdog."""
    for name, tier in policy.tiers.items():
        yield ("tiers", name), tier.severity
    for name, guard in policy.guards.items():
        if name != names.WATCHDOG_ALERT:
            yield ("guards", name), guard.severity


def check_reachable_owners(policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield owners to whom alerts of some severity would not be delivered at all.

    `only` limits an owner to some integrations, which a severity may not use.
    """
    for owner_name, owner in policy.owners.items():
        for severity_name, severity in policy.severities.items():
            integrations = set(severity.integrations)
            if owner.only is not None:
                integrations &= set(owner.only)
            if integrations:
                continue
            place = where("owners", owner_name, "only")
            message = (
                f"severity {severity_name} has no integration left, "
                "so its alerts would not be delivered"
            )
            yield Problem(place, message, f"add one of: {', '.join(severity.integrations)}")


def check_guards(policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield guards that are missing.

    Guards are the alerts that watch the monitoring itself; their expressions are not in the policy.
    """
    for name in names.GUARDS:
        if name not in policy.guards:
            fix = f"add `{name}:`; nothing else watches the watching"
            yield Problem(where("guards", name), "is missing", fix)


def check_windows(catalogue: Catalogue, policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield windows that are longer than the period, for which nothing is stored.

    Prometheus keeps samples for the period and a day.
    """
    period = catalogue.period
    for name, tier in policy.tiers.items():
        place = where("tiers", name)
        lengths = [window.over for window in tier.windows]
        for length in (*lengths, tier.failed.over):
            if length.seconds <= period.seconds:
                continue
            message = f"looks back {length.text}, which is longer than the period of {period.text}"
            fix = "shorten the window, or lengthen `period` in the catalogue"
            yield Problem(place, message, fix)
