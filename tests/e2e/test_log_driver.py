"""Docker's log driver sends lines until they are acknowledged, with the stack's own options."""

import json
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
import yaml

from observability.devstack import docker
from observability.devstack.compose_settings import SERVICES
from tests.e2e.waiting import eventually
from tests.serving import free_port, serving

LINES = 50
# It stays, because the driver discards what waits when a container ends.
PROGRAM = f'for number in $(seq {LINES}); do echo "line $number"; done; exec sleep 600'
SERVICE = yaml.safe_load(SERVICES.read_text(encoding="utf-8"))["services"]["gateway"]
Event = tuple[Any, str]  # time and line


class ForwardServer(socketserver.ThreadingTCPServer):
    """Receive events of the forward protocol; acknowledge none until `acknowledges` is set."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), ForwardHandler)
        self.acknowledges = threading.Event()
        self.unacknowledged: list[Event] = []
        self.acknowledged: list[Event] = []


class ForwardHandler(socketserver.BaseRequestHandler):
    """Read one connection, in the protocol's mode of one event per message."""

    server: ForwardServer

    def handle(self) -> None:
        """Close the connection instead of acknowledging, as a receiver that is killed does."""
        unpacker = msgpack.Unpacker(timestamp=0)
        while data := self.request.recv(65_536):
            unpacker.feed(data)
            for _tag, time, record, options in unpacker:
                event = (time, record["log"])
                if not self.server.acknowledges.is_set():
                    self.server.unacknowledged.append(event)
                    return
                self.server.acknowledged.append(event)
                self.request.sendall(msgpack.packb({"ack": options.get("chunk")}))


@pytest.fixture
def receiver() -> Iterator[ForwardServer]:
    """Yield a receiver of log lines that listens."""
    with serving(ForwardServer(free_port())) as server:
        yield server


def run_container(receiver: ForwardServer) -> str:
    """Start a container whose output goes to the receiver, and return its id."""
    logging = SERVICE["logging"]
    options = logging["options"] | {"fluentd-address": f"127.0.0.1:{receiver.server_address[1]}"}
    words = [f"--log-opt={name}={value}" for name, value in options.items()]
    command = ["docker", "run", "--detach", "--pull=never", "--network=none", "--entrypoint=sh"]
    command += [f"--log-driver={logging['driver']}", *words, SERVICE["image"], "-c", PROGRAM]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_lines_are_sent_again_until_they_are_acknowledged(receiver: ForwardServer) -> None:
    """Each line arrives once more after a connection that ended without an acknowledgement.

    The repeated event has the same time and text, so Loki stores it once.
    """
    available, reason = docker.find_engine()
    if not available:
        pytest.skip(f"no container here: {reason}")
    image = ["docker", "image", "inspect", SERVICE["image"]]
    if subprocess.run(image, capture_output=True, check=False).returncode:
        pytest.skip(f"the image {SERVICE['image']} is not available")
    container = run_container(receiver)
    try:
        assert eventually(lambda: len(receiver.unacknowledged) >= 2)
        receiver.acknowledges.set()
        assert eventually(lambda: len(receiver.acknowledged) >= LINES)
    finally:
        subprocess.run(["docker", "rm", "--force", container], capture_output=True, check=False)
    assert {json.dumps(event, default=repr) for event in receiver.unacknowledged} == {
        json.dumps(receiver.acknowledged[0], default=repr)
    }
    lines = [line for _time, line in receiver.acknowledged]
    assert lines == [f"line {number}" for number in range(1, LINES + 1)]
