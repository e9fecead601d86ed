"""Services restart when a file that they mount has changed."""

from pathlib import Path

import pytest

from observability.devstack import compose, mounted_files
from observability.devstack.layout import StackLayout
from observability.devstack.steps import StackError
from tests.observability.devstack.conftest import FakeDocker


def test_changed_mounts_restart_their_services(
    layout: StackLayout, docker: FakeDocker, tmp_path: Path
) -> None:
    """Compose does not notice a changed file, folder or secret; `up` repeats what runs once."""
    (tmp_path / "rules").mkdir()
    paths = {
        "config": tmp_path / "haproxy.cfg",
        "rule": tmp_path / "rules" / "a.yaml",
        "secret": tmp_path / "load_key",
    }
    for path in paths.values():
        path.write_text("old", encoding="utf-8")
    docker.config = {
        "services": {
            "gateway": {"volumes": [{"type": "bind", "source": str(paths["config"])}]},
            "prometheus": {
                "volumes": [
                    {"type": "bind", "source": str(tmp_path / "rules")},
                    {"type": "volume", "source": "prometheus"},
                ]
            },
            "locust": {"secrets": [{"source": "load_key"}]},
            "migrate": {"secrets": [{"source": "load_key"}], "restart": "no"},
        },
        "secrets": {"load_key": {"file": str(paths["secret"])}},
    }
    (layout.state / "compose").mkdir(parents=True)
    mounted_files.restart_changed(layout)
    mounted_files.restart_changed(layout)
    assert docker.commands_with("restart") == []
    for changed, service in (("config", "gateway"), ("rule", "prometheus"), ("secret", "locust")):
        paths[changed].write_text("new", encoding="utf-8")
        mounted_files.restart_changed(layout)
        assert docker.commands_with("restart")[-1] == ("compose", "restart", service)
    compose.down(layout)
    paths["config"].write_text("newest", encoding="utf-8")
    mounted_files.restart_changed(layout)
    assert len(docker.commands_with("restart")) == 3, "recreated containers have read it"


def test_an_invalid_compose_file_is_reported(layout: StackLayout, docker: FakeDocker) -> None:
    """With Compose's own words."""
    docker.fails = lambda words: "config" in words
    with pytest.raises(StackError, match=r"rejects compose\.yaml: because"):
        mounted_files.compose_config(layout)
