"""Host headers that the servers of a stack accept."""

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
