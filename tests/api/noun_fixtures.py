"""Fixtures for tests of the nouns."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from loadtests.thingspeak_stub import ThingSpeakStub
from tests.api.helpers import DAY, LIMITS, NODE, NODES
from tests.serving import serving


@pytest.fixture
def node(client: FlaskClient) -> str:
    """Create a node and return its id."""
    assert client.post(NODES, json=NODE).status_code == 201
    return NODE["id"]


@pytest.fixture
def alarmed(client: FlaskClient) -> FlaskClient:
    """Create a node with limits for its level, and return a client."""
    assert client.post(NODES, json=NODE | {"alarms": {"level_m": LIMITS}}).status_code == 201
    return client


@pytest.fixture
def replay() -> Iterator[ThingSpeakStub]:
    """Yield the replay server on a free port, with a day of readings in each channel."""
    with serving(ThingSpeakStub(("127.0.0.1", 0), DAY)) as server:
        yield server
