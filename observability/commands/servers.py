"""Options that name a server which is none of the stack's, and the headers for it."""

import re
from pathlib import Path

import click
import httpx

from observability.devstack.layout import StackLayout
from observability.lib.http import Unreachable
from observability.lib.prometheus import ServicePrometheus
from observability.lib.remote import Address
from observability.spec.loading import load_plan
from observability.spec.plan import Plan

HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t]*)")
HEADER_FORM = "fix: write --header 'Name: value', or @FILE with one such line per header"

prometheus_url = click.option(
    "--prometheus", metavar="URL", help="A server with Prometheus's API, instead of the stack's."
)
header_lines = click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="Send this header to that server; @FILE reads one per line. Repeatable.",
)


def address(option: str, url: str | None, headers: tuple[str, ...]) -> Address | None:
    """Return the server of the options, None without them; raise Unreachable for wrong ones.

    No message repeats what may be a secret.
    """
    if url is None:
        if headers:
            raise Unreachable(f"--header is for another server; fix: name it with {option} URL")
        return None
    try:
        parts = httpx.URL(url)
        has_host = bool(parts.host) and "%" not in parts.host and (parts.port or 1) < 65_536
        is_url = parts.scheme in ("http", "https") and has_host
    except (httpx.InvalidURL, ValueError):
        is_url = False
    if not is_url:
        shown = url if re.fullmatch(r"[\w.:/-]*", url) else "that text"
        fix = f"write scheme and host, as in {option} https://prometheus.example.org"
        raise Unreachable(f"{option}: {shown!r} is no URL; fix: {fix}")
    return Address(url, tuple(pair for text in headers for pair in parse_header(text)))


def parse_header(text: str) -> list[tuple[str, str]]:
    """Return the headers of `Name: value`, or of the lines of `@FILE`; raise Unreachable."""
    if not text.startswith("@"):
        return [split_header(text, "--header")]
    path = Path(text[1:])
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is no text"
        raise Unreachable(f"--header @{path}: {reason}; {HEADER_FORM}") from None
    return [
        split_header(line, f"{path}:{number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def split_header(line: str, place: str) -> tuple[str, str]:
    """Return name and value of a header line; raise Unreachable."""
    match = HEADER.fullmatch(line.strip())
    if not match:
        raise Unreachable(f"{place}: is no header; {HEADER_FORM}")
    return match[1], match[2].strip()


def load_service(
    layout: StackLayout, catalogue: Path, policy: Path, server: Address | None
) -> Plan:
    """Return the plan of a service: as the stack measures it, or as another server does."""
    if server:
        return load_plan(catalogue, policy)
    return layout.plan(catalogue=catalogue, policy=policy)


def open_prometheus(layout: StackLayout, plan: Plan, server: Address | None) -> ServicePrometheus:
    """Return the client of the server, by default of the stack's Prometheus."""
    if server:
        return ServicePrometheus(server.url, plan, headers=server.headers)
    return ServicePrometheus(layout.url("prometheus"), plan)
