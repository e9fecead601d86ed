"""Releases of the compose stack, with a replacement for the engine."""

import json
from pathlib import Path
from typing import Any

import pytest

from observability.devstack import compose, containers, releases
from observability.devstack import docker as docker_commands
from observability.devstack.compose_settings import settings_file
from observability.devstack.containers import LABEL
from observability.devstack.docker import CompletedProcess
from observability.devstack.layout import StackLayout
from observability.devstack.steps import StackError, Steps
from observability.spec.loading import load_plan

OLD, NEW = "sha256:old", "sha256:new"
SETTINGS = 'MAKE_UP_VERSION="1"\n'


class Engine:
    """An engine whose containers start at once; those of `sick` services restart endlessly."""

    def __init__(self) -> None:
        self.containers: list[dict[str, Any]] = []
        self.images = {"evara-api:dev": OLD}
        self.commands: list[tuple[str, ...]] = []
        self.replicas = 2
        self.sick: set[str] = set()
        self.unable: set[str] = set()  # names of commands that fail
        self.active: int | None = None  # replicas that the gateway uses; None: all
        for service in ("postgres", "api", "api", "worker", "console", "gateway", "migrate"):
            self.create(service)
        self.commands.clear()

    def create(self, service: str) -> str:
        labels = {"service": service, "project": "evara", "oneoff": "False", "config-hash": "h"}
        container = {
            "Id": f"{service}-{len(self.commands)}-{len(self.containers)}",
            "Name": f"/evara-{service}",
            "Image": self.images["evara-api:dev"],
            "RestartCount": int(service in self.sick),
            "State": {"Running": service != "migrate", "Health": {"Status": "healthy"}},
            "Config": {
                "Image": "evara-api:dev",
                "Labels": {LABEL + name: value for name, value in labels.items()},
            },
        }
        if service in self.sick:
            container["State"]["Health"]["Status"] = "starting"
        self.containers.append(container)
        return str(container["Id"])

    def ids(self, *services: str) -> list[str]:
        return [row["Id"] for row in self.containers if containers.service_of(row) in services]

    def __call__(self, *words: str, **_: object) -> CompletedProcess:
        self.commands.append(words)
        name = words[1] if words[0] == "compose" else words[0]
        if name in self.unable:
            return CompletedProcess(words, 1, "", "no space")
        answer = getattr(self, f"answer_{name}")(words)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return CompletedProcess(words, 0, text, "")

    def answer_config(self, words: tuple[str, ...]) -> Any:
        if "--hash" in words:
            return "".join(f"{name} h\n" for name in ("api", "worker", "console", "migrate"))
        service = {"image": "evara-api:dev", "build": {}}
        services = dict.fromkeys(("api", "worker", "console", "migrate"), service)
        services["api"] = service | {"deploy": {"replicas": self.replicas}}
        services["migrate"] = service | {"depends_on": {"postgres": {}}}
        return {"services": services, "secrets": {}}

    def answer_ps(self, _: tuple[str, ...]) -> str:
        return " ".join(row["Id"] for row in self.containers)

    def answer_inspect(self, words: tuple[str, ...]) -> Any:
        return [row for row in self.containers if row["Id"] in words]

    def answer_image(self, words: tuple[str, ...]) -> str:
        return self.images[words[-1]]

    def answer_tag(self, words: tuple[str, ...]) -> str:
        self.images[words[2]] = words[1]
        return ""

    def answer_rm(self, words: tuple[str, ...]) -> str:
        self.containers = [row for row in self.containers if row["Id"] not in words]
        return ""

    def answer_up(self, words: tuple[str, ...]) -> str:
        service = words[-1]
        if "--scale" in words:
            total = int(words[words.index("--scale") + 1].partition("=")[2])
            for _ in range(total - len(self.ids(service))):
                self.create(service)
        elif "--no-recreate" not in words:
            self.answer_rm(tuple(self.ids(service)))
            self.create(service)
        return ""

    def answer_run(self, words: tuple[str, ...]) -> str:
        self.create(words[-1])
        self.containers[-1]["Id"] = words[words.index("--name") + 1]
        return ""

    def answer_exec(self, _: tuple[str, ...]) -> str:
        active = len(self.ids("api")) if self.active is None else self.active
        return f'haproxy_backend_active_servers{{proxy="ready"}} {active}\n'

    def answer_wait(self, _: tuple[str, ...]) -> str:
        return "3\n" if "migrate" in self.sick else "0\n"

    def answer_stop(self, _: tuple[str, ...]) -> str:
        return ""

    def answer_logs(self, _: tuple[str, ...]) -> str:
        return "the last line\n"


@pytest.fixture
def engine(layout: StackLayout, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Return an engine on which the stack runs, with the settings of the old release."""
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    engine = Engine()
    monkeypatch.setattr(docker_commands, "run_docker", engine)
    monkeypatch.setattr(releases, "POLL_SECONDS", 0.0)
    settings_file(layout).parent.mkdir(parents=True)
    settings_file(layout).write_text(SETTINGS, encoding="utf-8")
    return engine


def release(layout: StackLayout, engine: Engine) -> set[str]:
    """Release a new image with new settings, as `up` does."""
    before = releases.remember(layout)
    with releases.taken_back(layout, before):
        settings_file(layout).write_text('MAKE_UP_VERSION="2"\n', encoding="utf-8")
        engine.images["evara-api:dev"] = NEW
        replaced = releases.replace(layout, Steps(lambda _: None))
    releases.end_old(replaced, Steps(lambda _: None))
    return replaced.services


def test_new_containers_replace_the_old_ones(layout: StackLayout, engine: Engine) -> None:
    """The old ones are stopped after everything else, and as many are there as before."""
    old = engine.ids("api", "worker", "console")
    assert release(layout, engine) == {"api", "worker", "console"}
    assert set(engine.ids("api", "worker", "console")).isdisjoint(old)
    assert [len(engine.ids(name)) for name in ("api", "worker", "console")] == [2, 1, 1]
    replicas = [row for row in engine.containers if row["Id"] in engine.ids("api")]
    assert {row["Image"] for row in replicas} == {NEW}
    changes = [words for words in engine.commands if {"up", "stop", "exec", "run"} & {*words[:2]}]
    names = [words[1] if words[0] == "compose" else words[0] for words in changes]
    assert names == ["up", "up", "up", "exec", "run", "up", "stop"]
    assert [words[-1] for words in changes][:3] == ["migrate", "api", "worker"]
    assert "--scale api=4" in " ".join(changes[1])


def test_changed_secret_is_released(
    layout: StackLayout, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers read mounted files when they start; their image and configuration are the same."""
    monkeypatch.setattr(releases, "changed_mounts", lambda _: {"api", "grafana"})
    old = engine.ids("api")
    others = engine.ids("worker", "console")
    replaced = releases.replace(layout, Steps(lambda _: None))
    releases.end_old(replaced, Steps(lambda _: None))
    assert replaced.services == {"api"}
    assert len(engine.ids("api")) == 2
    assert set(engine.ids("api")).isdisjoint(old)
    assert engine.ids("worker", "console") == others


def test_nothing_changes_without_a_new_release(layout: StackLayout, engine: Engine) -> None:
    """The database is not migrated, either."""
    assert not releases.replace(layout, Steps(lambda _: None)).services
    assert not [words for words in engine.commands if "up" in words]


@pytest.mark.parametrize(
    ("sick", "sentence"),
    [
        ("migrate", "the step migrate failed; .* as it is now; fix: read "),
        ("api", "the new api does not become healthy; fix: read "),
        ("worker", "the new worker does not become healthy"),
        ("console", "the new console does not become healthy"),
    ],
)
def test_release_that_fails_is_taken_back(
    layout: StackLayout, engine: Engine, sick: str, sentence: str
) -> None:
    """Containers, image and settings are those of the old release; the log is kept."""
    old = engine.ids("api", "worker", "console", "gateway")
    engine.sick.add(sick)
    with pytest.raises(StackError, match=f"{sentence}.*; the old release keeps serving"):
        release(layout, engine)
    assert engine.ids("api", "worker", "console", "gateway") == old
    assert engine.images["evara-api:dev"] == OLD
    assert settings_file(layout).read_text(encoding="utf-8") == SETTINGS
    log = layout.state / "compose" / "failed-release.log"
    assert log.read_text(encoding="utf-8").endswith("the last line\n")
    stopped = {name for words in engine.commands if words[0] == "stop" for name in words[1:]}
    assert stopped.isdisjoint(old)
    assert stopped or sick == "migrate", "replicas that have requests are not killed"


def test_replicas_that_the_gateway_does_not_use_are_taken_back(
    layout: StackLayout, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A healthy container may still be unreachable for the gateway."""
    monkeypatch.setattr(releases, "HEALTHY_SECONDS", 0)
    old = engine.ids("api")
    engine.active = 2
    with pytest.raises(StackError, match="does not use all 4 replicas; fix: make logs P=gateway"):
        release(layout, engine)
    assert engine.ids("api") == old


def test_interrupted_release_is_taken_back(
    layout: StackLayout, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C leaves the old release."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    old = engine.ids("api", "worker", "console")
    monkeypatch.setattr(releases, "wait_for_gateway", interrupt)
    with pytest.raises(KeyboardInterrupt):
        release(layout, engine)
    assert engine.ids("api", "worker", "console") == old


def test_interrupt_while_the_old_containers_end_keeps_the_new_ones(
    layout: StackLayout, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody must serve: the old ones are stopping already."""
    old = engine.ids("api", "worker")

    def stop(words: tuple[str, ...]) -> str:
        for row in engine.containers:
            row["State"]["Running"] &= row["Id"] not in words
        if {*old} & {*words}:
            raise KeyboardInterrupt
        return ""

    monkeypatch.setattr(engine, "answer_stop", stop)
    let_up_release(engine, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        compose.up(layout, load_plan(), Steps(lambda _: None))
    serving = containers.running("api", "worker")
    assert [containers.service_of(row) for row in serving] == ["api", "api", "worker"]
    assert {row["Image"] for row in serving} == {NEW}
    assert "2" in settings_file(layout).read_text(encoding="utf-8")


def test_changed_networks_end_a_release_before_it_builds(
    layout: StackLayout, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings and containers are those of the old release."""

    def refuse(*_: object) -> None:
        raise StackError("this release changes networks")

    old = engine.ids("api", "worker", "console")
    let_up_release(engine, monkeypatch)
    monkeypatch.setattr(compose, "require_networks", refuse)
    with pytest.raises(StackError, match=r"changes networks; the old release keeps serving"):
        compose.up(layout, load_plan(), Steps(lambda _: None))
    assert engine.ids("api", "worker", "console") == old
    assert settings_file(layout).read_text(encoding="utf-8") == SETTINGS
    assert engine.images["evara-api:dev"] == OLD


def let_up_release(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `up` make a release with a new image and new settings, without files of its own."""

    def write_settings(layout: StackLayout) -> None:
        settings_file(layout).write_text('MAKE_UP_VERSION="2"\n', encoding="utf-8")

    def build(*_: object) -> None:
        engine.images["evara-api:dev"] = NEW

    monkeypatch.setattr(compose, "find_engine", lambda: (True, "Docker"))
    monkeypatch.setattr(compose, "processes", lambda _: ["one that runs"])
    monkeypatch.setattr(compose, "write_settings", write_settings)
    monkeypatch.setattr(compose, "run_logged", build)
    for name in ("require_disk_space", "write_files", "require_networks", "pull_images"):
        monkeypatch.setattr(compose, name, lambda *_: None)


def test_release_continues_one_that_was_killed(layout: StackLayout, engine: Engine) -> None:
    """New containers that it left are used, and the old ones end."""
    engine.images["evara-api:dev"] = NEW
    left = [engine.create("api"), engine.create("api")]
    release(layout, engine)
    assert engine.ids("api") == left


def test_more_replicas_than_the_gateway_knows(layout: StackLayout, engine: Engine) -> None:
    """Old and new together must fit; the sentence names the setting."""
    engine.replicas = 7
    with pytest.raises(StackError, match="knows; fix: EVARA_REPLICAS=4 make up"):
        release(layout, engine)
    assert not [words for words in engine.commands if "up" in words], "nothing was migrated"


def test_more_old_replicas_than_half_of_the_gateways(layout: StackLayout, engine: Engine) -> None:
    """Fewer new ones alone would not help, so the sentence first ends old ones."""
    for _ in range(3):
        engine.create("api")
    engine.replicas = 4
    with pytest.raises(StackError) as raised:
        release(layout, engine)
    fix = "docker compose up --detach --no-deps --no-recreate --scale api=4 api; then "
    assert f"fix: {fix}EVARA_REPLICAS=4 make up" in str(raised.value)
    assert len(engine.ids("api")) == 5


@pytest.mark.parametrize(
    ("unable", "sentence"),
    [
        ("up", "migrate does not start: no space; fix: correct the cause, then make up"),
        ("wait", "the end of the step migrate is unknown: no space; fix: "),
        ("run", "a trial of the new console does not start: no space; fix: "),
        ("config", "docker compose rejects compose.yaml: no space; fix: correct what it names"),
        ("exec", "the gateway does not use all 4 replicas: no space; fix: make logs P=gateway"),
    ],
)
def test_command_that_fails_says_why(
    layout: StackLayout,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    unable: str,
    sentence: str,
) -> None:
    """In the engine's own words; the old containers stay, and none of a trial."""
    monkeypatch.setattr(releases, "HEALTHY_SECONDS", 0)
    old = engine.ids("api", "worker", "console")
    engine.unable.add(unable)
    with pytest.raises(StackError) as raised:
        release(layout, engine)
    assert sentence in str(raised.value)
    assert str(raised.value).endswith("; the old release keeps serving")
    assert engine.ids("api", "worker", "console") == old


@pytest.mark.parametrize("unable", ["ps", "inspect"])
def test_engine_that_does_not_answer_is_no_stack_that_is_down(
    layout: StackLayout, engine: Engine, unable: str
) -> None:
    """Else Compose would recreate the containers that serve."""
    engine.unable.add(unable)
    with pytest.raises(StackError, match="no space; fix: make doctor, then repeat"):
        releases.remember(layout)


@pytest.mark.parametrize("unable", ["tag", "stop", "rm"])
def test_release_that_cannot_be_taken_back_does_not_claim_it(
    layout: StackLayout, engine: Engine, unable: str
) -> None:
    """Both causes are told."""
    engine.sick.add("api")
    engine.unable.add(unable)
    with pytest.raises(StackError) as raised:
        release(layout, engine)
    assert "the new api does not become healthy" in str(raised.value)
    assert "the release could not be taken back, and new containers may run" in str(raised.value)
    assert "no space" in str(raised.value)
    assert "the old release keeps serving" not in str(raised.value)


def test_old_container_that_does_not_stop_is_not_killed(
    layout: StackLayout, engine: Engine
) -> None:
    """It may have requests; the next `up` ends it."""
    engine.unable.add("stop")
    old = engine.ids("api", "worker")
    with pytest.raises(StackError, match="containers do not stop: no space; fix: "):
        release(layout, engine)
    assert {*engine.ids("api", "worker")} > {*old}


def test_trial_of_an_interrupted_release_is_removed(layout: StackLayout, engine: Engine) -> None:
    """Its name would be taken."""
    trial = "evara-console-trial"
    engine.answer_run(("--name", trial, "console"))
    release(layout, engine)
    assert trial not in engine.ids("console")
    removals = [words for words in engine.commands if words[0] == "rm" and trial in words]
    trials = [words for words in engine.commands if "run" in words]
    assert engine.commands.index(removals[0]) < engine.commands.index(trials[0])


def test_container_that_vanishes_is_not_awaited(layout: StackLayout, engine: Engine) -> None:
    """Nobody can become healthy: neither no container, nor one that was removed."""
    with pytest.raises(StackError, match="no new container of worker was started; fix: configure"):
        releases.wait_for_health(layout, "worker", [])
    for ids in (["removed"], [*engine.ids("worker"), "removed"]):
        with pytest.raises(StackError, match="of worker was removed meanwhile; fix: make up"):
            releases.wait_for_health(layout, "worker", ids)


def test_console_that_fails_without_a_trial_is_restored(
    layout: StackLayout, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts again with the old image and settings."""

    def fail(*_: object) -> None:
        engine.answer_up(("compose", "up", "console"))
        raise StackError("it worked in its trial alone")

    monkeypatch.setattr(releases, "replace_alone", fail)
    with pytest.raises(StackError, match="trial alone; the old release keeps serving"):
        release(layout, engine)
    [console] = [row for row in engine.containers if row["Id"] in engine.ids("console")]
    assert console["Image"] == OLD


def test_nothing_is_remembered_of_a_stack_that_serves_nobody(
    layout: StackLayout, engine: Engine
) -> None:
    """An `up` that fails has nothing to restore."""
    stop(engine, "api")
    assert releases.remember(layout) is None
    with pytest.raises(StackError, match=r"^no$"), releases.taken_back(layout, None):
        raise StackError("no")


def test_stopped_database_is_started_first(layout: StackLayout, engine: Engine) -> None:
    """The container that there is, so that the release can migrate, and can be taken back."""
    stop(engine, "postgres")
    database = engine.ids("postgres")
    assert release(layout, engine) == {"api", "worker", "console"}
    ups = [words for words in engine.commands if "up" in words]
    assert [words[-1] for words in ups][:3] == ["postgres", "migrate", "api"]
    assert {"--no-recreate", "--wait"} < {*ups[0]}
    assert engine.ids("postgres") == database


def test_release_without_a_database_is_taken_back(layout: StackLayout, engine: Engine) -> None:
    """Where it cannot be started, the old containers stay, and nothing is migrated."""
    stop(engine, "postgres")
    engine.unable.add("up")
    old = engine.ids("api", "worker", "console")
    with pytest.raises(StackError, match=r"postgres does not start.*the old release keeps serving"):
        release(layout, engine)
    assert engine.ids("api", "worker", "console") == old


def stop(engine: Engine, service: str) -> None:
    """Stop the containers of a service."""
    for container in engine.containers:
        container["State"]["Running"] &= containers.service_of(container) != service


def test_files_of_the_next_release_are_not_read_with_old_settings(
    layout: StackLayout, engine: Engine
) -> None:
    """A variable that they require is written later; what runs is known to the engine."""
    engine.unable.add("config")
    before = releases.remember(layout)
    assert before
    assert before.images == {"evara-api:dev": OLD}
    assert before.containers == {*engine.ids("api", "worker", "console")}


def test_settings_file_that_did_not_exist_is_removed(layout: StackLayout, engine: Engine) -> None:
    """An older release kept its settings elsewhere."""
    settings_file(layout).unlink()
    engine.sick.add("api")
    with pytest.raises(StackError):
        release(layout, engine)
    assert not settings_file(layout).exists()


def test_log_of_a_failed_release_is_private(tmp_path: Path) -> None:
    """It may hold settings."""
    layout = StackLayout(tmp_path, {}, tmp_path)
    (tmp_path / "compose").mkdir()
    path = releases.keep_logs(layout, [])
    assert path.stat().st_mode & 0o777 == 0o600
