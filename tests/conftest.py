"""What all tests share: an environment without settings of other stacks, a replay server, and a Redis."""

import os
from collections.abc import Iterator

import pytest

for name in [name for name in os.environ if name.startswith(("EVARA_", "PROMETHEUS_"))]:
    del os.environ[name]  # before anything imports prometheus_client, which looks once

from loadtests.replay import Replay  # noqa: E402
from tests.redis_server import RedisServer  # noqa: E402
from tests.serving import serving  # noqa: E402

DAY = 86_400  # seconds; more than two commits of a sync


@pytest.fixture
def replay() -> Iterator[Replay]:
    """The real replay server on a free port of its own, with a day of readings in each channel."""
    with serving(Replay(("127.0.0.1", 0), DAY)) as server:
        yield server


@pytest.fixture
def redis_url() -> Iterator[str]:
    """The address of a real Redis of the test's own."""
    with RedisServer() as server:
        yield server.url
