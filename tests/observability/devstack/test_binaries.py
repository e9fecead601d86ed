"""Servers are searched on PATH, then among unpacked ones."""

from pathlib import Path

import pytest

from observability.devstack import binaries
from observability.devstack.binaries import Server
from observability.devstack.packages import MissingServers
from tests.observability.devstack.executables import executable, printing


def test_path_comes_before_unpacked_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server on PATH is preferred, then an unpacked one; without either there is none."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert binaries.find_server("alertmanager", tmp_path / "s") is None
    unpacked = executable(tmp_path / "s" / "root" / "usr" / "bin" / "prometheus-alertmanager")
    assert binaries.find_server("alertmanager", tmp_path / "s") == unpacked
    on_path = executable(tmp_path / "bin" / "alertmanager")
    assert binaries.find_server("alertmanager", tmp_path / "s") == on_path


def test_without_apt_the_error_names_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other distributions cannot unpack Debian's packages."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingServers, match="apt-get is missing; fix: install prometheus"):
        binaries.ensure_servers(tmp_path, lambda _: None)


def test_existing_servers_are_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is printed."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in binaries.SERVERS:
        executable(tmp_path / "bin" / name)
    said: list[str] = []
    servers = binaries.ensure_servers(tmp_path / "s", said.append)
    assert {name: server.path.name for name, server in servers.items()} == {
        name: name for name in binaries.SERVERS
    }
    assert said == []


def test_loki_and_fluent_bit_are_used_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One alone is not used; both are identified by their version output."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    printing(tmp_path / "loki", "loki, version 3.7.6 (branch: x)")
    printing(tmp_path / "fluent-bit", "something else")
    assert binaries.find_log_server("loki") == tmp_path / "loki"
    assert binaries.find_log_server("fluent-bit") is None
    assert binaries.log_servers() == {}
    printing(tmp_path / "fluent-bit", "Fluent Bit v5.1.2")
    assert binaries.log_servers() == {
        name: Server(tmp_path / name) for name in ("loki", "fluent-bit")
    }


@pytest.mark.parametrize(
    "script",
    ["#!/bin/sh\necho 'LOKI genetics, version 2'\n", "#!/bin/sh\nexit 1\n", "no program at all"],
)
def test_another_program_called_loki_is_ignored(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's is a genetics program; a file that cannot be executed is ignored, too."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    executable(tmp_path / "loki").write_text(script, encoding="utf-8")
    assert binaries.find_log_server("loki") is None


def test_an_unpacked_alertmanager_runs_in_its_wrapper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that shows it its templates precedes its own."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "template_wrapper", lambda *_: ("unshare", "-rm", "x"))
    for name in binaries.SERVERS:
        executable(tmp_path / name)
    server = binaries.ensure_servers(tmp_path, lambda _: None)["alertmanager"]
    assert server.command("--x") == ["unshare", "-rm", "x", f"{tmp_path}/alertmanager", "--x"]
