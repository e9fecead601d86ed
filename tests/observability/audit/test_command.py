"""`audit`: a row for each check, every finding with its fix, and the exit code."""

import json

import pytest
from click.testing import CliRunner, Result

from observability.__main__ import cli
from observability.audit import images, sbom
from observability.audit.results import CouldNotTell, judge
from observability.commands import audit as command
from tests.observability.audit.repository import Repository
from tests.osv_server import OsvServer, advisory
from tests.serving import free_port


def audit(*words: str) -> Result:
    """Run the command in this process, without colours."""
    return CliRunner(env={"NO_COLOR": "1"}).invoke(cli, ["audit", *words])


@pytest.fixture(autouse=True)
def audited(monkeypatch: pytest.MonkeyPatch, repository: Repository) -> None:
    """Audit a small repository, and an image with nothing in it."""
    monkeypatch.setattr(command, "ROOT", repository.root)
    monkeypatch.setattr(images, "check", lambda *_: judge("image", "0 packages", []))
    monkeypatch.setattr(sbom, "OPTIONS", ("--no-validate",))  # takes seconds per document


def test_nothing_found_is_fine(osv: OsvServer) -> None:
    """Each check has a row; exit 0."""
    result = audit("--osv", osv.url)
    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        [name, "fine:"] for name in [*command.CHECKS, "accepted"]
    ]


def test_every_check_runs_although_one_finds_something(
    repository: Repository, osv: OsvServer, token: str
) -> None:
    """A vulnerable package and a secret: both are printed with a fix; exit 1."""
    osv.advisories = [advisory("PyPI", "flask", "3.1.0", "PYSEC-1", fixed="3.1.1")]
    repository.write("key", f"GITHUB_TOKEN={token}\n")
    result = audit("--osv", osv.url)
    assert result.exit_code == 1
    verdicts = [line[12:].partition(":")[0] for line in result.stdout.splitlines()]
    assert verdicts == ["not fine", "fine", "not fine", "fine", "fine"]
    assert "flask 3.1.0: PYSEC-1: a hole in flask" in result.stderr
    assert "✗ key:1" in result.stderr
    assert result.stderr.endswith("\n5 problems\n")  # four locks and a file
    assert token not in result.output


def test_an_unreachable_source_is_no_green(repository: Repository, token: str) -> None:
    """The row says why and what to do; exit 2, or 1 when another check found something."""
    url = f"http://127.0.0.1:{free_port()}"
    result = audit("--osv", url)
    assert result.exit_code == 2
    row = next(line for line in result.stdout.splitlines() if "packages" in line)
    assert row.startswith("  packages  unknown: ")
    assert f"the advisories at {url} cannot be read" in row
    assert "fix: let this machine connect" in row
    repository.write("key", f"GITHUB_TOKEN={token}\n")
    assert audit("--osv", url).exit_code == 1


def test_checks_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that need no advisories work without a network."""

    def fail(*_: object) -> None:
        raise CouldNotTell("no\nengine; fix: start it")

    monkeypatch.setattr(images, "check", fail)
    result = audit("--only", "secrets", "--only", "sbom")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 3)
    result = audit("--only", "image")
    assert result.exit_code == 2
    assert "  image     unknown: no engine; fix: start it\n" in result.stdout


def test_json_has_the_same_verdicts(osv: OsvServer) -> None:
    """With the ids under which a finding can be accepted."""
    osv.advisories = [advisory("PyPI", "flask", "3.1.0", "PYSEC-1", "CVE-1")]
    result = audit("--osv", osv.url, "--only", "packages", "--json")
    assert result.exit_code == 1
    check, _ = json.loads(result.stdout)["checks"]
    assert (check["check"], check["verdict"]) == ("packages", "not fine")
    assert check["findings"][0]["ids"] == ["PYSEC-1", "CVE-1"]


def test_a_wrong_file_of_accepted_findings_stops_it(repository: Repository) -> None:
    """With its line and a fix, as for the catalogue."""
    repository.write("observability/audit.yaml", "accepted: [{check: packages}]\n")
    result = audit()
    assert (result.exit_code, result.stdout) == (1, "")
    assert "audit.yaml:1: accepted.0.id: is missing" in result.stderr
    assert "docs/operations.md" in result.stderr
