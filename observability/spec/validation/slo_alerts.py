"""Checks of the key `alerts`: severities and kinds of SLIs that are not there, and labels."""

from collections.abc import Iterator

from observability.spec.problems import Problem
from observability.spec.schema.catalogue import Catalogue
from observability.spec.schema.policy import Policy, SliKind
from observability.spec.schema.slo_alerts import MutingEntry, SloAlertsEntry
from observability.spec.schema.subject import SubjectEntry
from observability.spec.validation.references import Reference, Where, check_references

Path = tuple[str, ...]  # of a key
CALLED: tuple[SliKind, ...] = ("availability", "latency")
SLIS_BY_SECTION: dict[str, tuple[SliKind, ...]] = {
    "routes": CALLED,
    "dependencies": CALLED,
    "jobs": ("freshness",),
    "probe": ("probe",),
    "gateway": ("availability",),
    "slos": (*CALLED, "ratio", "gauge"),
}


def check_slo_alerts(catalogue: Catalogue, policy: Policy, where: Where) -> Iterator[Problem]:
    """Yield what `alerts` of an entry says of SLOs that it does not have, or cannot switch off."""
    for path, entry in list_entries(catalogue):
        yield from check_references(references(path, entry.alerts, policy), where)
        for part in (entry.alerts, *entry.alerts.by_sli.values()):
            yield from check_replicas(catalogue, part, where(*path, "alerts"))


def references(path: Path, alerts: SloAlertsEntry, policy: Policy) -> Iterator[Reference]:
    """Yield the severities and kinds of SLIs that an entry names."""
    severities = {tier.severity for tier in policy.tiers.values()}
    yield (*path, "alerts", "disable"), alerts.disable, severities, "severity of a burn-rate alert"
    yield (*path, "alerts", "by_sli"), alerts.by_sli, SLIS_BY_SECTION[path[0]], "SLI of this entry"
    for sli, part in alerts.by_sli.items():
        place = (*path, "alerts", "by_sli", sli, "disable")
        yield place, part.disable, severities, "severity of a burn-rate alert"


def list_entries(catalogue: Catalogue) -> Iterator[tuple[Path, SubjectEntry]]:
    """Yield the path and the entry of everything that has SLOs."""
    for section in SLIS_BY_SECTION:
        value = getattr(catalogue, section)
        if isinstance(value, SubjectEntry):
            yield (section,), value
        else:
            for name, entry in (value or {}).items():
                yield (section, name), entry


def check_replicas(catalogue: Catalogue, part: MutingEntry, place: str) -> Iterator[Problem]:
    """Yield a label that rules remove, because copies of one series differ in it."""
    replica_label = catalogue.scrape.replica_label
    if replica_label in part.labels:
        message = f"{replica_label!r} is the replica_label, which rules remove"
        yield Problem(place, message, "choose another name")
