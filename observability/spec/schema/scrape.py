"""The part of catalogue.yaml that says which series in a Prometheus are the service's own."""

from observability.spec import names
from observability.spec.schema.entry import Entry
from observability.spec.schema.fields import LabelValue, ScrapeJob, TargetLabel


class ScrapeEntry(Entry):
    """The scrape jobs of the service's targets, and labels that all their series have.

    Where Prometheus sees every series once per replica, `replica_label` tells these apart.
    """

    api: ScrapeJob = names.SCRAPE_API
    prober: ScrapeJob = names.SCRAPE_PROBER
    gateway: ScrapeJob = names.SCRAPE_GATEWAY
    others: tuple[ScrapeJob, ...] = ("prometheus", "alertmanager")
    labels: dict[TargetLabel, LabelValue] = {}
    replica_label: TargetLabel | None = None
