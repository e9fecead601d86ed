"""The folder, ports and secrets of one stack, native or compose.

A drill's stack and that of `make up` have different layouts.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from observability.devstack import public_url
from observability.devstack.user_settings import user_settings
from observability.spec import host_names, loading
from observability.spec.gateway import without_gateway
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
    public: str = public_url.LOCAL  # pattern of the URLs under which people reach its pages

    @classmethod
    def main(cls) -> "StackLayout":
        """Return the layout of `make up`, as EVARA_STACK_DIR and other settings move it."""
        state = folder_setting("EVARA_STACK_DIR", ".stack")
        ports = stack_ports(port_offset())
        return cls(
            state=state,
            ports=ports,
            servers=servers_folder(),
            in_container="EVARA_INSIDE" in os.environ,
            public=public_url.public_url(),
        )

    def plan(
        self,
        mode: str = "",
        catalogue: Path = loading.CATALOGUE,
        policy: Path = loading.POLICY,
    ) -> Plan:
        """Return the catalogue's Plan for a mode, by default that of the stack.

        Its links lead to the pages of this stack. The native stack has no gateway, and so no SLOs
        for it.
        """
        urls = {port: self.address(name) for name, port in stack_ports().items()}
        plan = loading.load_plan(
            catalogue, policy, edit=lambda text: public_url.replace_links(text, urls)
        )
        if (mode or self.mode) == COMPOSE:
            return plan
        return without_gateway(plan)

    def url(self, name: str) -> str:
        """Return the URL of a server for this process, which may run in a container."""
        if self.in_container:
            return f"http://{name}:{stack_ports()[name]}"
        scheme = "https" if name == "tls" else "http"
        return f"{scheme}://{HOST}:{self.ports[name]}"

    def address(self, name: str) -> str:
        """Return the URL under which people reach a server, whose page has its name."""
        page = "api" if name == "tls" else name
        url = self.public.format(page=page, port=self.ports[name])
        return url.replace("http:", "https:") if name == "tls" else url

    @property
    def trusted_hosts(self) -> str:
        """Return the names under which others reach API and console: the declared and public."""
        declared = user_settings().get(host_names.SETTING, "")
        public = {urlsplit(self.address(name)).hostname or "" for name in ("api", "console")}
        return ",".join(filter(None, [declared, *sorted(public - host_names.LOOPBACK)]))

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
    def supervisor_socket(self) -> Path:
        """supervisord's socket, in the temporary folder.

        The path of a socket has at most 107 characters; that of a checkout may be longer.
        """
        digest = hashlib.sha256(str(self.state).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"evara-{os.getuid()}-{digest}.sock"

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
    text = user_settings().get("EVARA_PORT_OFFSET") or "0"
    highest = HIGHEST_PORT - max(stack_ports().values())
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > highest:
        fix = f"in the environment or .env, set a whole number from 0 to {highest}"
        message = f"{text!r} cannot be added to the ports"
        raise Invalid([Problem("EVARA_PORT_OFFSET", message, fix, "environment")])
    return int(text)


def folder_setting(name: str, default: str) -> Path:
    """Return the folder that a setting of the user names; paths are relative to the checkout."""
    return (ROOT / (user_settings().get(name) or default)).resolve()


def servers_folder() -> Path:
    return folder_setting("EVARA_SERVERS_DIR", ".stack/servers")


def secrets_folder() -> Path:
    """Return the folder of the user's secrets (Slack, PagerDuty) and of the compose stack's."""
    return folder_setting("EVARA_SECRETS_DIR", "secrets")


def filled_secrets(folder: Path) -> frozenset[str]:
    """Return the names of the secrets that exist and are not empty."""
    if not folder.is_dir():
        return frozenset()
    return frozenset(path.name for path in folder.iterdir() if path.stat().st_size)
