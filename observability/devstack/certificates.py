"""The PEM files with which the gateway serves https, and what is wrong with them."""

import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

OTHER_SUFFIXES = {".key", ".ocsp", ".issuer", ".sctl"}  # files that HAProxy reads beside a PEM file
FLIGHTS = 4  # of messages, more than a handshake has


def find_problems(folder: Path) -> Iterator[str]:
    """Yield a sentence for each file that the gateway cannot use, with the reason."""
    for path in sorted(folder.glob("*")):
        if path.name.startswith(".") or path.suffix in OTHER_SUFFIXES:
            continue
        reason = find_problem(path)
        if reason:
            yield f"{path} cannot be used for https: {reason}"


def find_problem(path: Path) -> str:
    """Return why the file cannot be used, "" when it can.

    A server with the file and a client that trusts its certificate try to connect.
    """
    text = path.read_bytes()
    for label, part in ((b"CERTIFICATE", "certificate"), (b"PRIVATE KEY", "private key")):
        if label + b"-----" not in text:
            return f"it has no {part}"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # trust it, whoever issued it
    try:
        server.load_cert_chain(path, password="")  # HAProxy cannot ask for one, either
        client.load_verify_locations(path)
        connect(client, server)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except ssl.SSLError as error:
        return f"OpenSSL says {error.reason or error}"
    return ""


def connect(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """Connect the two in memory; raise SSLError when one of them refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(FLIGHTS):
        for side in sides:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
