"""The count and the log lines of values that a sync leaves out."""

import logging
from collections import OrderedDict
from collections.abc import Hashable

from api.platform.telemetry import metrics
from api.services.entries import Reject
from api.services.thingspeak import SYNC_JOB

REJECTED = "evara_sync_rejected_values"  # a metric of the catalogue
MAX_NODES = 100  # that have series of their own; the others share one
MAX_REMEMBERED = 50_000
log = logging.getLogger(__name__)


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


_nodes: set[str] = set()  # that have series of their own
_counted = Memory()
_logged = Memory()


def record(node_id: str, rejects: list[Reject]) -> None:
    """Count the rejected values, and log the first one of each field and reason.

    A sync reads entries again, to find late ones; each process counts a value only once.
    """
    for reject in rejects:
        if not _counted.is_new((node_id, reject)):
            continue
        node = metrics.bounded(node_id, _nodes, MAX_NODES)
        metrics.REGISTRY.by_name[REJECTED].labels(node, reject.field, reject.reason).inc()
        if _logged.is_new((node_id, reject.field, reject.reason)):
            fields = {"job": SYNC_JOB, "subject": node_id} | reject._asdict()
            log.warning("left out a value of the channel", extra=fields)
