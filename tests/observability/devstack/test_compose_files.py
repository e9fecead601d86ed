"""Copies of the files that servers of the compose stack read."""

import errno
import os
import stat
from pathlib import Path

import pytest
import yaml

from observability.devstack import compose_files
from observability.devstack.compose_files import (
    file_texts,
    install_files,
    prepare_files,
    restore_files,
)
from observability.devstack.compose_secrets import make_secrets
from observability.devstack.compose_settings import files_folder
from observability.devstack.layout import ROOT, StackLayout
from observability.devstack.steps import StackError
from observability.spec.loading import load_plan

GENERATED = ROOT / "observability" / "generated"


def texts(layout: StackLayout) -> dict[str, str]:
    """Return the text of each mounted file."""
    folder = files_folder(layout)
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def running(layout: StackLayout, monkeypatch: pytest.MonkeyPatch) -> StackLayout:
    """Return a stack whose containers have mounted the files of an earlier release."""
    with monkeypatch.context() as earlier:
        old = {"loki/loki.yaml": "old", "loki/gone.yaml": "old", "loki/former/a": "old"}
        earlier.setattr(compose_files, "file_texts", lambda *_: old)
        prepare_files(layout, load_plan())
        install_files(layout)
    return layout


def test_files_are_those_of_the_code() -> None:
    """Each hand-written and each generated file of a server of the compose stack is mounted."""
    copies = sorted(file_texts(load_plan(), frozenset()).values())
    sources = [path for path in compose_files.SOURCES.rglob("*") if path.name != "settings.yaml"]
    for folder in ("alertmanager", "grafana", "loki", "postgres"):
        sources += (GENERATED / folder).rglob("*")
    sources += [GENERATED / "prometheus" / "rules.yaml", GENERATED / "fluent-bit" / "docker.yaml"]
    wanted = {path.read_text(encoding="utf-8") for path in sources if path.is_file()}
    assert {*copies} == wanted


def test_new_files_are_mounted_when_they_are_installed(running: StackLayout) -> None:
    """A release that fails before has changed none; files that it does not have are removed."""
    before = texts(running)
    loki = files_folder(running) / "loki"
    folder = loki.stat().st_ino
    prepare_files(running, load_plan())
    assert texts(running) == before
    install_files(running)
    assert texts(running) == file_texts(load_plan(), frozenset())
    assert not (loki / "former").exists()
    assert loki.stat().st_ino == folder, "containers mount this folder"
    folders = {path.name for path in files_folder(running).parent.iterdir()}
    assert folders == {"files", "files.old"}


def test_containers_may_read_the_files(layout: StackLayout) -> None:
    """Whatever the umask is; nobody else on this machine gets into the folder."""
    before = os.umask(0o077)
    try:
        prepare_files(layout, load_plan())
        install_files(layout)
    finally:
        os.umask(before)
    folder = files_folder(layout)
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o755 if path.is_dir() or path.suffix == ".sh" else 0o644), path
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


def test_full_disk_changes_no_mounted_file(
    running: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does what it leaves disturb the next `up`."""
    before = texts(running)
    written: list[Path] = []
    write = Path.write_text

    def fill(path: Path, text: str, **options: str) -> int:
        written.append(path)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, text, **options)

    with monkeypatch.context() as full_disk:
        full_disk.setattr(Path, "write_text", fill)
        with pytest.raises(OSError, match="No space left"):
            prepare_files(running, load_plan())
    assert texts(running) == before
    (compose_files.draft_folder(running) / "loki").mkdir()
    (compose_files.draft_folder(running) / "loki" / "of a former draft").touch()
    prepare_files(running, load_plan())
    install_files(running)
    assert texts(running) == file_texts(load_plan(), frozenset())


def test_files_of_a_service_are_put_back(running: StackLayout) -> None:
    """Also when they are put back twice; those of other services, and new ones, are kept."""
    before = texts(running)
    prepare_files(running, load_plan())
    install_files(running)
    new = texts(running)
    for service in ("loki", "loki", "gateway"):
        restore_files(running, service)
    kept = {name: text for name, text in new.items() if not name.startswith("loki/")}
    assert texts(running) == before | kept


def test_file_that_cannot_be_replaced_is_named(running: StackLayout) -> None:
    """As a file that Docker has made, because a mounted one was missing."""
    prepare_files(running, load_plan())
    (files_folder(running) / "valkey" / "valkey.conf" / "x").mkdir(parents=True)
    with pytest.raises(StackError, match=r"valkey\.conf: .*; fix: correct the cause, then make up"):
        install_files(running)


def test_integrations_need_their_secret(layout: StackLayout, tmp_path: Path) -> None:
    """Empty files are no secrets; one that is filled joins at the next `up`."""
    make_secrets(tmp_path / "secrets")
    plan = load_plan()
    path = GENERATED / "alertmanager" / "alertmanager.yaml"
    generated = yaml.safe_load(path.read_text(encoding="utf-8"))

    def config() -> str:
        prepare_files(layout, plan)
        install_files(layout)
        return texts(layout)["alertmanager/alertmanager.yaml"]

    assert yaml.safe_load(config()) == generated
    (tmp_path / "secrets" / "deadman_url").write_text("https://deadman.example/1", encoding="utf-8")
    assert "url_file: /run/secrets/deadman_url" in config()
