"""Which ports the containers of a stack reach: as measured from inside, and as documented."""

import json
import re
import subprocess
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from observability.devstack.layout import ROOT

TOOLS = "replay"  # its image has Python, which the servers' images lack
ROW = re.compile(r"^\| `([a-z-]+):(\d+|\*)` \| ([^|]*) \| ([^|]*) \|", re.MULTILINE)
ALL_PORTS = "*"  # of servers with many ports that listen on all of their networks
LISTENING = """
import json, pathlib
ports = set()
for name in ("tcp", "tcp6"):
    for line in pathlib.Path("/proc/net", name).read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        address, port = local.split(":")
        if state == "0A" and not address.endswith("7F"):  # 127.0.0.0/8, bytes reversed
            ports.add(int(port, 16))
print(json.dumps(sorted(ports)))
"""
GATEWAY = """
import json, pathlib, socket
gateway = None
for line in pathlib.Path("/proc/net/route").read_text().splitlines()[1:]:
    _, destination, via, *_ = line.split()
    if destination == "00000000":
        gateway = socket.inet_ntoa(bytes.fromhex(via)[::-1])
print(json.dumps(gateway))
"""
REACHED = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def is_reached(target):
    try:
        socket.create_connection(target[1:], 5).close()
    except OSError:
        return False
    return True
targets = json.load(sys.stdin)
with ThreadPoolExecutor(len(targets)) as pool:
    print(json.dumps([t for t, reached in zip(targets, pool.map(is_reached, targets)) if reached]))
"""

Reached = dict[tuple[str, str], set[str]]  # services that reach a port, by service and port


def run_inside(
    container: dict[str, Any], image: str, script: str, standard_input: Any = None
) -> Any:
    """Return the JSON that a script prints in the network of a container."""
    options = ["--rm", "--interactive", "--network", f"container:{container['Id']}"]
    result = subprocess.run(
        ["docker", "run", *options, "--entrypoint", "python", image, "-c", script],
        input=json.dumps(standard_input),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


def service_of(container: dict[str, Any]) -> str:
    """Return the name of a container's service."""
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def addresses(container: dict[str, Any]) -> list[str]:
    """Return the addresses of a container in all of its networks."""
    networks = container["NetworkSettings"]["Networks"].values()
    return [network["IPAddress"] for network in networks if network["IPAddress"]]


def measure(running: list[dict[str, Any]]) -> Reached:
    """Return which services reach which listening port, at any address of another service."""
    image = image_of(TOOLS, running)
    with ThreadPoolExecutor(4) as pool:
        ports_by_container = list(pool.map(lambda one: run_inside(one, image, LISTENING), running))
        targets = [
            (f"{service_of(container)}:{port}", address, port)
            for container, ports in zip(running, ports_by_container, strict=True)
            for address in addresses(container)
            for port in ports
        ]

        def reached_by(container: dict[str, Any]) -> list[tuple[str, str, int]]:
            own = f"{service_of(container)}:"
            others = [target for target in targets if not target[0].startswith(own)]
            return list(run_inside(container, image, REACHED, others))

        reached_by_container = list(pool.map(reached_by, running))
    reached: Reached = {tuple(target[0].split(":")): set() for target in targets}  # type: ignore[misc]
    for container, reached_targets in zip(running, reached_by_container, strict=True):
        for target, *_ in reached_targets:
            service, port = target.split(":")
            reached[service, port].add(service_of(container))
    return reached


def image_of(service: str, containers: list[dict[str, Any]]) -> str:
    """Return the id of the image of a service."""
    return next(str(one["Image"]) for one in containers if service_of(one) == service)


def default_networks(containers: list[dict[str, Any]]) -> dict[str, str]:
    """Return the network of each service's default route, "" without one."""
    image = image_of(TOOLS, containers)
    network_by_service = {}
    for container in containers:
        gateway = run_inside(container, image, GATEWAY)
        networks = container["NetworkSettings"]["Networks"].items()
        leading = [name for name, network in networks if gateway and network["Gateway"] == gateway]
        network_by_service[service_of(container)] = "".join(leading)
    return network_by_service


def documented(column: slice = slice(0, 2)) -> Reached:
    """Return the table of docs/security.md: who needs a port, and who reaches it besides."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    reached: Reached = defaultdict(set)
    for service, port, *columns in ROW.findall(text):
        reached[service, port].update(re.findall(r"`([a-z-]+)`", " ".join(columns[column])))
    return dict(reached)


def differences(measured: Reached, expected: Reached, running: set[str]) -> list[str]:
    """Return a sentence for each difference; services that do not run are left out."""
    problems = []
    for (service, port), sources in measured.items():
        wanted = expected.get((service, port), expected.get((service, ALL_PORTS), set()))
        for source in sorted(sources ^ (wanted & running)):
            verb = "reaches" if source in sources else "does not reach"
            problems.append(f"{source} {verb} {service}:{port}")
    return problems
