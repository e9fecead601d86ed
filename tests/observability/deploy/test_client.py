"""The commands, and what they say when the other machine or the connection fails."""

import re
import signal
import subprocess

import psutil
import pytest

from observability.deploy import client
from tests.observability.deploy.support import (
    UNCHANGED,
    WAITS,
    Repository,
    current,
    deploy_tag,
    deploying,
    invoke,
)
from tests.ssh_host import NAME, SshHost
from tests.waiting import until


@pytest.mark.parametrize("ended", ["connection", "command"])
def test_release_goes_on_without_a_connection(
    host: SshHost, repository: Repository, ended: str
) -> None:
    """The client does not know its end, and says where it can be read."""
    v1 = repository.tag("v1")
    v2 = repository.tag("v2", WAITS)
    deploy_tag(host, "v1")
    with deploying(host, repository, "v2") as (command, go):
        if ended == "command":
            command.send_signal(signal.SIGINT)
        else:
            [ssh] = psutil.Process(command.pid).children()
            ssh.terminate()
        output, _ = command.communicate(timeout=60)
        assert command.returncode == 2
        assert f"the connection to {host.address} ended early" in output
        assert f"fix: see how it ended, then repeat: ssh {host.address} tail" in output
        assert current(host) == v1
        go.write_text("", "utf-8")
        until(lambda: current(host) == v2)
    until(lambda: f"is {v2}" in (host.evara / "deploy.log").read_text(encoding="utf-8"))


def test_host_that_does_not_begin_is_reported(
    host: SshHost,
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It is unknown, has an old Python or none, or runs another command."""
    repository.tag("v1")

    def reason() -> str:
        result = deploy_tag(host, "v1")
        assert (result.exit_code, UNCHANGED in result.stderr) == (1, True)
        assert not host.evara.exists()
        return result.stderr + capfd.readouterr().err

    with monkeypatch.context() as newer:
        newer.setattr(client, "START", client.START.replace("3, 11", "9, 9"))
        assert "python3 is older than" in reason()
    (host.programs / "python3").unlink()
    assert "exit code 127" in reason()
    server = host.folder / "sshd_config"
    server.write_text(server.read_text("utf-8") + "ForceCommand true\n", "utf-8")
    assert "exit code 0" in reason()
    host.config.write_text(host.config.read_text("utf-8").replace(NAME, "other"), "utf-8")
    assert f"{host.address} did not begin" in reason()


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (("deploy", "--ref", "v1"), "TO=user@machine"),
        (("deploy", "--to", "x"), "REF=tag"),
        (("rollback",), "TO=user@machine"),
    ],
)
def test_machine_and_tag_must_be_named(words: tuple[str, ...], fix: str) -> None:
    """Otherwise the command exits 2 and says how."""
    result = invoke(*words)
    assert (result.exit_code, f"fix: add {fix}" in result.stderr) == (2, True)


@pytest.mark.parametrize("ref", ["v9", "--help", "-o"])
def test_tag_must_exist(host: SshHost, repository: Repository, ref: str) -> None:
    """Nothing is sent; words of git are no options."""
    repository.tag("v1")
    result = deploy_tag(host, ref)
    assert result.exit_code == 1
    assert f"REF={ref} is no tag and no commit of this repository" in result.stderr
    assert not host.evara.exists()


@pytest.mark.parametrize("ref", ["release/1.0+é", "HEAD", "@"])
def test_name_of_a_release_is_a_tag_of_images(
    host: SshHost, repository: Repository, ref: str
) -> None:
    """Whatever characters the name of the commit has."""
    repository.tag("release/1.0+é")
    assert deploy_tag(host, ref).exit_code == 0
    commit = repository.git("rev-parse", "HEAD")[:12]
    names = {"release/1.0+é": "release-1.0-", "HEAD": "HEAD-", "@": ""}
    assert current(host).removesuffix(commit).rstrip("-") == names[ref].rstrip("-")
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", current(host))


def test_ssh_must_be_installed(
    repository: Repository, host: SshHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a sentence says how."""
    repository.tag("v1")
    monkeypatch.setattr(client.shutil, "which", lambda _: None)
    result = deploy_tag(host, "v1")
    assert (result.exit_code, "ssh is not on PATH; fix: sudo apt" in result.stderr) == (1, True)


def test_cut_archive_leaves_nothing(
    host: SshHost, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it ends; a whole one is accepted afterwards."""
    v1 = repository.tag("v1")
    v2 = repository.tag("v2")
    deploy_tag(host, "v1")
    archive = repository.git("archive", "--format=tar.gz", "--output=../archive", "v2")
    archive = (repository.folder.parent / "archive").read_bytes()
    for length in (0, 1, len(archive) // 2, len(archive) - 1):

        def send_part(_: str, ssh: "subprocess.Popen[bytes]", length: int = length) -> None:
            assert ssh.stdin
            ssh.stdin.write(archive[:length])
            ssh.stdin.close()

        with monkeypatch.context() as cut:
            cut.setattr(client, "send_archive", send_part)
            result = deploy_tag(host, "v2")
        assert result.exit_code == 1
        assert "✗ the archive did not arrive as a whole; nothing was changed" in result.stdout
        assert (current(host), host.releases()) == (v1, [v1])
    assert deploy_tag(host, "v2").exit_code == 0
    assert current(host) == v2
