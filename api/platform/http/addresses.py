"""Addresses of clients, as proxies write them into X-Forwarded-For."""

from ipaddress import IPv4Address, IPv6Address, ip_address


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in a text, without port, brackets, quotes and zone; None without one."""
    text = text.strip(' "')
    if text.startswith("["):
        text, _, _ = text[1:].partition("]")
    elif text.count(":") == 1:
        text, _, _ = text.partition(":")
    text, _, _ = text.partition("%")
    try:
        return ip_address(text)
    except ValueError:
        return None
