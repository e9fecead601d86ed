"""Changes of a node and its sync cursor."""

from datetime import UTC, datetime

import pytest
from flask import Flask

from api.models import SyncState
from api.platform.db import database
from api.services import nodes
from tests.api.helpers import NODE


@pytest.mark.parametrize(
    ("change", "is_reset"),
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
def test_new_source_is_synced_from_the_beginning(
    app: Flask, change: dict[str, object], is_reset: bool
) -> None:
    """Only a new channel or new fields reset the sync cursor."""
    with app.app_context():
        nodes.create(NODE | {"channel_id": 7, "fields": {"field1": "flow"}})
        with database().write() as session:
            session.add(SyncState(node_id=NODE["id"], synced_until=datetime.now(UTC)))
        nodes.update(NODE["id"], change)
        with database().read() as session:
            assert (session.get(SyncState, NODE["id"]) is None) == is_reset
