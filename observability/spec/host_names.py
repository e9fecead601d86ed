"""The Host names under which the servers of a stack are reached.

A web page can make its own name resolve to this machine (DNS rebinding). Its browser then sends
that name as Host, so every server refuses names that it does not know.
"""

import os
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address

SETTING = "EVARA_TRUSTED_HOSTS"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
HOST = re.compile(r"(?:([a-z0-9._-]+)|\[([0-9a-f:.]+)\])(?::[0-9]{1,5})?", re.IGNORECASE)
AUTHORITY = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#]*)", re.IGNORECASE)
REFUSAL = f"This server has no such Host name; fix: add the name to {SETTING}."


@dataclass(frozen=True)
class HostNames:
    """The accepted values of the Host header: those of this machine, and the declared names.

    `.example.org` stands for the domain and its subdomains. With `any_address` every IP address is
    accepted, as a server needs that others reach by its address; a page has a name of its own.
    """

    declared: tuple[str, ...] = ()
    any_address: bool = False

    def accepts(self, header: str | None, target: str = "/") -> bool:
        """Return whether a request with this header is served; no browser omits the header.

        A target in absolute form (RFC 9112) names a host itself, which takes precedence.
        """
        absolute = AUTHORITY.match(target)
        if absolute and not self.knows(absolute[1]):
            return False
        return header is None or self.knows(header)

    def knows(self, host: str) -> bool:
        """Return whether the host, with or without a port, is one of these names."""
        match = HOST.fullmatch(host)
        if not match:
            return False
        name = (match[1] or match[2]).lower()
        if name in LOOPBACK or any(belongs(name, entry) for entry in self.declared):
            return True
        return self.any_address and is_address(name)


def belongs(name: str, entry: str) -> bool:
    """Return whether the name is the entry, or below an entry that begins with a dot."""
    entry = entry.lower()
    return name == entry.removeprefix(".") or (entry.startswith(".") and name.endswith(entry))


def is_address(name: str) -> bool:
    """Return whether the name is an IP address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def from_environment(bind: str = "127.0.0.1") -> HostNames:
    """Return the names of a server that listens on the address `bind`."""
    entries = [entry.strip() for entry in os.environ.get(SETTING, "").split(",")]
    declared = tuple(entry for entry in entries if entry)
    return HostNames(declared, any_address=bind not in LOOPBACK)


def own_address(name: str) -> str:
    """Return the IPv4 address of this machine that the name stands for; raise OSError without one.

    In the compose stack the replicas of a service share a name, and each has an address of its own.
    """
    for *_, address in socket.getaddrinfo(name, 0, socket.AF_INET, socket.SOCK_STREAM):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(address)
            return str(address[0])
    raise OSError(f"{name} is no name of this machine; fix: its networks in compose.services.yaml")


def own_sockets(setting: str) -> list[str]:
    """Return the sockets of a setting such as `localhost:8000,unix:/path`, names as own addresses.

    Raise OSError for the name of another machine.
    """
    sockets = []
    for address in setting.split(","):
        host, _, port = address.rpartition(":")
        is_name = port.isdigit() and HOST.fullmatch(host) and not host.startswith("[")
        sockets.append(f"{own_address(host)}:{port}" if is_name else address)
    return sockets
