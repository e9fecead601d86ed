"""Host headers that the servers of a stack accept."""

import socket

import pytest

from observability.spec import host_names
from observability.spec.host_names import HostNames

NAMES = HostNames(("api.example.org", ".internal", "192.0.2.7"))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "localhost",
        "LOCALHOST:8000",
        "127.0.0.1",
        "127.0.0.1:9101",
        "[::1]",
        "[::1]:8000",
        "api.example.org",
        "API.example.org:443",
        "internal",
        "a.b.internal",
        "192.0.2.7:80",
    ],
)
def test_known_names_are_accepted(header: str | None) -> None:
    """This machine, and the declared names and domains, with any port."""
    assert NAMES.accepts(header)


@pytest.mark.parametrize(
    ("target", "accepted"),
    [
        ("/a//b", True),
        ("*", True),
        ("http://localhost:8000/", True),
        ("http://evil.example/", False),
        ("HTTPS://evil.example", False),
        ("http://localhost@evil.example/", False),
        ("http://evil.example?a=http://localhost", False),
        ("http:///", False),
    ],
)
def test_a_target_in_absolute_form_names_the_host(target: str, accepted: bool) -> None:
    """It takes precedence over the header, which must be known as well."""
    assert NAMES.accepts("localhost", target) is accepted
    assert NAMES.accepts(None, target) is accepted
    assert not NAMES.accepts("evil.example", target)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "localhost.",
        "127.0.0.1.nip.io",
        "evil-localhost",
        "api.example.org.evil.example",
        "notinternal",
        "x@localhost",
        "localhost:80:80",
        "localhost:",
        "localhost, evil.example",
        "localhost\n",
        "::1",
        "[::1",
        "[::1]evil",
        "192.0.2.8",
        "2130706433",
        "ｌocalhost",
    ],
)
def test_other_names_are_refused(header: str) -> None:
    """Names that only contain a known one, and texts that are no name, are unknown."""
    assert not NAMES.accepts(header)


def test_a_server_on_all_addresses_accepts_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prometheus reaches it under the address of its container, which nobody can declare."""
    monkeypatch.setenv("EVARA_TRUSTED_HOSTS", " prober, .internal,")
    names = host_names.from_environment("0.0.0.0")
    assert names.declared == ("prober", ".internal")
    accepted = ["172.18.0.9:9101", "[fd00::9]:9101", "prober:9102", "localhost"]
    assert [header for header in accepted if not names.accepts(header)] == []
    assert not names.accepts("evil.example")
    assert not host_names.from_environment("127.0.0.1").accepts("172.18.0.9:9101")


def test_a_shared_name_stands_for_the_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas share a name; each listens at the address that is its own."""
    addresses = ("192.0.2.7", "127.0.0.1", "192.0.2.8")  # 192.0.2.0/24 belongs to no machine
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 0)) for one in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: answers)
    assert host_names.own_address("api.backend") == "127.0.0.1"
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: answers[::2])
    with pytest.raises(OSError, match="no name of this machine"):
        host_names.own_address("api.backend")


def test_sockets_may_be_names_addresses_and_paths() -> None:
    """Only names are looked up."""
    setting = "localhost:8000,0.0.0.0:80,[::1]:8000,unix:/tmp/socket,:8000"
    expected = ["127.0.0.1:8000", *setting.split(",")[1:]]
    assert host_names.own_sockets(setting) == expected


@pytest.mark.parametrize(
    ("bind", "accepted"),
    [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True), ("prober.metrics", True)],
)
def test_servers_for_other_machines_accept_addresses(bind: str, accepted: bool) -> None:
    """Prometheus calls replicas by their address."""
    assert host_names.from_environment(bind).accepts("172.18.0.9:9101") is accepted
