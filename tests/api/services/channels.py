"""Channels of a ThingSpeak in the test's process, and the sync of all nodes."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx

from api.platform.db import database
from api.platform.jobs import leases
from api.services import sync, thingspeak
from api.services.thingspeak import TIME_FORMAT, ThingSpeak, ThingSpeakError
from loadtests.thingspeak_uploads import UploadedChannel


class Channels:
    """A ThingSpeak in the test's process: channels, and a record of the requests."""

    def __init__(self, *numbers: int) -> None:
        self.channels = {number: UploadedChannel(number) for number in numbers}
        self.requests: list[tuple[int, datetime]] = []
        self.before: Callable[[int], Any] = lambda _: None

    def upload(self, number: int, *values: tuple[datetime, float], field: str = "field1") -> None:
        """Upload entries with these times and values of a field to a channel."""
        self.channels[number].upload(
            [{"created_at": time.isoformat(), field: str(value)} for time, value in values]
        )

    def entries(self, number: int, field: str = "field1") -> list[tuple[datetime, float]]:
        """Return the times and values of a field."""
        return [
            (datetime.fromisoformat(entry["created_at"]), float(entry[field]))
            for entry in self.channels[number].entries
            if field in entry
        ]

    def answer(self, request: httpx.Request) -> httpx.Response:
        channel = int(request.url.path.split("/")[2])
        first, last = (
            datetime.strptime(request.url.params[key], TIME_FORMAT).replace(tzinfo=UTC)
            for key in ("start", "end")
        )
        self.requests.append((channel, first))
        self.before(channel)
        feed = self.channels[channel].feed(
            first.timestamp(), last.timestamp(), thingspeak.MAX_ENTRIES
        )
        return httpx.Response(200, json=feed)


class Outcome(NamedTuple):
    """The result of one sync of all nodes."""

    nodes: int
    stored: int
    failed: tuple[str, ...]


def sync_all(client: ThingSpeak) -> Outcome:
    """Sync every node once, each under its lease, as a worker does."""
    with database().read() as session:
        node_ids = sync.synced_node_ids(session)
    stored, failed = 0, []
    for node_id in node_ids:
        with leases.hold(node_id) as lease:
            assert lease
            try:
                for fresh in sync.sync_node(client, node_id, lease):
                    stored += fresh
            except ThingSpeakError:
                failed.append(node_id)
    return Outcome(len(node_ids), stored, tuple(failed))
