"""The security headers of the console, and its Host names."""

import pytest
from flask.testing import FlaskClient

from observability.spec.plan import Plan
from tests.observability.console.conftest import FakeServers
from tests.observability.console.reading import PAGES, measured, read


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("console:8080", 200),
        ("evil.example:8080", 400),
        ("console.evil.example", 400),
        ("", 400),
    ],
)
def test_unknown_host_names_are_refused(
    client: FlaskClient, host: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A web page whose name resolves to this machine can read nothing."""
    monkeypatch.setenv("EVARA_TRUSTED_HOSTS", "console")
    for path in ("/", "/api/inbox", "/static/console.css"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code == status
        assert ("EVARA_TRUSTED_HOSTS" in answer.text) == (status == 400)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_every_response_has_the_strict_policy(
    client: FlaskClient, servers: FakeServers, plan: Plan
) -> None:
    """No inline script, no external source, no framing; the pages comply."""
    measured(servers, plan)
    for path in (*PAGES, "/nothing", "/api/inbox", "/static/console.css"):
        answer = client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    for path in PAGES:
        page = read(client, path)
        assert not [
            attributes
            for _, attributes in page.tags
            if "style" in attributes or any(key.startswith("on") for key in attributes)
        ]
        assert {
            address
            for tag, key in (("img", "src"), ("link", "href"), ("script", "src"))
            for address in page.all(tag, key)
            if "//" in address
        } == set()
