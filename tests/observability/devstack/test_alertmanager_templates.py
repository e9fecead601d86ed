"""Three ways to show an unpacked Alertmanager its templates, in their order."""

from pathlib import Path

import pytest

from observability.devstack import alertmanager_templates
from observability.devstack.alertmanager_templates import template_wrapper
from observability.devstack.packages import MissingServers
from tests.observability.devstack.executables import executable


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with unpacked templates, which are nowhere else."""
    templates = tmp_path / "share" / "alertmanager"
    monkeypatch.setattr(alertmanager_templates, "TEMPLATES", templates)
    unpacked = tmp_path / "s" / "root" / "usr" / "share" / "prometheus" / "alertmanager"
    unpacked.mkdir(parents=True)
    return tmp_path / "s"


@pytest.fixture
def server(folder: Path) -> Path:
    """Return the unpacked Alertmanager."""
    return executable(folder / "root" / "usr" / "bin" / "alertmanager")


def test_existing_templates_need_no_wrapper(server: Path, folder: Path) -> None:
    """Nor does a server of the system's own."""
    assert template_wrapper(Path("/usr/bin/alertmanager"), folder) == ()
    alertmanager_templates.TEMPLATES.mkdir(parents=True)
    assert template_wrapper(server, folder) == ()


def test_overlay_is_preferred(server: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server sees its templates, and no other process does."""
    monkeypatch.setattr(alertmanager_templates, "succeeds", lambda words: "unshare" in words[0])
    monkeypatch.setattr(alertmanager_templates.shutil, "which", lambda name, **_: f"/bin/{name}")
    assert template_wrapper(server, folder)[:3] == ("unshare", "-rm", "sh")


@pytest.mark.parametrize("user", [0, 1000])
def test_root_creates_a_temporary_link(
    user: int, server: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any other user the error says what to install."""
    monkeypatch.setattr(alertmanager_templates, "succeeds", lambda _: False)
    monkeypatch.setattr(alertmanager_templates.os, "geteuid", lambda: user)
    if user:
        with pytest.raises(MissingServers, match="install prometheus-alertmanager"):
            template_wrapper(server, folder)
        return
    assert template_wrapper(server, folder) == ()
    assert alertmanager_templates.TEMPLATES.is_symlink()
    alertmanager_templates.remove_template_link(tmp_path / "another")
    assert alertmanager_templates.TEMPLATES.is_symlink()
    alertmanager_templates.remove_template_link(folder)
    assert not alertmanager_templates.TEMPLATES.is_symlink()
