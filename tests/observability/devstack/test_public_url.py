"""The addresses under which people reach the pages of a stack, in everything that names them."""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pytest

from observability.devstack import user_settings
from observability.devstack.binaries import Server
from observability.devstack.compose_files import file_texts
from observability.devstack.compose_settings import SERVICES, stack_settings
from observability.devstack.layout import COMPOSE, NATIVE, StackLayout, stack_ports
from observability.devstack.programs import programs
from observability.devstack.public_url import SETTING, public_url, replace_links
from observability.devstack.server_configs import config_texts, plan_of_stack
from observability.generate.runbook import entries
from observability.spec.plan import Plan
from observability.spec.problems import Invalid

LOCAL = re.compile(r"(?:localhost|127\.0\.0\.1|0\.0\.0\.0):(\d+)")
PAGES = re.compile(r"[a-z]+://(?:localhost|127\.0\.0\.1|[\w.-]+\.example\.org)[\w:]*")
INSIDE = ("gateway/", "postgres", "prometheus/prometheus.yaml", "valkey/")  # of one container


@pytest.fixture(autouse=True)
def offset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Move the ports of the stack that this process's environment describes."""
    monkeypatch.setattr(user_settings, "ROOT", tmp_path)
    monkeypatch.setenv("EVARA_PORT_OFFSET", "200")
    monkeypatch.setenv("EVARA_STACK_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("EVARA_SECRETS_DIR", str(tmp_path / "secrets"))
    monkeypatch.delenv(SETTING, raising=False)


def compose_texts(layout: StackLayout) -> dict[str, str]:
    """Return the files and settings of the compose stack that are not for one container alone."""
    copies = file_texts(layout.plan(COMPOSE), frozenset({"slack_url", "pagerduty_key"}))
    texts = {name: text for name, text in copies.items() if not name.startswith(INSIDE)}
    return texts | stack_settings(layout)


def native_texts(layout: StackLayout, servers: dict[str, Server]) -> dict[str, str]:
    """Return the files, commands and environments of the native stack."""
    plan = layout.plan(NATIVE)
    texts = config_texts(plan_of_stack(layout, plan), None)
    for program in programs(layout, plan, servers):
        texts[program.name] = json.dumps(asdict(program), default=str)
    return texts


def runbook(plan: Plan) -> dict[str, str]:
    """Return the runbook as the console shows it."""
    return {name: repr(entry) for name, entry in entries.entries(plan).items()}


def default_ports(texts: dict[str, str]) -> set[tuple[str, str]]:
    """Return (file, address) of each address of a stack without settings."""
    return {
        (name, link[0])
        for name, text in texts.items()
        for link in LOCAL.finditer(text)
        if int(link[1]) in stack_ports().values()
    }


def pages(texts: Iterable[str]) -> set[str]:
    """Return the URLs of pages, without their paths."""
    return {link for text in texts for link in PAGES.findall(text)}


def test_no_link_of_a_moved_stack_has_a_default_port(all_servers: dict[str, Server]) -> None:
    """In rules, boards, notifications, runbook, settings and commands of both stacks."""
    layout = StackLayout.main()
    everything = compose_texts(layout) | runbook(layout.plan(COMPOSE))
    assert default_ports(everything) == set()
    assert default_ports(native_texts(layout, all_servers)) == set()
    links = {layout.address(name) for name in ("console", "grafana", "prometheus", "alertmanager")}
    assert links <= pages(everything.values())
    assert "localhost:" not in SERVICES.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "console", "https"),
    [
        ("https://ops.example.org", "https://ops.example.org:8280", "https://ops.example.org:8643"),
        ("http://{page}.example.org/", "http://console.example.org", "https://api.example.org"),
        (
            "https://[2001:db8::1]:{port}",
            "https://[2001:db8::1]:8280",
            "https://[2001:db8::1]:8643",
        ),
        ("", "http://localhost:8280", "https://localhost:8643"),
    ],
)
def test_pages_have_their_public_urls(
    monkeypatch: pytest.MonkeyPatch, given: str, console: str, https: str
) -> None:
    """A machine has a port for each page; a proxy before it may have a name for each."""
    monkeypatch.setenv(SETTING, given)
    layout = StackLayout.main()
    assert (layout.address("console"), layout.address("tls")) == (console, https)
    assert layout.url("console") == "http://127.0.0.1:8280", "for processes of this machine"


def test_every_link_is_public(all_servers: dict[str, Server], tmp_path: Path) -> None:
    """The reader of a mail is on another machine; .env may have the setting."""
    (tmp_path / ".env").write_text(f"{SETTING}=https://{{page}}.example.org\n", encoding="utf-8")
    layout = StackLayout.main()
    everything = compose_texts(layout) | runbook(layout.plan(COMPOSE))
    assert {url for url in pages(everything.values()) if "localhost" in url} == set()
    native = native_texts(layout, all_servers)
    rules = (native["rules.yaml"], native["loki.yaml"], native["loki-rules/fake/rules.yaml"])
    assert pages(rules) == {
        f"https://{page}.example.org" for page in ("console", "api", "prometheus", "alertmanager")
    }
    for name in ("prometheus", "alertmanager"):
        assert f"--web.external-url=https://{name}.example.org" in native[name]
    for hosts in (everything["MAKE_UP_TRUSTED_HOSTS"], layout.trusted_hosts):
        assert hosts == "api.example.org,console.example.org", "else the console answers 400"


@pytest.mark.parametrize(
    "wrong",
    [
        "ops.example.org",
        "https://ops.example.org:443",  # of which page?
        "https://ops.example.org/{page}",
        "https://{name}.example.org",
        "https://{page.__class__}.example.org",
        "ftp://ops.example.org",
    ],
)
def test_invalid_public_url_is_named(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """With the setting, its value, and valid ones."""
    monkeypatch.setenv(SETTING, wrong)
    with pytest.raises(Invalid) as raised:
        public_url()
    assert f"{SETTING}: {wrong!r} is no address of pages" in str(raised.value)
    assert "fix: in the environment or .env, set one such as https://ops.example.org" in str(
        raised.value
    )


@pytest.mark.parametrize(
    "text",
    ["https://console.example.org", "localhost:1", "http://my-localhost:8080", "localhost:80801"],
)
def test_other_addresses_are_kept(text: str) -> None:
    """Only pages of the stack move."""
    assert replace_links(text, {8080: "https://console.example.org"}) == text
