"""Bare `docker compose` commands use the settings with which `make up` started the stack."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from observability.devstack import compose, docker
from observability.devstack.compose_secrets import make_secrets
from observability.devstack.compose_settings import (
    PREFIX,
    SERVICES,
    VARIABLE,
    settings_file,
    stack_settings,
    write_settings,
)
from observability.devstack.docker import run_compose
from observability.devstack.layout import ROOT, StackLayout

TEXT = SERVICES.read_text(encoding="utf-8")
PROFILES = sorted(
    {
        profile
        for service in yaml.safe_load(TEXT)["services"].values()
        for profile in service.get("profiles", ())
    }
)
EVERY_PROFILE = ("--profile", "*")
HASHES = ("config", "--hash", "*")
NOISE = "from another shell"


@pytest.fixture(params=[0, 1234])  # root, whose containers run as 10001, and another user
def layout(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> StackLayout:
    """Return the stack of a user who called `make up` with settings of their own."""
    if not shutil.which("docker") or run("version").returncode:
        pytest.skip("docker compose is not installed")
    for name in [name for name in os.environ if name.startswith(("EVARA_", "COMPOSE_"))]:
        monkeypatch.delenv(name)
    state = tmp_path / "state"
    monkeypatch.setenv("EVARA_STACK_DIR", str(state))
    monkeypatch.setenv("EVARA_SECRETS_DIR", str(tmp_path / "secrets"))
    monkeypatch.setenv("EVARA_PORT_OFFSET", "700")
    monkeypatch.setenv("EVARA_TRUSTED_HOSTS", "api.example.org")
    monkeypatch.setenv("EVARA_WEBHOOK_URL", "https://hooks.example.org/$x?a=\"b\"&c='d'\\")
    make_secrets(tmp_path / "secrets")
    (tmp_path / "secrets" / "certificates" / "site.pem").touch()
    monkeypatch.setattr(os, "getuid", lambda: request.param)
    monkeypatch.setattr(os, "getgid", lambda: request.param)
    layout = StackLayout.main()
    write_settings(layout)
    return layout


def run(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a bare `docker compose` command in the root of the code."""
    settings = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EVARA_", "COMPOSE_"))
    }
    return subprocess.run(
        ["docker", "compose", *words],
        cwd=ROOT,
        env=settings | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", [(), EVERY_PROFILE, *[("--profile", name) for name in PROFILES]])
def test_bare_commands_start_what_make_up_starts(
    layout: StackLayout, words: tuple[str, ...], tmp_path: Path
) -> None:
    """Config hashes are equal with each profile, whatever a shell or .env sets meanwhile."""
    wanted = run_compose(layout, *words, *HASHES)
    assert (wanted.returncode, wanted.stderr) == (0, "")
    noise = {
        f"EVARA_{name.removeprefix(PREFIX)}": NOISE
        for name in (*stack_settings(layout), *VARIABLE.findall(TEXT))
    }
    dotenv = tmp_path / "other.env"
    dotenv.write_text("".join(f"{name}={value}\n" for name, value in noise.items()), "utf-8")
    stack = {"EVARA_STACK_DIR": str(layout.state)}
    bare = run("--env-file", os.devnull, *words, *HASHES, **stack)
    noisy = run("--env-file", str(dotenv), *words, *HASHES, **(noise | stack))
    assert (bare.stdout, noisy.stdout) == (wanted.stdout, wanted.stdout)
    assert (bare.stderr, noisy.stderr) == ("", "")


def test_the_settings_are_those_of_make_up(layout: StackLayout) -> None:
    """User, ports, https, hosts and webhook are the ones that `make up` was called with."""
    config = yaml.safe_load(run_compose(layout, "config").stdout)["services"]
    user = os.getuid() or 10001
    assert {service["user"] for service in config.values()} == {f"{user}:{user}", "0:0"}
    assert config["gateway"]["environment"]["EVARA_GATEWAY_CERTIFICATES"] == "/certificates"
    assert {port["published"] for port in config["gateway"]["ports"]} == {"8700", "9143"}
    api = config["api"]["environment"]
    assert api["EVARA_TRUSTED_HOSTS"] == "gateway,api.example.org"
    # Compose doubles the dollar signs that it prints
    assert api["EVARA_WEBHOOK_URL"].replace("$$", "$") == os.environ["EVARA_WEBHOOK_URL"]


def test_the_settings_are_private(layout: StackLayout) -> None:
    """Only the user may read them, and git ignores them wherever they are."""
    path = settings_file(layout)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    ignored = "anywhere/compose/evara/.env"
    assert subprocess.run(["git", "check-ignore", "-q", ignored], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("other", ["COMPOSE_PROJECT_NAME", "EVARA_STACK_DIR"])
def test_a_stack_without_settings_is_refused(
    layout: StackLayout, tmp_path: Path, other: str
) -> None:
    """So is a fresh clone, and the name of one stack with the folder of another."""
    environment = {"EVARA_STACK_DIR": str(layout.state)} | {other: str(tmp_path / "none").lower()}
    if other == "COMPOSE_PROJECT_NAME":
        environment[other] = "second"
    refused = run("--env-file", os.devnull, "config", **environment)
    assert refused.returncode != 0
    assert refused.stderr.strip().endswith("the settings of this stack are missing; fix: make up")
    assert len(refused.stderr.splitlines()) == 1


def test_settings_of_an_older_release_are_refused(layout: StackLayout) -> None:
    """Else Docker would mount empty folders; `make up` itself works with them."""
    path = settings_file(layout)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "MAKE_UP_FILES" not in line), "utf-8")
    assert run_compose(layout, "config", "--quiet").returncode == 0
    refused = run("--env-file", os.devnull, "config", EVARA_STACK_DIR=str(layout.state))
    assert refused.returncode != 0
    assert refused.stderr.strip().endswith("are those of an older release; fix: make up")


def test_a_release_in_another_folder_replaces_nothing(layout: StackLayout, tmp_path: Path) -> None:
    """The paths that containers mount are those of the stack, not of the code."""
    before = run_compose(layout, *EVERY_PROFILE, *HASHES).stdout
    other = tmp_path / "other"
    for name in (SERVICES.name, "observability/devstack/compose/settings.yaml", "compose.yaml"):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, other / name)
    path = settings_file(layout)
    path.write_text(path.read_text("utf-8").replace(f'"{ROOT}"', f'"{other}"'), "utf-8")
    stack = {"EVARA_STACK_DIR": str(layout.state), "COMPOSE_FILE": str(other / "compose.yaml")}
    assert run(*EVERY_PROFILE, "config", **stack).stdout.count(str(other)) > 0
    assert run(*EVERY_PROFILE, *HASHES, **stack).stdout == before


def test_a_second_stack_has_settings_of_its_own(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of the project selects them."""
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "second")
    monkeypatch.setenv("EVARA_TRUSTED_HOSTS", "second.example.org")
    write_settings(layout)
    stack = {"EVARA_STACK_DIR": str(layout.state)}
    second = run("--env-file", os.devnull, "config", COMPOSE_PROJECT_NAME="second", **stack)
    assert "gateway,second.example.org" in second.stdout
    first = run("--env-file", os.devnull, "config", **stack)
    assert "gateway,api.example.org" in first.stdout
    assert "image: evara-api:dev" in first.stdout
    assert "image: second-api:dev" in second.stdout
    assert built_images(first).isdisjoint(built_images(second)), "each starts what it has built"


def built_images(config: "subprocess.CompletedProcess[str]") -> set[str]:
    """Return the images of services that only `make up` builds."""
    services = yaml.safe_load(config.stdout)["services"].values()
    return {service["image"] for service in services if service.get("pull_policy") == "never"}


def test_commands_on_what_runs_read_no_file_of_the_next_release(
    layout: StackLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compose reads neither files nor settings, so the next release may require other ones."""
    changes = tmp_path / "next.yaml"
    changes.write_text("services: {api: {image: '${MAKE_UP_NEXT:?missing}'}}", "utf-8")
    monkeypatch.setenv("COMPOSE_FILE", f"compose.yaml:{changes}")
    monkeypatch.setattr(docker, "project_name", lambda: f"evara-nothing-{os.getpid()}")
    assert "missing" in run_compose(layout, "config").stderr
    assert compose.processes(layout) == []
    assert list(compose.tail(layout, None, 5)) == []
    assert not compose.down(layout)
    compose.clean(layout)


def test_changes_of_the_user_are_merged_into_the_services(
    layout: StackLayout, tmp_path: Path
) -> None:
    """As compose.override.yaml, which Compose reads after compose.yaml."""
    changes = tmp_path / "changes.yaml"
    changes.write_text("services: {worker: {environment: {EVARA_SYNC_EVERY: '5'}}}", "utf-8")
    stack = {"EVARA_STACK_DIR": str(layout.state), "COMPOSE_FILE": f"compose.yaml:{changes}"}
    merged = run("--env-file", os.devnull, "config", **stack)
    assert merged.returncode == 0, merged.stderr
    worker = yaml.safe_load(merged.stdout)["services"]["worker"]
    assert worker["environment"]["EVARA_SYNC_EVERY"] == "5"
    assert worker["environment"]["EVARA_ENV"] == "production"


def test_services_have_no_variable_of_a_shell() -> None:
    """Each variable is one that `make up` writes; the shell's would change some services only."""
    named = TEXT.split("${")[1:]
    assert [text for text in named if not text.startswith(PREFIX)] == []
