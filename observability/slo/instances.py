"""How many instances of each program are declared, and how many of them are present.

Prometheus alone cannot tell: its discovery by DNS forgets a container as soon as it stops, and not
every program of the native stack has metrics.
"""

import socket
import xmlrpc.client
from collections.abc import Iterator
from typing import Any
from xml.parsers.expat import ExpatError

import httpx

from observability.lib.http import responds, tls_context

SUPERVISORD = "supervisord"
HEALTH_TIMEOUT = 4.0  # seconds; the alerts are in time while every instance hangs
SUPERVISORD_TIMEOUT = 10.0  # seconds; on a busy machine it answers late
Count = tuple[str, int, int]  # program, declared instances, present ones


def count_instances(declarations: str) -> Iterator[Count]:
    """Yield each program with the number of its declared instances, and of those present.

    A declaration is `HOST:PORT/PATH=COUNT`, with the address of the health check; the program is
    the first part of the host. An instance is present if the host resolves to its address, and its
    health check succeeds.
    """
    for declaration in declarations.split():
        check, declared = declaration.split("=")
        host, health = check.split(":")
        urls = (f"http://{address}:{health}" for address in addresses(host))
        present = sum(responds(url, HEALTH_TIMEOUT) for url in urls)
        yield host.partition(".")[0], int(declared), present


def addresses(name: str) -> list[str]:
    """Return the IPv4 addresses of a host name; none when it does not resolve."""
    try:
        return socket.gethostbyname_ex(name)[2]
    except OSError:
        return []


def count_programs(socket_path: str, settled: float) -> Iterator[Count]:
    """Yield supervisord itself and each of its programs: one is declared, and 0 or 1 present.

    A program is present when it has run for `settled` seconds, so that one which ends again and
    again is not. Nothing is known about the programs while supervisord does not answer.
    """
    try:
        processes = fetch_processes(socket_path)
    except (httpx.HTTPError, xmlrpc.client.Error, ExpatError):
        yield SUPERVISORD, 1, 0
        return
    yield SUPERVISORD, 1, 1
    for process in processes:
        seconds = process["now"] - process["start"]
        is_present = process["statename"] == "RUNNING" and seconds >= settled
        yield process["name"], 1, int(is_present)


def fetch_processes(socket_path: str) -> list[dict[str, Any]]:
    """Return what supervisord says about each program; raise the errors of httpx and XML-RPC."""
    call = xmlrpc.client.dumps((), "supervisor.getAllProcessInfo")
    transport = httpx.HTTPTransport(uds=socket_path, verify=tls_context())
    with httpx.Client(transport=transport, timeout=SUPERVISORD_TIMEOUT) as supervisord:
        answer = supervisord.post("http://supervisord/RPC2", content=call).raise_for_status()
    (processes, *_), _ = xmlrpc.client.loads(answer.content)
    result: Any = processes
    return list(result)
