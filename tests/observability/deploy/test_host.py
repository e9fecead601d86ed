"""Releases on a machine that a real sshd leads to."""

from pathlib import Path

import psutil
import pytest
from click.testing import Result

from observability.deploy import host as host_module
from observability.devstack.user_settings import RELEASE
from tests.observability.deploy.support import (
    FAILS,
    FAILS_LATE,
    UNCHANGED,
    WAITS,
    Repository,
    current,
    deploy_tag,
    deploying,
    roll_back,
)
from tests.ssh_host import SshHost, write_program
from tests.waiting import until


def test_release_is_deployed(
    host: SshHost, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the committed files, its version, and links to what releases share."""
    release = repository.tag("v1")
    (repository.folder / "tag").write_text("changed", encoding="utf-8")
    (repository.folder / "untracked").touch()
    monkeypatch.setenv("EVARA_WEBHOOK_URL", "https://user:secret@example.org")
    result = deploy_tag(host, "v1")
    assert result.exit_code == 0, result.output
    assert f"make up MODE=compose with EVARA_VERSION={release}\nworks\n" in result.stdout
    folder = host.evara / "releases" / release
    assert (host.evara / "current").resolve() == folder
    assert (folder / "tag").read_text(encoding="utf-8") == "v1"
    assert (folder / RELEASE).read_text(encoding="utf-8") == f"EVARA_VERSION={release}\n"
    assert not (folder / "untracked").exists()
    links = {path.name: path.resolve() for path in folder.iterdir() if path.is_symlink()}
    shared = {".env": ".env", ".stack": "state", "compose.override.yaml": "compose.override.yaml"}
    shared |= {"secrets": "secrets", "backups": "backups"}
    assert links == {link: host.evara / target for link, target in shared.items()}
    assert {(host.evara / name).stat().st_mode & 0o777 for name in ("", "secrets")} == {0o700}
    assert "secret@" not in (host.evara / "environment").read_text(encoding="utf-8")
    assert "works" in (host.evara / "deploy.log").read_text(encoding="utf-8")


def test_rollbacks_go_back_one_release_each(host: SshHost, repository: Repository) -> None:
    """A release that was left is not gone back to; secrets stay."""
    v1, v2, v3 = (repository.tag(f"v{number}") for number in (1, 2, 3))
    for tag in ("v1", "v2", "v3"):
        assert deploy_tag(host, tag).exit_code == 0
    secret = (host.evara / "secrets" / "key").read_text(encoding="utf-8")
    assert roll_back(host).exit_code == 0
    assert current(host) == v2
    assert deploy_tag(host, "v1").exit_code == 0
    assert roll_back(host).exit_code == 0
    assert current(host) == v2
    assert v3 not in host.releases()
    assert v1 in host.releases()
    assert (host.evara / "secrets" / "key").read_text(encoding="utf-8") == secret


def test_rollback_needs_an_earlier_release(
    host: SshHost, repository: Repository, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without one nothing is changed, and a sentence says so."""

    def check_refusal() -> None:
        result = roll_back(host)
        assert (result.exit_code, UNCHANGED in result.stderr) == (1, True)
        error = capfd.readouterr().err
        assert "has no release before the present one; fix: make deploy TO=" in error

    check_refusal()
    v1 = repository.tag("v1")
    for _ in range(2):  # a release is not before itself
        assert deploy_tag(host, "v1").exit_code == 0
    check_refusal()
    assert current(host) == v1


def test_a_release_is_sent_once(host: SshHost, repository: Repository) -> None:
    """Deployed again, `make up` runs in its folder; the release before it is the same."""
    v1, v2 = repository.tag("v1"), repository.tag("v2")
    deploy_tag(host, "v1")
    deploy_tag(host, "v2")
    marker = host.evara / "releases" / v2 / ".venv"
    marker.touch()
    assert "works" in deploy_tag(host, "v2").stdout
    assert marker.exists()
    assert roll_back(host).exit_code == 0
    assert current(host) == v1


def test_old_releases_are_removed_with_their_images(host: SshHost, repository: Repository) -> None:
    """The present one and the three before it stay; those that failed do not count."""
    releases = [repository.tag(f"v{number}") for number in range(6)]
    failed = repository.tag("failed", FAILS)
    for tag in ("v0", "failed", "v1", "v2", "v3", "v4", "v5"):
        assert deploy_tag(host, tag).exit_code == int(tag == "failed")
    assert host.releases() == releases[-4:]
    removed = (host.home / "docker.log").read_text(encoding="utf-8").splitlines()
    names = (failed, *releases[:2])
    assert removed == [f"image rm images-of-reference=*:{name}" for name in names]


@pytest.mark.parametrize("is_first", [True, False])
def test_release_that_fails_is_not_current(
    host: SshHost, repository: Repository, is_first: bool
) -> None:
    """`make up` has taken it back; its output was shown, and its failure is ours."""
    v1 = repository.tag("v1")
    v2 = repository.tag("v2", FAILS_LATE if is_first else FAILS)
    if not is_first:
        deploy_tag(host, "v1")
    result = deploy_tag(host, "v2")
    assert result.exit_code == 1
    reason = f"✗ {v2} failed, `current` is as before; fix: see above, or {host.evara}/deploy.log\n"
    for text in (result.stdout, (host.evara / "deploy.log").read_text(encoding="utf-8")):
        assert text.endswith(reason)
        assert ("a wait failed" if is_first else "the new api does not become healthy") in text
    assert current(host) == ("" if is_first else v1)


def test_release_that_fails_late_is_current(host: SshHost, repository: Repository) -> None:
    """Its containers serve when `make up` fails, so a rollback goes back from there."""
    v1 = repository.tag("v1")
    v2 = repository.tag("v2", FAILS_LATE)
    deploy_tag(host, "v1")
    result = deploy_tag(host, "v2")
    assert result.exit_code == 1
    assert f"{v2} serves, but a later step of `make up` failed" in result.stdout
    assert current(host) == v2
    assert roll_back(host).exit_code == 0
    assert current(host) == v1


LACKING = [  # program of the host, its text there or None without it, the sentence about it
    ("docker", None, "Docker is missing; fix: start Docker 20.10 or newer"),
    ("docker", "echo 19.3", "Docker 19.3 is too old; fix: start Docker 20.10 or newer"),
    (
        "docker",
        'case "$1" in compose) echo v2.24.5 ;; *) echo 20.10 ;; esac',
        "Docker Compose v2.24.5 is too old; fix: install Docker's Compose plugin",
    ),
    ("docker", "echo no engine >&2; exit 1", "Docker does not work: no engine; fix: start Docker"),
    ("make", None, "make is missing; fix: sudo apt install make"),
    ("git", None, "git is missing; fix: sudo apt install git"),
]


@pytest.mark.parametrize(("program", "text", "sentence"), LACKING)
def test_what_a_host_lacks_is_named(
    host: SshHost,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    text: str | None,
    sentence: str,
) -> None:
    """With what mends it; a host that lacks nothing has no problem."""
    monkeypatch.setenv("PATH", str(host.programs))
    assert list(host_module.find_problems("release")) == []
    (host.programs / program).unlink()
    if text:
        write_program(host.programs / program, f"#!/bin/sh\n{text}\n")
    assert next(host_module.find_problems("release")).startswith(f"✗ {sentence}")


def test_host_without_docker_is_left_alone(
    host: SshHost, repository: Repository, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is sent or changed; a release that serves is still current."""
    v1 = repository.tag("v1")
    repository.tag("v2")
    hidden = host.folder / "docker"

    def check_refusal(command: Result) -> None:
        assert (command.exit_code, UNCHANGED in command.stderr) == (1, True)
        assert "✗ Docker is missing; fix: start Docker 20.10 or newer" in capfd.readouterr().err

    (host.programs / "docker").rename(hidden)
    check_refusal(deploy_tag(host, "v1"))
    assert not host.evara.exists()
    hidden.rename(host.programs / "docker")
    deploy_tag(host, "v1")
    (host.programs / "docker").rename(hidden)
    check_refusal(deploy_tag(host, "v2"))
    check_refusal(roll_back(host))
    assert (current(host), host.releases()) == (v1, [v1])


def test_all_that_a_host_lacks_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In one message, with the space on its disk, which a rollback does not need."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(host_module, "NEEDED_MEGABYTES", 1 << 40)
    problems = list(host_module.find_problems("release"))
    names = ("Docker", "Docker Compose", "git", "make", "venv")
    assert [text.partition(" is missing")[0][2:] for text in problems[:-1]] == [*names]
    assert problems[-1].endswith(f"MB free; fix: make it {1 << 40} MB")
    assert len(list(host_module.find_problems("rollback"))) == len(names)


def test_engine_that_hangs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check of the host ends."""
    monkeypatch.setattr(host_module, "QUERY_SECONDS", 0.1)
    problem = host_module.find_problem("Docker", "sleep 60", (), "start it")
    assert problem == "✗ Docker does not answer; fix: start it"


def test_second_deploy_is_refused_while_the_first_runs(
    host: SshHost, repository: Repository, capfd: pytest.CaptureFixture[str]
) -> None:
    """So is a rollback; the first ends as if it were alone."""
    repository.tag("v1")
    v2 = repository.tag("v2", WAITS)
    deploy_tag(host, "v1")
    with deploying(host, repository, "v2") as (first, go):
        for second in (lambda: deploy_tag(host, "v1"), lambda: roll_back(host)):
            result = second()
            assert (result.exit_code, UNCHANGED in result.stderr) == (1, True)
            assert "✗ another deploy or rollback runs there; fix: wait" in capfd.readouterr().err
        go.write_text("", "utf-8")
        output, _ = first.communicate(timeout=60)
        assert first.returncode == 0, output
    assert current(host) == v2


def test_lock_is_held_as_long_as_make_up_runs(
    host: SshHost, repository: Repository, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also if the process that has started it is killed."""
    repository.tag("v1")
    v2 = repository.tag("v2", WAITS)
    deploy_tag(host, "v1")
    with deploying(host, repository, "v2") as (client, go):
        [process] = [
            process
            for process in psutil.Process(client.pid).children(recursive=True)
            if process.cmdline()[-2:] == ["release", v2] and "-Ic" in process.cmdline()
        ]
        process.kill()
        client.communicate(timeout=60)
        assert deploy_tag(host, "v1").exit_code == 1
        assert "another deploy or rollback runs there" in capfd.readouterr().err
        go.write_text("", "utf-8")
    until(lambda: deploy_tag(host, "v1").exit_code == 0)
