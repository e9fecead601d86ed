"""The settings that `make up` writes for Compose."""

import os
from pathlib import Path

import pytest

from observability.devstack import user_settings
from observability.devstack.compose_secrets import make_secrets
from observability.devstack.compose_settings import USER, stack_settings
from observability.devstack.layout import StackLayout


@pytest.mark.parametrize(("user", "wanted"), [(0, USER), (1234, 1234)])
def test_containers_run_as_the_owner_of_the_secrets(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch, user: int, wanted: int
) -> None:
    """Never as root; a user that is set already, as for a rootless engine, is kept."""
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr(os, "getgid", lambda: user)
    settings = stack_settings(layout)
    assert (settings["MAKE_UP_UID"], settings["MAKE_UP_GID"]) == (str(wanted), str(wanted))
    monkeypatch.setenv("EVARA_UID", "0")
    assert stack_settings(layout)["MAKE_UP_UID"] == "0"


def test_settings_have_ports_secrets_and_certificates(layout: StackLayout, tmp_path: Path) -> None:
    """The variables are those of the stack; TLS is on when there is a certificate."""
    make_secrets(tmp_path / "secrets")
    settings = stack_settings(layout)
    assert (settings["MAKE_UP_PORT_API"], settings["MAKE_UP_PORT_GRAFANA"]) == ("38000", "33000")
    assert settings["MAKE_UP_SECRETS_DIR"] == str(tmp_path / "secrets")
    assert settings["MAKE_UP_GATEWAY_CERTIFICATES"] == ""
    certificate = tmp_path / "secrets" / "certificates" / "site.pem"
    certificate.write_text("a certificate and its key", encoding="utf-8")
    certificate.chmod(0o644)
    make_secrets(tmp_path / "secrets")
    assert stack_settings(layout)["MAKE_UP_GATEWAY_CERTIFICATES"] == "/certificates"
    assert certificate.stat().st_mode & 0o777 == 0o600


def test_the_environment_precedes_the_file_of_the_user(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As for the API; a setting that no service names is not written anywhere."""
    (tmp_path / ".env").write_text(
        "EVARA_TRACE_RATIO=0.5 # of the file\nEVARA_REPLICAS=3\nEVARA_DATABASE_URL=secret\n",
        "utf-8",
    )
    monkeypatch.setattr(user_settings, "ROOT", tmp_path)
    monkeypatch.setenv("EVARA_REPLICAS", "4")
    settings = stack_settings(layout)
    assert (settings["MAKE_UP_TRACE_RATIO"], settings["MAKE_UP_REPLICAS"]) == ("0.5", "4")
    assert "secret" not in settings.values()


def test_release_of_a_deploy_has_its_own_version(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever the file of the user, which all releases share, says."""
    monkeypatch.setattr(user_settings, "ROOT", tmp_path)
    (tmp_path / ".env").write_text("EVARA_VERSION=1\nEVARA_REPLICAS=3\n", "utf-8")
    (tmp_path / user_settings.RELEASE).write_text("EVARA_VERSION=v2-abc\n", "utf-8")
    settings = stack_settings(layout)
    assert (settings["MAKE_UP_VERSION"], settings["MAKE_UP_REPLICAS"]) == ("v2-abc", "3")
