"""up, down, clean and logs of the compose stack, without Docker."""

from pathlib import Path

import pytest
import yaml

from observability.devstack import compose, containers
from observability.devstack.compose_secrets import make_secrets
from observability.devstack.layout import ROOT, StackLayout, filled_secrets
from observability.devstack.steps import StackError, Steps
from observability.spec.loading import load_plan
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
    with pytest.raises(StackError, match="fix: read the output above"):
        compose.up(layout, plan, Steps(lambda _: None))
    assert layout.mode == "compose"
    assert filled_secrets(layout.state / "compose") == {"alertmanager.yaml"}


def test_integrations_need_their_secret(layout: StackLayout, tmp_path: Path) -> None:
    """Empty files are no secrets; one that is filled joins at the next `up`."""
    make_secrets(tmp_path / "secrets")
    plan = load_plan()
    path = layout.state / "compose" / "alertmanager.yaml"
    compose.write_alertmanager_config(layout, plan)
    generated = ROOT / "observability/generated/alertmanager/alertmanager.yaml"
    configs = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in (path, generated)]
    assert configs[0] == configs[1]
    (tmp_path / "secrets" / "deadman_url").write_text("https://deadman.example/1", encoding="utf-8")
    compose.write_alertmanager_config(layout, plan)
    assert "url_file: /run/secrets/deadman_url" in path.read_text(encoding="utf-8")


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


def test_clean_removes_volumes_and_keeps_secrets(
    layout: StackLayout, docker: FakeDocker, tmp_path: Path
) -> None:
    """The stack's folder and data are deleted; the user's secrets stay."""
    make_secrets(tmp_path / "secrets")
    layout.remember_mode("compose")
    assert compose.clean(layout) == [layout.state]
    assert "--volumes" in docker.commands_with("down")[-1]
    assert (tmp_path / "secrets" / "load_key").exists()
