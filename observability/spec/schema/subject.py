"""The keys of everything that has SLOs."""

from observability.spec.schema.entry import Entry
from observability.spec.schema.fields import NextSteps, OptionalText
from observability.spec.schema.slo_alerts import SloAlertsEntry


class SubjectEntry(Entry):
    """Keys of everything that has SLOs."""

    next_steps: NextSteps
    owner: str | None = None
    impact: OptionalText = ""
    alerts: SloAlertsEntry = SloAlertsEntry()
