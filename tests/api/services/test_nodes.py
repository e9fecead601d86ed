"""What a change of a node means for its synchronisation."""

from datetime import UTC, datetime

import pytest
from flask import Flask

from api.models import SyncState
from api.platform.db import database
from api.services import nodes
from tests.api.helpers import NODE


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"name": "West"}, False),
        ({"channel_id": 7}, False),
        ({"fields": {"field1": "flow"}}, False),
        ({"channel_key": "ABCDEFGH"}, False),
        ({"channel_id": 8}, True),
        ({"channel_id": None}, True),
        ({"fields": {"field1": "flow", "field2": "level"}}, True),
    ],
)
def test_another_source_is_read_from_the_beginning(
    app: Flask, change: dict[str, object], again: bool
) -> None:
    """Only a new channel or new fields forget how far the channel was read."""
    with app.app_context():
        nodes.create(NODE | {"channel_id": 7, "fields": {"field1": "flow"}})
        with database().write() as session:
            session.add(SyncState(node_id=NODE["id"], synced_until=datetime.now(UTC)))
        nodes.update(NODE["id"], change)
        with database().read() as session:
            assert (session.get(SyncState, NODE["id"]) is None) == again
