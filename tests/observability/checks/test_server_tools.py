"""The servers' own tools: what they refuse is a problem; missing tools are reported."""

import os
import shutil
from pathlib import Path

import pytest

from observability.checks.server_tools import run_tools
from observability.devstack.layout import servers_folder
from observability.devstack.packages import search_path
from observability.generate import alertmanager, prometheus, registry


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of the committed files that the tools read, without the slow cases."""
    for path in (prometheus.RULES, alertmanager.CONFIG):
        (tmp_path / registry.GENERATED / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(registry.ROOT / registry.GENERATED / path, tmp_path / registry.GENERATED / path)
    return tmp_path


def test_a_problem_quotes_promtool(tree: Path) -> None:
    """promtool rejects an invalid rule file; the problem has its message."""
    path = tree / registry.GENERATED / prometheus.RULES
    path.write_text(
        path.read_text(encoding="utf-8").replace("clamp_max(", "clamp_most(", 1), encoding="utf-8"
    )
    problems, missing = run_tools(tree, search_path(servers_folder()))
    assert missing == []
    assert [p.where for p in problems] == [f"{registry.GENERATED}/{prometheus.RULES}"]
    assert "promtool says" in problems[0].message
    assert "clamp_most" in problems[0].message


def test_a_problem_quotes_amtool(tree: Path) -> None:
    """amtool rejects a route to an unknown receiver; the problem has its message."""
    path = tree / registry.GENERATED / alertmanager.CONFIG
    path.write_text(
        path.read_text(encoding="utf-8").replace(
            "receiver: upstream-ticket", "receiver: nobody", 1
        ),
        encoding="utf-8",
    )
    problems, _ = run_tools(tree, search_path(servers_folder()))
    assert [p.where for p in problems] == [f"{registry.GENERATED}/{alertmanager.CONFIG}"]
    assert "nobody" in problems[0].message


def test_missing_tools_are_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that did not run is not reported as passed."""
    monkeypatch.setenv("PATH", str(tree))
    assert run_tools(tree, os.pathsep.join([str(tree), "/nowhere"])) == (
        [],
        ["promtool", "amtool"],
    )


@pytest.mark.parametrize(("code", "problems"), [(0, 0), (1, 1)])
def test_loki_verifies_its_configuration_where_it_is_installed(
    code: int, problems: int, tree: Path
) -> None:
    """The problem quotes Loki's output."""
    program = tree / "loki"
    program.write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n', encoding="utf-8")
    program.chmod(0o755)
    complaints, _ = run_tools(tree, search_path(servers_folder()), program)
    assert [p.where for p in complaints] == [f"{registry.GENERATED}/loki/loki.yaml"] * problems
    assert all("loki says: -verify-config -config.expand-env=true" in p.message for p in complaints)


def test_servers_accept_the_generated_files(tmp_path: Path) -> None:
    """promtool and amtool check the committed files; the cases of only one tier run here."""
    others = shutil.ignore_patterns("T[1-9].yaml", "others.yaml", "healthy.yaml")
    shutil.copytree(
        registry.ROOT / registry.GENERATED, tmp_path / registry.GENERATED, ignore=others
    )
    assert run_tools(tmp_path, search_path(servers_folder())) == ([], [])
