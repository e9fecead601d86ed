"""Where one stack lives: its folder, ports and secrets, native or of containers; a drill is a second site beside the first."""

import os
from dataclasses import dataclass
from pathlib import Path

from observability.spec import loading
from observability.spec.plan import Plan
from observability.spec.problems import Invalid, Problem

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
HIGHEST_PORT = 65_535
NATIVE, COMPOSE = "native", "compose"
DEVELOPMENT_KEY = "evara-development-key"  # an admin's, of stacks that listen on this machine alone


@dataclass(frozen=True)
class Ports:
    """The stable ports; all are moved together by EVARA_PORT_OFFSET."""

    api: int = 8000
    loki: int = 3100
    console: int = 8080
    replay: int = 8091
    prometheus: int = 9090
    alertmanager: int = 9093
    loki_grpc: int = 9095  # between Loki's own parts
    metrics: int = 9101
    prober: int = 9102
    # of the compose stack alone
    tls: int = 8443
    grafana: int = 3000
    mailpit: int = 8025
    locust: int = 8089
    jaeger: int = 16686
    fluentd: int = 24224

    def shifted(self, offset: int) -> "Ports":
        return Ports(**{name: port + offset for name, port in self.named().items()})

    def named(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class StackLayout:
    """One stack on this machine."""

    state: Path  # everything it writes
    ports: Ports
    servers: Path  # where unpacked servers are kept; shared between sites
    inside: bool = False  # one of the compose stack's own containers asks

    @classmethod
    def main(cls) -> "StackLayout":
        """The stack of `make up`; EVARA_STACK_DIR and EVARA_PORT_OFFSET put a second one beside it."""
        state = Path(os.environ.get("EVARA_STACK_DIR", ROOT / ".stack")).resolve()
        return cls(
            state, Ports().shifted(port_offset()), servers_folder(), "EVARA_INSIDE" in os.environ
        )

    def plan(self, mode: str = "") -> Plan:
        """The catalogue's Plan for a stack of this mode, by default the present one: the native one has no gateway."""
        made = loading.load_plan()
        return made if (mode or self.mode) == COMPOSE else made.without_gateway()

    def url(self, name: str) -> str:
        """Where we ask a server of the stack: by its service's name in a container, else on this machine."""
        return f"http://{name}:{getattr(Ports(), name)}" if self.inside else self.address(name)

    def address(self, name: str) -> str:
        """Where a person on this machine finds it."""
        return f"http://{HOST}:{self.ports.named()[name]}"

    @property
    def mode(self) -> str:
        """native or compose: what is up, or was last."""
        path = self.state / "mode"
        return (
            COMPOSE
            if self.inside
            else path.read_text(encoding="utf-8")
            if path.exists()
            else NATIVE
        )

    def remember(self, mode: str) -> None:
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
    def inbox(self) -> Path:
        return self.state / "inbox.jsonl"

    @property
    def reports(self) -> Path:
        """Load reports: beside the code for the stack of `make up`, in the folder of any other."""
        return ROOT / "reports" if self.state == ROOT / ".stack" else self.state / "reports"

    @property
    def fault(self) -> Path:
        return self.state / "fault.json"

    @property
    def keys(self) -> Path:
        return self.state / "keys"

    def key_file(self, name: str) -> Path:
        """Where the key of one of the stack's own programs is kept."""
        return secrets_folder() / f"{name}_key" if self.mode == COMPOSE else self.keys / name

    def key(self, name: str) -> str:
        """The API key of one of the stack's own programs, prober or load; "" before `up` has made it."""
        path = self.key_file(name)
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def port_offset() -> int:
    """EVARA_PORT_OFFSET; Invalid when it is no number, or moves a port out of range."""
    text = os.environ.get("EVARA_PORT_OFFSET", "0")
    highest = HIGHEST_PORT - max(Ports().named().values())
    if not text.isdecimal() or int(text) > highest:
        fix = f"export a whole number from 0 to {highest}"
        raise Invalid(
            [
                Problem(
                    "EVARA_PORT_OFFSET",
                    f"{text!r} cannot be added to the ports",
                    fix,
                    "environment",
                )
            ]
        )
    return int(text)


def servers_folder() -> Path:
    return Path(os.environ.get("EVARA_SERVERS_DIR", ROOT / ".stack" / "servers")).resolve()


def secrets_folder() -> Path:
    """Secrets that the user may give (Slack, PagerDuty), and all of the compose stack."""
    return Path(os.environ.get("EVARA_SECRETS_DIR", ROOT / "secrets")).resolve()


def present(folder: Path) -> frozenset[str]:
    """The names of the secrets that are there and not empty."""
    return (
        frozenset(path.name for path in folder.iterdir() if path.stat().st_size)
        if folder.is_dir()
        else frozenset()
    )
