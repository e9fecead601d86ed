"""`slo` and `console` of another service and its server, as users call them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from observability.commands import servers
from observability.devstack.layout import ROOT
from observability.drill.sandbox import free_ports
from observability.lib.http import Unreachable, poll
from observability.spec.loading import load_plan
from tests.metrics_apps import answering
from tests.observability.commands.other_server import BASIC, OtherServer, other_server
from tests.observability.commands.support import run
from tests.observability.compiler_support import SMALL, openapi_for
from tests.observability.lib.test_remote import CASES, SECRET, Wrong


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtherServer]:
    """Yield the other service's Prometheus."""
    with other_server(tmp_path_factory.mktemp("theirs")) as running:
        yield running


def test_slos_of_another_service_are_judged_by_its_server(server: OtherServer) -> None:
    """Catalogue, server below a path, credentials in a file; without them it says what to do."""
    for _ in poll(60, 0.5):
        result = run("slo", "--json", *server.options)
        [row] = json.loads(result.stdout)["slos"] if result.stdout else [{}]
        if row.get("verdict") == "met":
            break
    assert (row.get("slo"), row.get("verdict")) == ("things.list-availability", "met")
    assert result.returncode == 0
    refused = run("slo", *server.options[:4], "--header", f"Authorization: Basic x{BASIC}")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert f"Prometheus at {server.url} answers 401 Unauthorized" in refused.stderr
    assert "fix: send credentials with --header" in refused.stderr
    assert BASIC not in refused.stderr


def test_the_console_shows_another_service(server: OtherServer) -> None:
    """It needs nothing of the stack, and says which parts it does not have; no secret is shown."""
    address = f"127.0.0.1:{free_ports()['console']}"
    command = [sys.executable, "-m", "observability", "console", "--bind", address]
    log = server.folder / "console.log"
    environment = os.environ | {"EVARA_STACK_DIR": str(server.folder / "stack")}
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*command, *server.options], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        page = read_page(f"http://{address}/", until="No alert is firing")
        slo = httpx.get(f"http://{address}/slo/things.list-availability").text
        inbox = httpx.get(f"http://{address}/api/inbox")
        posted = httpx.post(f"http://{address}/api/inbox", json={})
        chart = httpx.get(f"http://{address}/charts/overview/8.svg")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert 'data-slo="things.list-availability"' in page
    assert f'<a href="{server.url}">Prometheus</a>' in page
    for text in (page, slo):
        assert "Not configured: the inbox and Alertmanager are parts of the stack" in text
        assert "does not answer</b>" not in text
        assert "make status" not in text
        assert "make logs" not in text
    assert inbox.status_code == posted.status_code == 404
    assert "the inbox is not configured" in inbox.json()["error"]
    assert chart.status_code == 200
    assert not (server.folder / "stack").exists()
    assert BASIC not in page + log.read_text(encoding="utf-8")


def read_page(url: str, until: str) -> str:
    """Return a page once it contains a text; fail after a minute."""
    page = ""
    for _ in poll(60, 0.3):
        try:
            page = httpx.get(url).text
        except httpx.HTTPError:
            continue
        if until in page:
            return page
    raise AssertionError(page)


@pytest.mark.parametrize("command", [("slo", "--prometheus"), ("check", "--metrics")])
@pytest.mark.parametrize("case", ["401", "429", "500", "redirect", "html", "close", "number"])
def test_a_wrong_answer_is_one_line(command: tuple[str, str], case: str) -> None:
    """Exit code 2, what, where and fix; nothing on stdout."""
    name, option = command
    header = ("--header", f"Authorization: Bearer {SECRET}")
    with answering(Wrong) as url:
        result = run(name, "--json", option, url.replace("//", "//me:word@") + f"/{case}", *header)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert f"at {url}/{case} " in result.stderr
    assert "; fix: " in result.stderr
    assert SECRET not in result.stderr
    assert "word" not in result.stderr
    if name == "slo":
        assert [part for part in CASES[case] if part not in result.stderr] == []


def test_the_console_says_why_there_are_no_numbers() -> None:
    """A wrong URL ends the command; of a server that does not answer the pages say so."""
    result = run("console", "--prometheus", "prometheus:9090")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "--prometheus: 'prometheus:9090' is no URL; fix: write scheme and host" in result.stderr


@pytest.mark.parametrize(
    "url",
    ["", "prometheus", "localhost:9090", "ftp://host", "http://", "http:///path", "https://[::1",
     "http://host:port", "http://host:99999", "http://a b", "//host", "http://\x00"],
)  # fmt: skip
def test_what_is_no_url_is_refused(url: str) -> None:
    """The message names the option and an example."""
    with pytest.raises(Unreachable, match=r"^--metrics: .* is no URL; fix: write .* https://"):
        servers.address("--metrics", url, ())


def test_a_wrong_url_with_a_password_is_not_shown() -> None:
    """It is what people write when they forget the scheme."""
    with pytest.raises(Unreachable) as error:
        servers.address("--prometheus", f"me:{SECRET}@host", ())
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    "line", [SECRET, f": {SECRET}", f"A b: {SECRET}", f"A: {SECRET}\n", "A: é"]
)
def test_wrong_headers_are_refused_without_showing_them(line: str, tmp_path: Path) -> None:
    """On the command line, and in a file, whose line is named."""
    if not line.endswith("\n"):
        with pytest.raises(Unreachable, match=r"^--header: is no header; fix: write") as error:
            servers.address("--prometheus", "http://host", (line,))
        assert SECRET not in str(error.value)
    path = tmp_path / "headers"
    path.write_text(f"A: b\n{line}\x01", encoding="utf-8")
    with pytest.raises(Unreachable, match=r"headers:\d: is no header; fix") as error:
        servers.address("--prometheus", "http://host", (f"@{path}",))
    assert SECRET not in str(error.value)


def test_headers_come_from_options_and_files(tmp_path: Path) -> None:
    """One per line, empty lines left out, in the order of the options."""
    path = tmp_path / "headers"
    path.write_text("Authorization: Bearer a b \n\nX-Scope-OrgID:shop\n", encoding="utf-8")
    address = servers.address("--prometheus", "http://host", ("A: 1", f"@{path}"))
    assert address
    expected = (("A", "1"), ("Authorization", "Bearer a b"), ("X-Scope-OrgID", "shop"))
    assert address.headers == expected
    assert "Bearer" not in repr(address)
    with pytest.raises(Unreachable, match=r"--header @gone: No such file or directory; fix"):
        servers.address("--prometheus", "http://host", ("@gone",))


def test_headers_without_a_server_are_refused() -> None:
    """They would go to the server of the stack."""
    result = run("slo", "--header", f"A: {SECRET}")
    assert result.returncode == 2
    assert "fix: name it with --prometheus URL" in result.stderr
    assert SECRET not in result.stderr


class Metrics(BaseHTTPRequestHandler):
    """A service's metrics page; it needs a key."""

    def do_GET(self) -> None:
        is_known = self.headers["Authorization"] == f"Bearer {SECRET}"
        body = b'# TYPE stock gauge\nstock{shelf="a"} 3\n'
        self.send_response(200 if is_known else 403)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_check_compares_the_metrics_page(tmp_path: Path) -> None:
    """Its problems are beside those of other checks, for people and as JSON."""
    catalogue, contract = tmp_path / "catalogue.yaml", tmp_path / "openapi.json"
    catalogue.write_text(SMALL + "drill: {route: things.list}\n", encoding="utf-8")
    contract.write_text(json.dumps(openapi_for(load_plan(catalogue))), encoding="utf-8")
    files = ("--catalogue", catalogue, "--openapi", contract, "--out", tmp_path / "out")
    assert run("generate", *files).returncode == 0
    with answering(Metrics) as url:
        page = (
            "--metrics",
            f"{url}/metrics?token=word",
            "--header",
            f"Authorization: Bearer {SECRET}",
        )
        checked = run("check", "--json", *files, *page)
        shown = run("check", *files, *page)
    assert checked.returncode == shown.returncode == 1
    found = json.loads(checked.stdout)
    assert {problem["check"] for problem in found["problems"]} == {"metrics"}
    assert found["notes"] == []
    assert f"{url}/metrics has no evara_http_request_duration_seconds_count" in shown.stderr
    assert "(metrics)" in shown.stderr
    assert "word" not in checked.stdout + shown.stderr
