"""The part of catalogue.yaml that declares metrics of the service's own."""

from typing import Literal

from observability.spec.schema.entry import Entry
from observability.spec.schema.fields import MetricName, Text, Title

# How the values of a gauge in several processes are combined
Across = Literal["max", "livemax", "livesum", "livemostrecent"]


class PanelEntry(Entry):
    """The panel of a board that shows a metric of the service's own; `query` is PromQL."""

    board: str
    title: Title
    text: Text
    unit: Literal["seconds", "ratio", "requests", "per_second", "bytes", "number"]
    query: str
    expects_data: bool = True  # false: a healthy service may have no such series


class MetricEntry(Entry):
    """A metric of the service's own, which the API registers; counters are exposed with _total."""

    type: Literal["counter", "gauge"]
    text: Text
    labels: tuple[MetricName, ...] = ()
    across: Across = "livemostrecent"
    panel: PanelEntry

    @property
    def options(self) -> dict[str, str]:
        """Return the options with which prometheus_client registers the metric."""
        return {"multiprocess_mode": self.across} if self.type == "gauge" else {}
