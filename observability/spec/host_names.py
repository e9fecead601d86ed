"""The Host names under which the servers of a stack are reached.

A web page can make its own name resolve to this machine (DNS rebinding). Its browser then sends
that name as Host, so every server refuses names that it does not know.
"""

import os
import re
from dataclasses import dataclass
from ipaddress import ip_address

SETTING = "EVARA_TRUSTED_HOSTS"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound
HOST = re.compile(r"(?:([a-z0-9._-]+)|\[([0-9a-f:.]+)\])(?::[0-9]{1,5})?", re.IGNORECASE)
REFUSAL = f"This server has no such Host name; fix: add the name to {SETTING}."


@dataclass(frozen=True)
class HostNames:
    """The accepted values of the Host header: those of this machine, and the declared names.

    `.example.org` stands for the domain and its subdomains. With `any_address` every IP address is
    accepted, as a server on all addresses needs; a page cannot make its name an address.
    """

    declared: tuple[str, ...] = ()
    any_address: bool = False

    def accepts(self, header: str | None) -> bool:
        """Return whether a request with this header is served; no browser omits the header."""
        if header is None:
            return True
        match = HOST.fullmatch(header)
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
    return HostNames(declared, any_address=bind in EVERY_ADDRESS)
