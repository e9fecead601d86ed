"""Models of the key `alerts` of what has SLOs: which of their alerts are off, and more labels."""

from observability.spec.schema.entry import Entry
from observability.spec.schema.fields import AlertLabel, AlertLabelValue
from observability.spec.schema.policy import SliKind


class MutingEntry(Entry):
    """Severities whose burn-rate alerts are off, and labels of those that are on."""

    disable: tuple[str, ...] = ()
    labels: dict[AlertLabel, AlertLabelValue] = {}


class SloAlertsEntry(MutingEntry):
    """What holds for all SLOs of an entry, and more for those of one kind of SLI."""

    by_sli: dict[SliKind, MutingEntry] = {}

    def muted(self, sli: SliKind) -> tuple[str, ...]:
        """Return the severities that are off for an SLO of this kind."""
        own = self.by_sli.get(sli, MutingEntry())
        return tuple(sorted({*self.disable, *own.disable}))

    def labels_of(self, sli: SliKind) -> tuple[tuple[str, str], ...]:
        """Return the labels of an SLO of this kind; those under `by_sli` replace the others."""
        own = self.by_sli.get(sli, MutingEntry())
        return tuple(sorted((self.labels | own.labels).items()))
