"""Planted secrets, in the tree and in the history, are found by the real scanner."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from observability.audit import secret_scan
from observability.audit.advisories import Advisories
from observability.audit.results import CouldNotTell, run_tool
from observability.devstack.layout import ROOT
from tests.observability.audit.repository import Repository

NOBODY = Advisories("")  # whom this check asks


def test_a_secret_in_the_tree_is_found(repository: Repository, token: str) -> None:
    """In a file that nobody has committed yet; the secret itself is not printed."""
    assert secret_scan.check(repository.root, NOBODY).verdict == "fine"
    repository.write("deploy/settings.py", f'\nGITHUB_TOKEN = "{token}"\n')
    result = secret_scan.check(repository.root, NOBODY)
    (finding,) = result.findings
    assert result.verdict == "not fine"
    assert finding.where == "deploy/settings.py:2"
    assert token not in f"{finding}"
    assert f"accept {finding.ids[0]} in observability/audit.yaml" in finding.fix


def test_a_secret_in_the_history_is_found(repository: Repository, token: str) -> None:
    """Also when a later commit removed the file and ignores it, and on another branch."""
    repository.git("checkout", "--quiet", "-b", "other")
    repository.write(".env", f"GITHUB_TOKEN={token}\n")
    repository.commit()
    commit = repository.git("rev-parse", "HEAD")[:12]
    repository.git("rm", "--quiet", ".env")
    repository.write(".gitignore", ".env\n")
    repository.commit()
    repository.git("checkout", "--quiet", "-")
    (finding,) = secret_scan.check(repository.root, NOBODY).findings
    assert finding.where == f".env:1 in commit {commit}"


def test_one_secret_in_many_places_is_one_finding(repository: Repository, token: str) -> None:
    """Its id depends on the secret alone, so that one entry accepts it everywhere."""
    for name in ("a.txt", "b.txt"):
        repository.write(name, f"GITHUB_TOKEN={token}\n")
    repository.commit()
    (finding,) = secret_scan.check(repository.root, NOBODY).findings
    repository.write("c.txt", f"# {token}\n")
    (again,) = secret_scan.check(repository.root, NOBODY).findings
    assert finding.ids == again.ids


def test_ignored_files_may_have_secrets(repository: Repository, token: str) -> None:
    """Those of the stack are in such files; comments in a file ignore nothing."""
    repository.write(".gitignore", "secrets/\n")
    repository.write("secrets/key", f"GITHUB_TOKEN={token}\n")
    assert secret_scan.check(repository.root, NOBODY).verdict == "fine"
    repository.write("key", f"GITHUB_TOKEN={token} # kingfisher:ignore\n")
    assert secret_scan.check(repository.root, NOBODY).verdict == "not fine"


def test_an_incomplete_history_cannot_tell(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A shallow clone is no proof."""
    repository.write("second", "commit")
    repository.commit()
    clone = tmp_path_factory.mktemp("shallow") / "clone"
    command = ["git", "clone", "--quiet", "--depth=1", repository.root.as_uri(), str(clone)]
    subprocess.run(command, check=True)
    with pytest.raises(CouldNotTell, match="fix: git fetch --unshallow"):
        secret_scan.check(clone, NOBODY)


def test_without_git_or_scanner_nothing_can_be_told(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without history, a failing scanner, and a missing one."""
    with pytest.raises(CouldNotTell, match=r"(?s)git failed: .*fix: .*, in a clone"):
        secret_scan.check(Path("/"), NOBODY)
    monkeypatch.setattr(secret_scan, "OPTIONS", ("--no-such-option",))
    with pytest.raises(CouldNotTell, match=r"(?s)kingfisher failed: .+; fix: make .venv/audit"):
        secret_scan.check(repository.root, NOBODY)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(CouldNotTell, match=r"kingfisher is not installed; fix: make .venv/audit"):
        secret_scan.check(repository.root, NOBODY)


def test_a_file_that_could_not_be_read_cannot_tell(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scanner itself would exit 0."""
    counts = {"discovered": 2, "scan_succeeded": 1, "scan_failed": 1}
    report = json.dumps({"audit": {"summary": counts}, "findings": []})
    monkeypatch.setattr(secret_scan, "run_tool", lambda *_, **__: report)
    with pytest.raises(CouldNotTell, match="could not read everything"):
        secret_scan.scan(repository.root)


def test_the_files_of_this_repository_have_no_secret() -> None:
    """No entry of audit.yaml is about a file of today; they are about the history."""
    names = run_tool(ROOT, "git", *secret_scan.TREE).split("\0")
    files = [name for name in names if (ROOT / name).is_file()]
    hits = secret_scan.scan(ROOT, "--git-history=none", *files)
    assert list(map(secret_scan.describe, hits)) == []
