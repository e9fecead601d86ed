"""The folder, ports and secrets of one stack, native or compose.

A drill's stack and that of `make up` have different layouts.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from observability.spec import loading
from observability.spec.plan import Plan
from observability.spec.problems import Invalid, Problem

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
HIGHEST_PORT = 65_535
NATIVE, COMPOSE = "native", "compose"
INBOX_KEY = "inbox"  # with which Alertmanager delivers to the console
DEVELOPMENT_KEY = "evara-development-key"  # an admin's, of stacks that listen on this machine alone


# The stable ports. The catalogue adds those of its helper programs; EVARA_PORT_OFFSET moves all.
PORTS = {
    "api": 8000,
    "loki": 3100,
    "console": 8080,
    "prometheus": 9090,
    "alertmanager": 9093,
    "loki_grpc": 9095,  # between Loki's own parts
    "metrics": 9101,
    "prober": 9102,
    # of the compose stack alone
    "tls": 8443,
    "grafana": 3000,
    "mailpit": 8025,
    "locust": 8089,
    "jaeger": 16686,
    "fluentd": 24224,
}


def stack_ports(offset: int = 0) -> dict[str, int]:
    """Return every port plus an offset, by name.

    Helper programs are left out when the catalogue is invalid: commands that start something report
    its problems themselves, and others, such as `down`, work without it.
    """
    ports = dict(PORTS)
    try:
        programs = loading.load_plan().stack.programs
    except Invalid:
        programs = {}
    for name, program in programs.items():
        ports[name] = program.port
    return {name: port + offset for name, port in ports.items()}


def ports_except(ports: dict[str, int], left_out: Iterable[str]) -> dict[str, int]:
    """Return every port but those, by name."""
    return {name: port for name, port in ports.items() if name not in left_out}


@dataclass(frozen=True)
class StackLayout:
    """One stack on this machine."""

    state: Path  # everything it writes
    ports: dict[str, int]  # by name
    servers: Path  # where unpacked servers are kept; shared between stacks
    in_container: bool = False  # this process runs in a container of the compose stack

    @classmethod
    def main(cls) -> "StackLayout":
        """Return the layout of `make up`, as EVARA_STACK_DIR and EVARA_PORT_OFFSET move it."""
        state = Path(os.environ.get("EVARA_STACK_DIR", ROOT / ".stack")).resolve()
        ports = stack_ports(port_offset())
        return cls(state, ports, servers_folder(), in_container="EVARA_INSIDE" in os.environ)

    def plan(self, mode: str = "") -> Plan:
        """Return the catalogue's Plan for a mode, by default that of the stack.

        The native stack has no gateway, and so no SLOs for it.
        """
        plan = loading.load_plan()
        if (mode or self.mode) == COMPOSE:
            return plan
        return plan.without_gateway()

    def url(self, name: str) -> str:
        """Return the URL of a server for this process, which may run in a container."""
        if self.in_container:
            return f"http://{name}:{stack_ports()[name]}"
        return self.address(name)

    def address(self, name: str) -> str:
        """Return the URL of a server for a browser on this machine."""
        return f"http://{HOST}:{self.ports[name]}"

    @property
    def mode(self) -> str:
        """`native` or `compose`: the mode of the last `up`."""
        if self.in_container:
            return COMPOSE
        path = self.state / "mode"
        return path.read_text(encoding="utf-8") if path.exists() else NATIVE

    def remember_mode(self, mode: str) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        (self.state / "mode").write_text(mode, encoding="utf-8")

    @property
    def database(self) -> Path:
        return self.state / "evara.db"

    @property
    def metrics(self) -> Path:
        return self.state / "metrics"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def config(self) -> Path:
        return self.state / "config"

    @property
    def reports(self) -> Path:
        """Load reports: beside the code for the stack of `make up`, else in the stack's folder."""
        is_main = self.state == ROOT / ".stack"
        return (ROOT if is_main else self.state) / "reports"

    @property
    def fault(self) -> Path:
        return self.state / "fault.json"

    @property
    def keys(self) -> Path:
        return self.state / "keys"

    def key_file(self, name: str) -> Path:
        """Return the file with the key of one of the stack's own programs."""
        if self.mode == COMPOSE:
            return secrets_folder() / f"{name}_key"
        return self.keys / name

    def key(self, name: str) -> str:
        """Return the key of `prober`, `load` or `inbox`, "" before `up` has made it."""
        path = self.key_file(name)
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def port_offset() -> int:
    """Return EVARA_PORT_OFFSET; raise Invalid when it is no number or moves a port out of range."""
    text = os.environ.get("EVARA_PORT_OFFSET", "0")
    highest = HIGHEST_PORT - max(stack_ports().values())
    if not text.isdecimal() or int(text) > highest:
        fix = f"export a whole number from 0 to {highest}"
        message = f"{text!r} cannot be added to the ports"
        raise Invalid([Problem("EVARA_PORT_OFFSET", message, fix, "environment")])
    return int(text)


def servers_folder() -> Path:
    return Path(os.environ.get("EVARA_SERVERS_DIR", ROOT / ".stack" / "servers")).resolve()


def secrets_folder() -> Path:
    """Return the folder of the user's secrets (Slack, PagerDuty) and of the compose stack's."""
    return Path(os.environ.get("EVARA_SECRETS_DIR", ROOT / "secrets")).resolve()


def filled_secrets(folder: Path) -> frozenset[str]:
    """Return the names of the secrets that exist and are not empty."""
    if not folder.is_dir():
        return frozenset()
    return frozenset(path.name for path in folder.iterdir() if path.stat().st_size)
