"""Commands, environments and order of the native programs."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from observability.devstack import programs as stack_programs
from observability.devstack import user_settings
from observability.devstack.binaries import LOG_SERVERS, Server
from observability.devstack.compose_settings import SERVICES
from observability.devstack.layout import StackLayout
from observability.devstack.programs import api_environment, programs, read_native_yaml
from observability.devstack.server_configs import write_server_configs
from observability.spec import names
from observability.spec.plan import Plan


def test_keys_are_in_no_command_line(
    layout: StackLayout, plan: Plan, servers: dict[str, Server]
) -> None:
    """Every user of the machine sees command lines; the prober's key is in its environment."""
    layout.keys.mkdir(parents=True)
    for name in ("prober", "load"):
        (layout.keys / name).write_text(f"evara_of_{name}", encoding="utf-8")
    key_by_program = {}
    for program in programs(layout, plan, servers):
        assert not [word for word in program.command if "evara_of" in word]
        if "EVARA_API_KEY" in program.environment:
            key_by_program[program.name] = program.environment["EVARA_API_KEY"]
    assert key_by_program == {"prober": "evara_of_prober"}


@pytest.mark.parametrize(("period", "retention"), [("7d", "8d"), ("30d", "31d"), ("90d", "91d")])
def test_retention_is_longer_than_the_period(
    layout: StackLayout,
    plan_of: Callable[..., Plan],
    servers: dict[str, Server],
    period: str,
    retention: str,
) -> None:
    """A window of 30 days needs more than 30 days of data."""
    plan = plan_of((("period: 30d", f"period: {period}"),))
    by_name = {program.name: program for program in programs(layout, plan, servers)}
    assert f"--storage.tsdb.retention.time={retention}" in by_name["prometheus"].command


def test_only_drills_have_faults(
    layout: StackLayout, plan: Plan, servers: dict[str, Server]
) -> None:
    """Nothing in the main stack reads a faults file."""

    def variables(*, drill: bool) -> set[str]:
        started = programs(layout, plan, servers, drill=drill)
        return {variable for program in started for variable in program.environment}

    assert not [name for name in variables(drill=False) if "FAULT" in name]
    assert {"EVARA_FAULTS_FILE", "EVARA_ORDERS_EVERY"} <= variables(drill=True)
    assert "EVARA_ORDERS_EVERY" not in variables(drill=False)


def test_log_servers_start_first_with_every_setting(
    layout: StackLayout, plan: Plan, all_servers: dict[str, Server]
) -> None:
    """They see all lines of the others and have every variable that their files contain."""
    by_name = {program.name: program for program in programs(layout, plan, all_servers)}
    start_order = sorted(by_name, key=lambda name: by_name[name].priority)
    assert start_order[:2] == ["loki", "fluent-bit"]
    write_server_configs(layout, plan)
    for name in LOG_SERVERS:
        [option] = [word for word in by_name[name].command if word.endswith(".yaml")]
        config = Path(option.split("=", 1)[1]).read_text(encoding="utf-8")
        variables = set(re.findall(r"\$\{(\w+)", config))
        assert variables
        assert variables <= by_name[name].environment.keys()
    environment = by_name["loki"].environment
    assert (Path(environment["EVARA_LOKI_RULES"]) / "fake" / "rules.yaml").exists()
    assert environment["EVARA_LOKI_PORT"] == "33100"


def test_log_servers_are_optional(
    layout: StackLayout, plan: Plan, servers: dict[str, Server]
) -> None:
    """Without them the stack starts as it is."""
    started = {program.name for program in programs(layout, plan, servers)}
    assert started.isdisjoint(LOG_SERVERS)


def test_log_programs_are_programs_of_the_stacks(
    layout: StackLayout, plan: Plan, all_servers: dict[str, Server]
) -> None:
    """Log alerts and the board of logs name programs of a stack, or supervisord."""
    started = {program.name for program in programs(layout, plan, all_servers)} | {"supervisord"}
    services = yaml.safe_load(SERVICES.read_text(encoding="utf-8"))["services"]
    shipped = started - set(LOG_SERVERS)
    shown = {*names.LOG_PROGRAMS, *plan.stack.programs}
    assert shipped <= shown <= started | services.keys()


def test_a_new_configuration_restarts_the_log_servers(
    layout: StackLayout,
    plan: Plan,
    plan_of: Callable[..., Plan],
    all_servers: dict[str, Server],
) -> None:
    """Neither of them reads it again by itself; rules are read again, so they restart nothing."""

    def settings(changed_plan: Plan) -> list[dict[str, str]]:
        started = programs(layout, changed_plan, all_servers)
        return [program.environment for program in started if program.name in LOG_SERVERS]

    assert settings(plan_of((("period: 30d", "period: 7d"),))) != settings(plan)
    assert settings(plan_of((("more_than: 20", "more_than: 30"),))) == settings(plan)


def test_changed_code_restarts_the_programs_that_load_it(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    layout: StackLayout,
    plan: Plan,
    servers: dict[str, Server],
) -> None:
    """The prober does not restart for a change of the API; gunicorn replaces its workers."""
    for folder in ("api", "observability", "loadtests"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "code.py").write_text("before", encoding="utf-8")
    monkeypatch.setattr(stack_programs, "ROOT", tmp_path)

    def releases() -> dict[str, str]:
        started = programs(layout, plan, servers)
        return {program.name: program.environment.get("EVARA_RELEASE", "") for program in started}

    restarted = {}
    for folder in ("api", "observability", "loadtests"):
        before = releases()
        (tmp_path / folder / "code.py").write_text("after", encoding="utf-8")
        restarted[folder] = {name for name, digest in releases().items() if digest != before[name]}
    assert restarted["api"] == {"api", "metrics", "worker"}
    assert restarted["observability"] == {"api", "metrics", "worker", "prober", "console"}
    assert restarted["loadtests"] == {"replay"}


def test_helper_programs_have_their_port_and_the_api_finds_them(
    layout: StackLayout, plan: Plan, servers: dict[str, Server]
) -> None:
    """A drill starts them with arguments of its own."""
    by_name = {program.name: program for program in programs(layout, plan, servers)}
    port = layout.ports["replay"]
    stub = ["-m", "loadtests.thingspeak_stub", "--port", str(port)]
    assert by_name["replay"].command[1:] == stub
    for name in ("api", "worker", "metrics"):
        assert by_name[name].environment["EVARA_STUB_URL"] == f"http://127.0.0.1:{port}"
    assert "EVARA_STUB_URL" not in by_name["prober"].environment
    [drilled] = [
        program
        for program in programs(layout, plan, servers, drill=True)
        if program.name == "replay"
    ]
    assert drilled.command[1:] == [*stub, "--history", "60"]


def test_user_settings_reach_the_api_but_no_drill(
    monkeypatch: pytest.MonkeyPatch, layout: StackLayout, tmp_path: Path
) -> None:
    """Those that are set are passed on as they are, from .env, too: `make up` applies a change."""
    monkeypatch.setattr(user_settings, "ROOT", tmp_path)
    settings = read_native_yaml()["user_settings"]
    assert {"EVARA_WEBHOOK_URL", "EVARA_WEBHOOK_SECRET"} < set(settings)
    assert api_environment(layout).keys().isdisjoint(settings)
    values = {name: f"of the user: {name}" for name in settings}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    environment = api_environment(layout)
    assert {name: environment[name] for name in settings} == values
    monkeypatch.delenv("EVARA_WEBHOOK_URL")
    (tmp_path / ".env").write_text("EVARA_WEBHOOK_URL=http://localhost:1\n", encoding="utf-8")
    assert api_environment(layout)["EVARA_WEBHOOK_URL"] == "http://localhost:1"
    drill = api_environment(layout, drill=True)
    assert not any(drill.get(name) for name in settings)


def test_the_key_and_the_hosts_in_dotenv_reach_the_stack(
    layout: StackLayout,
    plan: Plan,
    servers: dict[str, Server],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Bearers of existing clients keep working; the environment wins, and drills use neither."""
    assert api_environment(layout)["EVARA_DEVELOPMENT_KEY"] == "evara-development-key"
    given = "EVARA_DEVELOPMENT_KEY=my-own-bearer\nEVARA_TRUSTED_HOSTS=api.example.org\n"
    (tmp_path / ".env").write_text(given, encoding="utf-8")
    monkeypatch.setattr(user_settings, "ROOT", tmp_path)
    by_name = {program.name: program for program in programs(layout, plan, servers)}
    assert by_name["api"].environment["EVARA_DEVELOPMENT_KEY"] == "my-own-bearer"
    for name in ("api", "console", "prober", "replay"):
        assert by_name[name].environment["EVARA_TRUSTED_HOSTS"] == "api.example.org"
    drill = api_environment(layout, drill=True)
    assert drill["EVARA_DEVELOPMENT_KEY"] == "evara-development-key"
    monkeypatch.setenv("EVARA_DEVELOPMENT_KEY", "exported")
    assert api_environment(layout)["EVARA_DEVELOPMENT_KEY"] == "exported"


def test_a_drill_overrides_receivers_in_dotenv(layout: StackLayout) -> None:
    """The API also reads .env; a drill must not reach the user's receivers or stores."""
    drill = api_environment(layout, drill=True)
    outside = ("EVARA_OTLP_ENDPOINT", "EVARA_SENTRY_DSN", "EVARA_WEBHOOK_URL", "EVARA_REDIS_URL")
    assert {name: drill.get(name) for name in outside} == dict.fromkeys(outside, "")
