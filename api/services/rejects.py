"""The count and the log lines of values that a sync leaves out."""

import logging

from api.services.entries import Reject
from api.services.node_counts import Memory, count
from api.services.thingspeak import SYNC_JOB

REJECTED = "evara_sync_rejected_values"  # a metric of the catalogue
_counted = Memory()
_logged = Memory()
log = logging.getLogger(__name__)


def record(node_id: str, rejects: list[Reject]) -> None:
    """Count the rejected values, and log the first one of each field and reason.

    A sync reads entries again, to find late ones; each process counts a value only once.
    """
    for reject in rejects:
        if not _counted.is_new((node_id, reject)):
            continue
        count(REJECTED, node_id, reject.field, reject.reason)
        if _logged.is_new((node_id, reject.field, reject.reason)):
            fields = {"job": SYNC_JOB, "subject": node_id} | reject._asdict()
            log.warning("left out a value of the channel", extra=fields)
