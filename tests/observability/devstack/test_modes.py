"""The choice between the native stack and the compose stack."""

import pytest

from observability.devstack import modes
from observability.devstack.layout import StackLayout
from tests.observability.devstack.conftest import HEALTHY, FakeDocker


def test_auto_prefers_the_running_stack_then_docker(
    layout: StackLayout, docker: FakeDocker
) -> None:
    """auto takes containers where Docker answers, and stays with what is up."""
    assert modes.choose_mode("native", layout) == ("native", "as asked")
    assert modes.choose_mode("auto", layout)[0] == "compose"
    docker.fails = lambda _: True
    assert modes.choose_mode("auto", layout) == ("native", "no Docker engine answers")
    layout.remember_mode("compose")
    assert modes.choose_mode("auto", layout) == ("native", "no Docker engine answers")
    docker.fails = lambda _: False
    docker.containers = [HEALTHY]
    assert modes.choose_mode("auto", layout) == ("compose", "because it runs")
    assert modes.current_stack(layout) is modes.stack_of("compose")


def test_the_key_for_the_shell_depends_on_the_mode(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Natively it is the well-known key, otherwise the file with a key: no secret is shown."""
    assert modes.key_for_shell(layout) == "evara-development-key"
    with monkeypatch.context() as own_key:
        own_key.setenv("EVARA_DEVELOPMENT_KEY", "my-own-bearer")
        shown = modes.key_for_shell(layout)
    assert shown.startswith("$(cat ")
    assert shown.endswith("state/keys/load)")
    layout.remember_mode("compose")
    monkeypatch.setenv("EVARA_SECRETS_DIR", "elsewhere")
    assert modes.key_for_shell(layout) == "$(cat elsewhere/load_key)"
