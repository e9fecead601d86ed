"""Services restart when a file that they mount has changed."""

from pathlib import Path

import pytest

from observability.devstack import compose, compose_files, mounted_files
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
            "loki": {"volumes": [{"type": "bind", "source": str(paths["config"])}]},
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
    kept = {*docker.config["services"]}
    mounted_files.restart_changed(layout, kept)
    mounted_files.restart_changed(layout, kept)
    assert docker.commands_with("restart") == []
    for changed, service in (("config", "loki"), ("rule", "prometheus"), ("secret", "locust")):
        paths[changed].write_text("new", encoding="utf-8")
        mounted_files.restart_changed(layout, kept)
        assert docker.commands_with("restart")[-1] == ("compose", "restart", service)
    paths["rule"].rename(paths["rule"].with_name("b.yaml"))
    mounted_files.restart_changed(layout, kept)
    assert len(docker.commands_with("restart")) == 4, "files have other names"
    for words in ((kept - {"loki"}), kept):
        paths["config"].write_text("newest", encoding="utf-8")
        mounted_files.restart_changed(layout, words)
    compose.down(layout)
    paths["config"].write_text("later", encoding="utf-8")
    mounted_files.restart_changed(layout, kept)
    assert len(docker.commands_with("restart")) == 4, "new containers have read it"


def test_gateway_reads_changed_files_without_a_restart(
    layout: StackLayout, docker: FakeDocker, tmp_path: Path
) -> None:
    """A restart would refuse connections; files that HAProxy refuses are not read."""
    certificate = tmp_path / "site.pem"
    certificate.write_text("old", encoding="utf-8")
    volumes = [{"type": "bind", "source": str(tmp_path)}]
    docker.config = {"services": {"gateway": {"volumes": volumes}}, "secrets": {}}
    (layout.state / "compose").mkdir(parents=True)
    mounted_files.restart_changed(layout, {"gateway"})
    certificate.write_text("new", encoding="utf-8")
    mounted_files.restart_changed(layout, {"gateway"})
    assert docker.commands_with("restart") == []
    assert docker.commands[-2][:6] == ("compose", "exec", "-T", "gateway", "haproxy", "-c")
    assert docker.commands_with("kill") == [("compose", "kill", "--signal", "SIGUSR2", "gateway")]
    former = compose_files.former_folder(layout) / "gateway" / "haproxy.cfg"
    former.parent.mkdir(parents=True)
    former.write_text("accepted", encoding="utf-8")
    folder = compose_files.files_folder(layout) / "gateway"
    folder.mkdir(parents=True)
    certificate.write_text("damaged", encoding="utf-8")
    docker.fails = lambda words: "haproxy" in words
    docker.reason = "[NOTICE] (1) : x\n[ALERT] (1) : no start line"
    for _ in range(2):  # also the next `up` says so
        with pytest.raises(
            StackError, match=r"refuses its new configuration .* fix: \[ALERT\] .* line$"
        ):
            mounted_files.restart_changed(layout, {"gateway"})
    assert len(docker.commands_with("kill")) == 1
    assert (folder / "haproxy.cfg").read_text(encoding="utf-8") == "accepted", "for its next start"


@pytest.mark.parametrize(
    ("failing", "sentence"),
    [
        ("exec", "cannot be asked whether it accepts its changed files: because; fix: make logs"),
        ("kill", "the gateway does not read its changed files: because; fix: make logs P=gateway"),
        ("restart", "loki cannot restart with changed files: because; fix: make status, then"),
    ],
)
def test_a_service_that_keeps_its_files_is_tried_again(
    layout: StackLayout, docker: FakeDocker, tmp_path: Path, failing: str, sentence: str
) -> None:
    """The others read theirs at once, and are left alone when `up` is repeated."""
    volumes = [{"type": "bind", "source": str(tmp_path / "file")}]
    services = {name: {"volumes": volumes} for name in ("gateway", "loki")}
    docker.config = {"services": services, "secrets": {}}
    (layout.state / "compose").mkdir(parents=True)
    mounted_files.restart_changed(layout, {"gateway", "loki"})
    (tmp_path / "file").write_text("new", encoding="utf-8")
    docker.fails = lambda words: failing in words
    for _ in range(2):
        with pytest.raises(StackError, match=sentence):
            mounted_files.restart_changed(layout, {"gateway", "loki"})
    docker.fails = lambda _: False
    mounted_files.restart_changed(layout, {"gateway", "loki"})
    mounted_files.restart_changed(layout, {"gateway", "loki"})
    reads = len(docker.commands_with("kill")), len(docker.commands_with("restart"))
    assert reads == {"exec": (1, 1), "kill": (3, 1), "restart": (1, 3)}[failing]


def test_an_invalid_compose_file_is_reported(layout: StackLayout, docker: FakeDocker) -> None:
    """With Compose's own words."""
    docker.fails = lambda words: "config" in words
    with pytest.raises(StackError, match=r"rejects compose\.yaml: because"):
        mounted_files.compose_config(layout)
