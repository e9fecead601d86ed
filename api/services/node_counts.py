"""Counters by node, with a limited number of series, and a memory of what was counted or logged."""

from collections import OrderedDict
from collections.abc import Hashable

from api.platform.telemetry import metrics

MAX_NODES = 100  # that have series of their own; the others share one
MAX_REMEMBERED = 50_000
_nodes: set[str] = set()  # that have series of their own


def count(metric: str, node_id: str, *labels: str) -> None:
    """Add one to a counter of the catalogue whose first label is the node."""
    node = metrics.bounded(node_id, _nodes, MAX_NODES)
    metrics.REGISTRY.by_name[metric].labels(node, *labels).inc()


class Memory:
    """The keys that this process saw last, at most MAX_REMEMBERED."""

    def __init__(self) -> None:
        self._keys: OrderedDict[Hashable, None] = OrderedDict()

    def is_new(self, key: Hashable) -> bool:
        """Return whether the key was not remembered, and remember it."""
        if key in self._keys:
            self._keys.move_to_end(key)
            return False
        self._keys[key] = None
        if len(self._keys) > MAX_REMEMBERED:
            self._keys.popitem(last=False)
        return True
