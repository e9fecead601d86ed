"""up, down, clean and logs of the compose stack, without Docker."""

import errno
from pathlib import Path

import pytest

from observability.devstack import compose, containers
from observability.devstack.compose_files import draft_folder
from observability.devstack.compose_secrets import USER_SECRETS, make_secrets
from observability.devstack.compose_settings import files_folder
from observability.devstack.layout import StackLayout, filled_secrets
from observability.devstack.steps import StackError, Steps
from observability.spec.plan import Plan
from tests.observability.devstack.conftest import HEALTHY, FakeDocker


def test_up_without_an_engine_suggests_native(
    layout: StackLayout, plan: Plan, docker: FakeDocker
) -> None:
    """`up` with containers but without an engine names the native mode."""
    docker.fails = lambda _: True
    with pytest.raises(StackError, match=r"no Docker engine answers; .* make up MODE=native"):
        compose.up(layout, plan, Steps(lambda _: None))


def test_failed_start_is_recorded_as_compose(
    layout: StackLayout, plan: Plan, docker: FakeDocker
) -> None:
    """`make logs` then shows the reason."""
    docker.fails = lambda words: "up" in words
    log = layout.state / "compose" / "up.log"
    with pytest.raises(StackError, match=rf"docker compose up failed:\n    \n  fix: read {log}"):
        compose.up(layout, plan, Steps(lambda _: None))
    assert layout.mode == "compose"
    assert filled_secrets(layout.state / "compose") == {"evara"}


def test_a_useless_certificate_stops_up_before_it_starts(
    layout: StackLayout, plan: Plan, docker: FakeDocker, tmp_path: Path
) -> None:
    """The message names the file and the fix; no container was changed."""
    make_secrets(tmp_path / "secrets")
    pem = tmp_path / "secrets" / "certificates" / "site.pem"
    pem.write_text("-----BEGIN CERTIFICATE-----", encoding="utf-8")
    with pytest.raises(StackError, match=rf"{pem} cannot be used .*no private key; no container"):
        compose.up(layout, plan, Steps(lambda _: None))
    assert not docker.commands_with("up")


@pytest.mark.parametrize("occupied", ["secrets", "state"])
def test_a_folder_that_cannot_be_written_stops_up_before_it_starts(
    layout: StackLayout, plan: Plan, docker: FakeDocker, tmp_path: Path, occupied: str
) -> None:
    """The message names it, and no traceback is shown."""
    path = tmp_path / occupied
    if occupied == "state":
        path.mkdir()
        path = path / "compose"
    path.write_text("a file is here", encoding="utf-8")
    with pytest.raises(StackError, match=rf"{path}.*: .* no container was changed; fix: let this"):
        compose.up(layout, plan, Steps(lambda _: None))
    assert not docker.commands_with("up")


def test_a_full_disk_leaves_no_empty_secret(
    layout: StackLayout,
    plan: Plan,
    docker: FakeDocker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next `up` would take an empty file for a password."""

    def fill(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full_disk:
        full_disk.setattr(Path, "write_text", fill)
        with pytest.raises(StackError, match="No space left"):
            compose.up(layout, plan, Steps(lambda _: None))
    assert not docker.commands_with("up")
    make_secrets(tmp_path / "secrets")
    empty = set(USER_SECRETS) | {"certificates"}
    written = filled_secrets(tmp_path / "secrets") - {"certificates"}
    assert written.isdisjoint(empty)
    assert {path.name for path in (tmp_path / "secrets").iterdir()} <= written | empty


def test_containers_that_compose_replaced_are_not_restarted(
    layout: StackLayout, plan: Plan, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have started with the present files; PostgreSQL would be down twice."""
    folders = {name: files_folder(layout) / name for name in ("postgres", "valkey")}
    docker.config["services"] = {
        name: {"volumes": [{"type": "bind", "source": str(folder)}]}
        for name, folder in folders.items()
    }

    def recreate(*_: str) -> None:
        docker.containers = [HEALTHY | {"Service": "valkey"}]
        docker.containers.append({"Service": "postgres", "ID": str(len(docker.commands))})

    monkeypatch.setattr(compose, "run_logged", recreate)
    for text in ("old", "new"):
        compose.write_files(layout, plan)
        for name in folders:
            (draft_folder(layout) / name / "added").write_text(text, encoding="utf-8")
        compose.start_containers(layout, ())
    assert docker.commands_with("restart") == [("compose", "restart", "valkey")]


def test_a_stack_of_ended_containers_is_down(layout: StackLayout, docker: FakeDocker) -> None:
    """Containers that ended do not count as running, but `down` removes them."""
    docker.containers = [HEALTHY | {"State": "exited", "Health": ""}]
    assert containers.processes(layout) == []
    assert compose.down(layout)
    assert docker.commands_with("down")
    docker.containers = []
    assert not compose.down(layout)


def test_logs_name_the_known_services(layout: StackLayout, docker: FakeDocker) -> None:
    """An unknown name gives an error with the known ones."""
    docker.containers = [HEALTHY]
    assert list(compose.tail(layout, "api", 5)) == ["api-1  | a line"]
    assert "--tail=5" in docker.commands_with("logs")[-1]
    with pytest.raises(StackError, match="there is no log of 'ap'; known: api"):
        list(compose.tail(layout, "ap", 5))


def test_commands_on_what_runs_read_no_file_of_the_next_release(
    layout: StackLayout, docker: FakeDocker
) -> None:
    """It may need settings that the next `up` writes."""
    docker.fails = lambda words: words[:2] != ("compose", "--project-name")
    docker.containers = [HEALTHY]
    assert containers.processes(layout)
    assert list(compose.tail(layout, "api", 5)) == ["api-1  | a line"]
    assert compose.down(layout)
    compose.clean(layout)


def test_a_failed_end_is_no_end(layout: StackLayout, docker: FakeDocker) -> None:
    """What the stack wrote stays, so that the command can be repeated."""
    layout.remember_mode("compose")
    docker.fails = lambda words: "down" in words
    for command in (compose.down, compose.clean):
        with pytest.raises(StackError, match=r"compose down failed; fix: .* above, then repeat"):
            command(layout)
    assert layout.mode == "compose"
    docker.fails = lambda words: "logs" in words
    with pytest.raises(StackError, match="the logs cannot be read: because; fix: "):
        list(compose.tail(layout, None, 5))


def test_clean_removes_volumes_and_keeps_secrets(
    layout: StackLayout, docker: FakeDocker, tmp_path: Path
) -> None:
    """The stack's folder and data are deleted; the user's secrets stay."""
    make_secrets(tmp_path / "secrets")
    layout.remember_mode("compose")
    assert compose.clean(layout) == [layout.state]
    assert "--volumes" in docker.commands_with("down")[-1]
    assert (tmp_path / "secrets" / "load_key").exists()
