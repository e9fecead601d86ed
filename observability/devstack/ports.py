"""Free ports, claims on them, and the process that listens on a port."""

import socket

import psutil

from observability.devstack.layout import HOST

COMMAND_CHARACTERS = 60  # of a command line in a message


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def reserve(name: str) -> socket.socket | None:
    """Return a claim on a name that processes of this machine share; None when one has it.

    The claim is an abstract socket's name. It ends when it is closed, or with the process.
    """
    reservation = socket.socket(socket.AF_UNIX)
    try:
        reservation.bind(f"\0{name}")
    except OSError:
        reservation.close()
        return None
    return reservation


def port_owner(port: int) -> str:
    """Return the pid and command of the process that listens on a port, if this user may see it."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        try:
            if listens_on(process, port):
                command = " ".join(process.info["cmdline"] or [])
                return f"pid {process.pid} ({command[:COMMAND_CHARACTERS]})"
        except psutil.Error:
            continue
    return "a process of another user"


def listens_on(process: psutil.Process, port: int) -> bool:
    return any(
        connection.laddr.port == port and connection.status == psutil.CONN_LISTEN
        for connection in process.net_connections(kind="tcp")
    )
