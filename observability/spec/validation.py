"""Checks of a catalogue and a policy against each other."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from observability.spec import names
from observability.spec.problems import Problem
from observability.spec.schema.catalogue import Catalogue
from observability.spec.schema.fields import Http
from observability.spec.schema.policy import Policy


def validate(
    catalogue: Catalogue, policy: Policy, catalogue_name: str, policy_name: str
) -> list[Problem]:
    """Return what is wrong between the entries of two files that are valid by themselves."""
    in_catalogue, in_policy = f"{catalogue_name}: ", f"{policy_name}: "
    return [
        *addresses(catalogue, in_catalogue),
        *references(catalogue, policy, in_catalogue),
        *latencies(catalogue, in_catalogue),
        *promises(catalogue, in_catalogue),
        *receivers(policy, in_policy),
        *alerts(catalogue, policy, in_policy),
    ]


def known(
    where: str, given: Iterable[str | None], among: Iterable[str], kind: str
) -> Iterator[Problem]:
    """Names that are declared nowhere."""
    for name in given:
        if name is not None and name not in among:
            yield Problem(
                where, f"{kind} {name!r} is not declared", f"use one of: {', '.join(sorted(among))}"
            )


def twice(where: str, values: Iterable[str]) -> Iterator[Problem]:
    """Entries of a list that would make two SLOs of one name."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            yield Problem(where, f"{value} stands there twice", "remove one of the two")
        seen.add(value)


def addresses(catalogue: Catalogue, at: str) -> Iterator[Problem]:
    """Routes that are declared twice, by method and path or by id."""
    by_http: dict[Http, str] = {}
    for name, entry in catalogue.served():
        if entry.http in by_http:
            yield Problem(
                f"{at}{name}",
                f"{entry.http} is declared by {by_http[entry.http]} already",
                "keep one of the two",
            )
        by_http[entry.http] = name
    for name in catalogue.routes.keys() & catalogue.exempt.keys():
        yield Problem(
            f"{at}exempt.{name}", "is a watched route too", "keep it under routes or under exempt"
        )


def references(catalogue: Catalogue, policy: Policy, at: str) -> Iterator[Problem]:
    """Owners, severities, routes and dependencies that must exist, and names that must not be taken."""
    endpoints = catalogue.http_by_route()
    owned: dict[str, Any] = {
        f"{section}.{name}": entry
        for section in ("routes", "dependencies", "jobs", "watch", "logs")
        for name, entry in getattr(catalogue, section).items()
    }
    owned |= {names.GATEWAY: catalogue.gateway} if catalogue.gateway else {}
    if catalogue.gateway and names.GATEWAY in catalogue.dependencies:
        yield Problem(
            f"{at}dependencies.{names.GATEWAY}",
            "is the gateway's name, whose SLO has it",
            "choose another name",
        )
    yield from known(f"{at}owner", [catalogue.owner], policy.owners, "owner")
    for key, entry in owned.items():
        yield from known(f"{at}{key}.owner", [entry.owner], policy.owners, "owner")
    for name, route in catalogue.routes.items():
        yield from known(
            f"{at}routes.{name}.needs", route.needs, catalogue.dependencies, "dependency"
        )
    for section, entries in (("watch", catalogue.watch), ("logs", catalogue.logs)):
        for name, symptom in entries.items():
            yield from known(
                f"{at}{section}.{name}.severity", [symptom.severity], policy.severities, "severity"
            )
        for name in entries.keys() & {names.BURN_ALERT, *names.GUARDS}:
            yield Problem(
                f"{at}{section}.{name}",
                "is the name of an alert that every service has",
                "choose another name",
            )
    for name in catalogue.logs.keys() & catalogue.watch.keys():
        yield Problem(
            f"{at}logs.{name}", "is the name of an alert under watch, too", "choose another name"
        )
    yield from known(f"{at}probe.routes", catalogue.probe.routes, endpoints, "route")
    yield from twice(f"{at}probe.routes", catalogue.probe.routes)
    for name in set(catalogue.probe.routes) & endpoints.keys():
        if endpoints[name].method != "GET":
            yield Problem(
                f"{at}probe.routes",
                f"{name} is not a GET; a probe must change nothing",
                "probe another route",
            )


def latencies(catalogue: Catalogue, at: str) -> Iterator[Problem]:
    """Thresholds that would make two SLOs of one name, and promises that another one includes."""
    targets_of = {"defaults": catalogue.defaults.latency}
    targets_of |= {
        f"routes.{name}": route.latency or () for name, route in catalogue.routes.items()
    }
    targets_of |= {
        f"dependencies.{name}": entry.latency for name, entry in catalogue.dependencies.items()
    }
    for key, targets in targets_of.items():
        yield from twice(
            f"{at}{key}.latency",
            [f"{target.threshold.seconds.normalize():f}s" for target in targets],
        )
        for quick, slow in pairwise(sorted(targets, key=lambda target: target.threshold.seconds)):
            if (
                quick.threshold.seconds < slow.threshold.seconds
                and quick.objective >= slow.objective
            ):
                message = f"{quick.objective} within {quick.threshold.text} makes {slow.objective} within {slow.threshold.text} say nothing"
                yield Problem(
                    f"{at}{key}.latency",
                    message,
                    f"promise more than {quick.objective} within {slow.threshold.text}, or leave one out",
                )


def promises(catalogue: Catalogue, at: str) -> Iterator[Problem]:
    """Objectives above those of what the route needs: they cannot be kept."""
    for name, route in catalogue.routes.items():
        objective = route.availability or catalogue.defaults.availability
        for dependency in route.needs:
            promised = (
                catalogue.dependencies[dependency].availability
                if dependency in catalogue.dependencies
                else objective
            )
            if objective > promised:
                yield Problem(
                    f"{at}routes.{name}.availability",
                    f"{objective} cannot be kept: it needs {dependency}, which is promised for {promised} only",
                    f"promise at most {promised} here, or raise dependencies.{dependency}.availability",
                )


def receivers(policy: Policy, at: str) -> Iterator[Problem]:
    """Integrations that must exist, and alerts that would reach nobody."""
    for name, severity in policy.severities.items():
        yield from known(
            f"{at}severities.{name}.integrations",
            severity.integrations,
            policy.integrations,
            "integration",
        )
    for name, owner in policy.owners.items():
        yield from known(
            f"{at}owners.{name}.only", owner.only or (), policy.integrations, "integration"
        )
    for owner_name, owner in policy.owners.items():
        for name, severity in policy.severities.items():
            if not set(severity.integrations) & set(
                severity.integrations if owner.only is None else owner.only
            ):
                message = (
                    f"severity {name} has no integration left, so its alerts would reach nobody"
                )
                yield Problem(
                    f"{at}owners.{owner_name}.only",
                    message,
                    f"add one of: {', '.join(severity.integrations)}",
                )


def alerts(catalogue: Catalogue, policy: Policy, at: str) -> Iterator[Problem]:
    """Severities and guards that must exist, and windows that nothing is kept for."""
    for section, entries in (("tiers", policy.tiers), ("guards", policy.guards)):
        for name, entry in entries.items():
            yield from known(
                f"{at}{section}.{name}.severity", [entry.severity], policy.severities, "severity"
            )
    yield from known(f"{at}guards", policy.guards, names.GUARDS, "guard")
    for name in names.GUARDS:
        if name not in policy.guards:
            yield Problem(
                f"{at}guards.{name}",
                "is missing",
                f"add `{name}:`; nothing else watches the watching",
            )
    for name, tier in policy.tiers.items():
        for over in (*(window.over for window in tier.windows), tier.failed.over):
            if over.seconds > catalogue.period.seconds:
                message = f"looks back {over.text}, which is longer than the period of {catalogue.period.text}"
                yield Problem(
                    f"{at}tiers.{name}",
                    message,
                    "shorten the window, or lengthen `period` in the catalogue",
                )
