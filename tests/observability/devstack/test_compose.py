"""What the compose stack decides before and after it asks Docker; Docker itself is asked in tests/e2e/test_compose.py."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.devstack import compose, modes, readiness
from observability.devstack.compose import Done
from observability.devstack.layout import Ports, StackLayout, present
from observability.spec.plan import Plan

FINE = {
    "Service": "api",
    "State": "running",
    "Health": "healthy",
    "ExitCode": 0,
    "Status": "Up 2 minutes (healthy)",
}


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackLayout:
    monkeypatch.setenv("EVARA_SECRETS_DIR", str(tmp_path / "secrets"))
    return StackLayout(tmp_path / "state", Ports().shifted(100), tmp_path / "servers")


class Docker:
    """Answers in Docker's place, and keeps what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.asked: list[tuple[str, ...]] = []
        self.containers: list[dict[str, Any]] = []
        self.config: dict[str, Any] = {"services": {}, "secrets": {}}
        self.broken: Callable[[tuple[str, ...]], bool] = lambda _: False
        monkeypatch.setattr(compose, "docker", self)
        monkeypatch.setattr(compose.shutil, "which", lambda _: "/usr/bin/docker")

    def __call__(self, *words: str, **_: object) -> Done:
        self.asked.append(words)
        said = ""
        if "ps" in words:
            said = "\n".join(map(json.dumps, self.containers))
        elif "config" in words:
            said = json.dumps(self.config)
        elif "logs" in words:
            said = "api-1  | a line"
        elif "version" in words:
            said = "2.40.3" if "compose" in words else "28.1"
        return Done(words, int(self.broken(words)), said, "because")

    def told(self, word: str) -> list[tuple[str, ...]]:
        return [words for words in self.asked if word in words]


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Docker:
    return Docker(monkeypatch)


def test_the_engine_is_named_or_what_is_missing(
    docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engine and plugin must both answer, and neither is waited for without end."""
    assert compose.engine() == (True, "Docker 28.1, Compose 2.40.3")
    docker.broken = lambda words: words[0] == "compose"
    assert compose.engine() == (False, "Docker has no Compose plugin")
    docker.broken = lambda _: True
    assert compose.engine() == (False, "no Docker engine answers")

    def hang(*_: str, seconds: float) -> Done:
        raise subprocess.TimeoutExpired("docker", seconds)

    monkeypatch.setattr(compose, "docker", hang)
    assert compose.engine() == (False, "the Docker engine hangs")
    monkeypatch.setattr(compose.shutil, "which", lambda _: None)
    assert compose.engine() == (False, "docker is not on PATH")


def test_the_mode_is_what_was_asked_what_runs_or_what_can_be(
    layout: StackLayout, docker: Docker
) -> None:
    """auto takes containers where Docker answers, and stays with what is up."""
    assert modes.choose("native", layout) == ("native", "as asked")
    assert modes.choose("auto", layout)[0] == "compose"
    docker.broken = lambda _: True
    assert modes.choose("auto", layout) == ("native", "no Docker engine answers")
    layout.remember("compose")
    docker.containers = [FINE]
    assert modes.choose("auto", layout) == ("compose", "because it runs")
    assert modes.current(layout) is modes.of("compose")


def test_who_asks_by_hand_is_told_which_key(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The development key natively; with containers the file of the key, wherever the secrets are."""
    assert modes.key(layout) == "evara-development-key"
    layout.remember("compose")
    monkeypatch.setenv("EVARA_SECRETS_DIR", "elsewhere")
    assert modes.key(layout) == "$(cat elsewhere/load_key)"


def test_up_without_an_engine_names_the_other_way(
    layout: StackLayout, plan: Plan, docker: Docker
) -> None:
    """Whoever asks for containers where there are none is told what works."""
    docker.broken = lambda _: True
    with pytest.raises(
        readiness.Refused, match=r"no Docker engine answers; .* make up MODE=native"
    ):
        compose.up(layout, plan, readiness.Steps(lambda _: None))


def test_containers_that_do_not_come_up_can_be_looked_at(
    layout: StackLayout, plan: Plan, docker: Docker
) -> None:
    """A start that breaks off is a compose stack already, so that `make logs` shows why."""
    docker.broken = lambda words: "up" in words
    with pytest.raises(
        readiness.Refused, match="docker compose says why above, make logs P=NAME more"
    ):
        compose.up(layout, plan, readiness.Steps(lambda _: None))
    assert layout.mode == "compose"
    assert present(layout.state / "compose") == {"alertmanager.yaml"}


@pytest.mark.parametrize(("user", "wanted"), [(0, compose.USER), (1234, 1234)])
def test_containers_run_as_who_owns_the_secrets(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch, user: int, wanted: int
) -> None:
    """Never as root; what is set already, as a rootless engine needs it, stays."""
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr(os, "getgid", lambda: user)
    found = compose.environment(layout)
    assert (found["EVARA_UID"], found["EVARA_GID"]) == (str(wanted), str(wanted))
    monkeypatch.setenv("EVARA_UID", "0")
    assert compose.environment(layout)["EVARA_UID"] == "0"


def test_ports_certificates_and_secrets_follow_the_site(
    layout: StackLayout, tmp_path: Path
) -> None:
    """What compose.yaml leaves open is what the site says; TLS is on when there is a certificate."""
    compose.make_secrets(tmp_path / "secrets")
    found = compose.environment(layout)
    assert (found["EVARA_PORT_API"], found["EVARA_PORT_GRAFANA"]) == ("8100", "3100")
    assert found["EVARA_SECRETS_DIR"] == str(tmp_path / "secrets")
    assert found["EVARA_GATEWAY_CERTIFICATES"] == ""
    certificate = tmp_path / "secrets" / "certificates" / "site.pem"
    certificate.write_text("a certificate and its key", encoding="utf-8")
    certificate.chmod(0o644)
    compose.make_secrets(tmp_path / "secrets")
    assert compose.environment(layout)["EVARA_GATEWAY_CERTIFICATES"] == "/certificates"
    assert certificate.stat().st_mode & 0o777 == 0o600


def test_alertmanager_is_given_what_has_a_secret(
    layout: StackLayout, plan: Plan, tmp_path: Path
) -> None:
    """Empty files are no secrets; one that is filled joins at the next `up`."""
    compose.make_secrets(tmp_path / "secrets")
    path = layout.state / "compose" / "alertmanager.yaml"
    compose.configure(layout, plan)
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == yaml.safe_load(
        (compose.ROOT / "observability/generated/alertmanager/alertmanager.yaml").read_text(
            encoding="utf-8"
        )
    )
    (tmp_path / "secrets" / "deadman_url").write_text("https://deadman.example/1", encoding="utf-8")
    compose.configure(layout, plan)
    assert "url_file: /run/secrets/deadman_url" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "RUNNING"),
        ({"Health": ""}, "RUNNING"),
        ({"Health": "starting"}, "STARTING"),
        ({"Health": "unhealthy"}, "UNHEALTHY"),
        ({"State": "restarting", "Health": ""}, "RESTARTING"),
        ({"State": "exited", "Health": ""}, "DONE"),
        ({"State": "exited", "Health": "", "ExitCode": 1}, "EXITED"),
    ],
)
def test_containers_are_told_like_processes(
    change: dict[str, Any], said: str, layout: StackLayout, docker: Docker
) -> None:
    """`status` has one word for each; what has done its work is no failure."""
    docker.containers = [FINE | {"Service": "postgres"}, FINE | change]
    assert [row["statename"] for row in compose.processes(layout)] == ["RUNNING", said]
    given_up = [] if said in ("RUNNING", "STARTING", "DONE") else ["api"]
    assert compose.given_up(layout) == given_up
    doctor = {what: fine for what, fine, _ in compose.doctor(layout)}
    assert doctor["container api"] == (said in ("RUNNING", "DONE"))


def test_a_stack_of_nothing_but_remains_is_down(layout: StackLayout, docker: Docker) -> None:
    """What ended some time ago does not run, but `down` takes it away."""
    docker.containers = [FINE | {"State": "exited", "Health": ""}]
    assert compose.processes(layout) == []
    assert compose.down(layout)
    assert docker.told("down")
    docker.containers = []
    assert not compose.down(layout)


def test_changed_files_restart_who_reads_them(
    layout: StackLayout, docker: Docker, tmp_path: Path
) -> None:
    """Compose does not see that a mounted file, folder or secret changed; what runs once is run again anyway."""
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
    compose.renew(layout)
    compose.renew(layout)
    assert docker.told("restart") == []
    for changed, service in (("config", "gateway"), ("rule", "prometheus"), ("secret", "locust")):
        paths[changed].write_text("new", encoding="utf-8")
        compose.renew(layout)
        assert docker.told("restart")[-1] == ("compose", "restart", service)
    compose.down(layout)
    paths["config"].write_text("newest", encoding="utf-8")
    compose.renew(layout)
    assert len(docker.told("restart")) == 3, "containers that were made anew have read it"


def test_a_file_that_compose_does_not_take_is_told(layout: StackLayout, docker: Docker) -> None:
    """With Compose's own words."""
    docker.broken = lambda words: "config" in words
    with pytest.raises(readiness.Refused, match=r"does not take compose\.yaml: because"):
        compose.described(layout)


def test_logs_are_those_of_services(layout: StackLayout, docker: Docker) -> None:
    """An unknown name is told with the known ones; Compose itself would say nothing."""
    docker.containers = [FINE]
    assert list(compose.tail(layout, "api", 5)) == ["api-1  | a line"]
    assert "--tail=5" in docker.told("logs")[-1]
    with pytest.raises(readiness.Refused, match="there is no log of 'ap'; known: api"):
        list(compose.tail(layout, "ap", 5))


def test_cleaning_takes_the_volumes_and_leaves_secrets(
    layout: StackLayout, docker: Docker, tmp_path: Path
) -> None:
    """The stack's folder and its data go; what the user gave stays."""
    compose.make_secrets(tmp_path / "secrets")
    layout.remember("compose")
    assert compose.clean(layout) == [layout.state]
    assert "--volumes" in docker.told("down")[-1]
    assert (tmp_path / "secrets" / "load_key").exists()


def test_a_site_inside_asks_by_name_and_shows_addresses(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The console's container asks services by their names, on their own ports; people are shown this machine's."""
    monkeypatch.setenv("EVARA_INSIDE", "1")
    monkeypatch.setenv("EVARA_PORT_OFFSET", "100")
    inside = StackLayout.main()
    assert (inside.url("prometheus"), inside.address("prometheus")) == (
        "http://prometheus:9090",
        "http://127.0.0.1:9190",
    )
    assert inside.mode == "compose"
    assert layout.url("prometheus") == layout.address("prometheus") == "http://127.0.0.1:9190"


def test_the_stacks_own_keys_are_found_in_either_mode(layout: StackLayout, tmp_path: Path) -> None:
    """Natively below the stack's folder, of containers among the secrets."""
    assert layout.key("load") == ""
    layout.keys.mkdir(parents=True)
    (layout.keys / "load").write_text("native", encoding="utf-8")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "load_key").write_text("of containers\n", encoding="utf-8")
    assert layout.key("load") == "native"
    layout.remember("compose")
    assert layout.key("load") == "of containers"


def test_pages_of_containers_are_told_when_they_answer(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of profiles too; natively somebody else's page at such a port is not ours."""
    monkeypatch.setattr(readiness, "answers", lambda *_: True)
    assert "Load runs" not in dict(readiness.addresses(layout))
    layout.remember("compose")
    assert {"Grafana", "Traces", "Mailbox", "Load runs"} <= dict(readiness.addresses(layout)).keys()
    monkeypatch.setattr(readiness, "answers", lambda url, _: url != layout.url("locust"))
    assert "Load runs" not in dict(readiness.addresses(layout))
