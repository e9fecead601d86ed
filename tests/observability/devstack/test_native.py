"""Pure decisions of the native stack: quoting, finding servers, taken ports, and what each process is given."""

import configparser
import os
import re
import shlex
import socket
import sqlite3
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from observability.devstack import binaries, native, readiness, supervisor
from observability.devstack import layout as layouts
from observability.devstack import processes as stack_programs
from observability.devstack.binaries import Server
from observability.devstack.layout import ROOT, Ports, StackLayout
from observability.devstack.processes import (
    PASSED,
    Program,
    announce,
    api_environment,
    conceal,
    configure,
    process_environment,
    programs,
    prometheus_config,
)
from observability.generate import fluentbit
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.problems import Invalid


@pytest.fixture
def layout(tmp_path: Path) -> StackLayout:
    return StackLayout(tmp_path / "state", Ports().shifted(30_000), tmp_path / "servers")


# --- supervisor -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    [
        "plain",
        "two words",
        "100%",
        "%(here)s",
        'say "hi"',
        "back\\slash",
        "it's",
        "a,b;c",
        "ünïcode",
        "",
    ],
)
def test_words_reach_the_process_as_they_are(word: str, layout: StackLayout) -> None:
    """Spaces, quotes, backslashes and % survive supervisor's own syntax, in commands and in the environment."""
    text = supervisor.config_text(layout, [Program("p", ("run", word), 10, {"EVARA_X": word})])
    config = configparser.ConfigParser(inline_comment_prefixes=(";", "#"))
    config.optionxform = str  # type: ignore[assignment, method-assign]
    config.read_string(text)
    assert shlex.split(config["program:p"]["command"]) == ["run", word]
    assert shlex.split(config["program:p"]["environment"].removeprefix("EVARA_X="))[0:1] == [word]


def test_processes_are_restarted_and_the_socket_is_private(layout: StackLayout) -> None:
    """Whatever ends comes back; nobody else may talk to supervisor."""
    config = configparser.RawConfigParser()
    config.read_string(supervisor.config_text(layout, [Program("p", ("x",), 1)]))
    assert config["program:p"]["autorestart"] == "true"
    assert config["unix_http_server"]["chmod"] == "0700"


def test_the_socket_is_short_and_a_sites_own(layout: StackLayout, tmp_path: Path) -> None:
    """A deep checkout does not make the path too long for a socket."""
    deep = replace(layout, state=tmp_path / ("x" * 200))
    assert len(str(supervisor.socket_path(deep))) < 107
    assert supervisor.socket_path(deep) != supervisor.socket_path(layout)
    assert not supervisor.Supervisor(layout).alive()
    assert supervisor.Supervisor(layout).stop() is False


# --- servers ----------------------------------------------------------------------------------------------------------


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_server_on_path_comes_before_an_unpacked_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system has is used; the unpacked one stands in; else there is none."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert binaries.find("alertmanager", tmp_path / "s") is None
    unpacked = executable(tmp_path / "s" / "root" / "usr" / "bin" / "prometheus-alertmanager")
    assert binaries.find("alertmanager", tmp_path / "s") == unpacked
    on_path = executable(tmp_path / "bin" / "alertmanager")
    assert binaries.find("alertmanager", tmp_path / "s") == on_path


def test_without_apt_the_mend_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On another system there is nothing to unpack with."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        binaries.MissingServers, match="there is no apt-get to fetch it with; install prometheus"
    ):
        binaries.ensure(tmp_path, lambda _: None)


def test_servers_that_are_all_there_are_only_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is downloaded, and nothing is said."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in binaries.WANTED:
        executable(tmp_path / "bin" / name)
    said: list[str] = []
    found = binaries.ensure(tmp_path / "s", said.append)
    assert {name: server.path.name for name, server in found.items()} == {
        name: name for name in binaries.WANTED
    }
    assert said == []


def speaking(path: Path, words: str) -> None:
    executable(path).write_text(f"#!/bin/sh\necho '{words}'\n", encoding="utf-8")


def test_loki_and_fluent_bit_take_part_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One alone is of no use; both are known by what they say about themselves."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    speaking(tmp_path / "loki", "loki, version 3.7.6 (branch: x)")
    speaking(tmp_path / "fluent-bit", "something else")
    assert binaries.find_log_server("loki") == tmp_path / "loki"
    assert binaries.find_log_server("fluent-bit") is None
    assert binaries.log_servers() == {}
    speaking(tmp_path / "fluent-bit", "Fluent Bit v5.1.2")
    assert binaries.log_servers() == {
        name: Server(tmp_path / name) for name in ("loki", "fluent-bit")
    }


def test_a_missing_loki_is_no_fault(
    layout: StackLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`doctor` names what may take part, and asks for its ports only where it does."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    rows = {what: (fine, how) for what, fine, how in native.doctor(layout)}
    assert (
        rows["loki"]
        == rows["fluent-bit"]
        == (True, "not on PATH; without it logs stay in files, which is fine")
    )
    assert f"port {layout.ports.loki}" not in rows
    speaking(tmp_path / "loki", "loki, version 3.7.6")
    speaking(tmp_path / "fluent-bit", "Fluent Bit v5.1.2")
    rows = {what: (fine, how) for what, fine, how in native.doctor(layout)}
    assert rows["loki"] == (True, str(tmp_path / "loki"))
    assert f"port {layout.ports.loki}" in rows


@pytest.mark.parametrize(
    "script",
    ["#!/bin/sh\necho 'LOKI genetics, version 2'\n", "#!/bin/sh\nexit 1\n", "no program at all"],
)
def test_another_program_called_loki_is_passed_over(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's is about genetics; a file that cannot be run is none either."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    executable(tmp_path / "loki").write_text(script, encoding="utf-8")
    assert binaries.find_log_server("loki") is None


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """An unpacked Alertmanager whose templates are nowhere yet."""
    monkeypatch.setattr(binaries, "TEMPLATES", tmp_path / "share" / "alertmanager")
    (tmp_path / "s" / "root" / "usr" / "share" / "prometheus" / "alertmanager").mkdir(parents=True)
    return Server(executable(tmp_path / "s" / "root" / "usr" / "bin" / "alertmanager"))


def test_templates_that_are_there_need_nothing(packed: Server, tmp_path: Path) -> None:
    """Nor does a server of the system's own."""
    assert binaries.with_templates(Server(Path("/usr/bin/alertmanager")), tmp_path / "s").wrap == ()
    binaries.TEMPLATES.mkdir(parents=True)
    assert binaries.with_templates(packed, tmp_path / "s") == packed


def test_an_overlay_is_the_first_choice(
    packed: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server sees its templates, and nobody else does."""
    monkeypatch.setattr(binaries, "runs", lambda command: "unshare" in command[0])
    monkeypatch.setattr(binaries.shutil, "which", lambda name, **_: f"/usr/bin/{name}")
    command = binaries.with_templates(packed, tmp_path / "s").command("--x")
    assert command[:3] == ["unshare", "-rm", "sh"]
    assert command[-2:] == [str(packed.path), "--x"]


def test_proot_is_the_second_choice(
    packed: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where namespaces are forbidden."""
    monkeypatch.setattr(binaries, "runs", lambda command: "unshare" not in command[0])
    monkeypatch.setattr(binaries.shutil, "which", lambda name, **_: f"/usr/bin/{name}")
    assert binaries.with_templates(packed, tmp_path / "s").wrap[0] == "/usr/bin/proot"


@pytest.mark.parametrize("user", [0, 1000])
def test_root_is_the_last_choice(
    user: int, packed: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root makes a link that is taken back; anybody else is told what to install."""
    monkeypatch.setattr(binaries, "runs", lambda _: False)
    monkeypatch.setattr(binaries, "unpack", lambda *_, **__: None)
    monkeypatch.setattr(binaries.os, "geteuid", lambda: user)
    folder = tmp_path / "s"
    if user:
        with pytest.raises(
            binaries.MissingServers, match="install proot or prometheus-alertmanager"
        ):
            binaries.with_templates(packed, folder)
        return
    assert binaries.with_templates(packed, folder) == packed
    assert binaries.TEMPLATES.is_symlink()
    binaries.forget_templates(tmp_path / "another")
    assert binaries.TEMPLATES.is_symlink()
    binaries.forget_templates(folder)
    assert not binaries.TEMPLATES.is_symlink()


# --- ports ------------------------------------------------------------------------------------------------------------


def test_a_taken_port_is_seen_and_its_owner_named() -> None:
    """The refusal names who holds the port: this very process."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not native.is_free(port)
        assert native.owner(port).startswith(f"pid {os.getpid()} (")
    assert native.is_free(port)
    assert native.owner(port) == "a process of another user"


def test_a_taken_port_refuses_the_stack(layout: StackLayout) -> None:
    """Before anything starts, with the port, its use, and the way around it; a running stack holds its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        taken = replace(layout, ports=replace(layout.ports, api=port))
        with pytest.raises(
            readiness.Refused,
            match=rf"port {port} \(api\) is taken by pid {os.getpid()}.*EVARA_PORT_OFFSET",
        ):
            native.check_machine(taken, False, native.ports(taken, {}))
        native.check_machine(taken, True, native.ports(taken, {}))


def test_ports_of_loki_matter_where_it_takes_part(layout: StackLayout) -> None:
    """Without Loki anybody may have them."""
    both = {name: Server(Path(name)) for name in binaries.LOG_SERVERS}
    assert native.ports(layout, both).keys() == layout.ports.named().keys() - set(native.CONTAINERS)
    assert native.ports(layout, both).keys() - native.ports(layout, {}).keys() == {
        "loki",
        "loki_grpc",
    }


# --- what the processes get -------------------------------------------------------------------------------------------


def test_ports_move_together(layout: StackLayout) -> None:
    """One offset moves the whole stack."""
    assert layout.url("api") == "http://127.0.0.1:38000"
    assert {port - 30_000 for port in layout.ports.named().values()} == set(
        Ports().named().values()
    )


def test_a_second_stack_is_a_matter_of_two_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its folder and its offset; everything else follows."""
    monkeypatch.setenv("EVARA_STACK_DIR", str(tmp_path))
    monkeypatch.setenv("EVARA_PORT_OFFSET", "100")
    made = StackLayout.main()
    assert (made.state, made.ports.api) == (tmp_path.resolve(), 8100)
    assert {
        path.parent
        for path in (made.database, made.metrics, made.logs, made.config, made.inbox, made.fault)
    } == {made.state}


@pytest.mark.parametrize(("mode", "there"), [("", False), ("native", False), ("compose", True)])
def test_the_gateway_is_promised_where_it_runs(layout: StackLayout, mode: str, there: bool) -> None:
    """The native stack has none, so `slo`, `load` and the console do not know its SLO; compose has one."""
    if mode:
        layout.remember(mode)
    assert any(slo.name == "gateway-availability" for slo in layout.plan().slos) is there


@pytest.mark.parametrize("wrong", ["abc", "-1", "60000", "1.5"])
def test_an_offset_that_is_none_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """The variable, its value and what it may be are named."""
    monkeypatch.setenv("EVARA_PORT_OFFSET", wrong)
    with pytest.raises(Invalid, match=f"(?s)EVARA_PORT_OFFSET: .{wrong}.*whole number"):
        StackLayout.main()


def test_keys_are_made_once_kept_private_and_replaced_when_they_fail(layout: StackLayout) -> None:
    """Each file is readable by its owner alone and stays; one that is lost, wrong or revoked is made anew by the next `up`."""
    layout.state.mkdir(parents=True)

    def prepared() -> tuple[str, str]:
        native.prepare_database(layout)
        return layout.key("prober"), layout.key("load")

    assert (layout.key("prober"), layout.key("load")) == ("", "")
    first = prepared()
    assert all(key.startswith("evara_") for key in first)
    assert {stat.S_IMODE(path.stat().st_mode) for path in layout.keys.iterdir()} == {0o600}
    assert prepared() == first
    (layout.keys / "load").unlink()
    second = prepared()
    assert (second[0], second[1] == first[1]) == (first[0], False)
    (layout.keys / "load").write_text("evara_wrong", encoding="utf-8")
    with sqlite3.connect(layout.database) as database:
        database.execute("UPDATE api_keys SET revoked_at = created_at WHERE name = 'prober'")
    third = prepared()
    assert not set(third) & {*first, *second, "", "evara_wrong"}
    assert prepared() == third


def test_keys_are_in_no_command_line(layout: StackLayout, plan: Plan) -> None:
    """Everybody on the machine sees those; the prober finds its key in its environment."""
    layout.keys.mkdir(parents=True)
    for name in ("prober", "load"):
        (layout.keys / name).write_text(f"evara_of_{name}", encoding="utf-8")
    made = programs(layout, plan, {n: Server(Path("/bin") / n) for n in binaries.WANTED})
    assert not [word for program in made for word in program.command if "evara_of" in word]
    holders = {
        program.name: key for program in made if (key := program.environment.get("EVARA_API_KEY"))
    }
    assert holders == {"prober": "evara_of_prober"}


def test_retention_is_longer_than_the_period(layout: StackLayout, plan: Plan) -> None:
    """A window of 30 days needs more than 30 days of data; faults are for drills alone."""
    made = {
        program.name: program
        for program in programs(
            layout, plan, {n: Server(Path("/bin") / n) for n in binaries.WANTED}
        )
    }
    assert "--storage.tsdb.retention.time=31d" in made["prometheus"].command
    assert not [key for program in made.values() for key in program.environment if "FAULT" in key]
    drilled = programs(
        layout, plan, {n: Server(Path("/bin") / n) for n in binaries.WANTED}, faults=True
    )
    assert any("EVARA_FAULTS_FILE" in program.environment for program in drilled)


def test_log_servers_start_first_and_know_where_they_are(layout: StackLayout, plan: Plan) -> None:
    """They join where they were found, see the first and the last line of all others, and get every setting that their files ask for."""
    found = {
        name: Server(Path("/bin") / name) for name in (*binaries.WANTED, *binaries.LOG_SERVERS)
    }
    made = {program.name: program for program in programs(layout, plan, found)}
    assert sorted(made, key=lambda name: made[name].priority)[:2] == ["loki", "fluent-bit"]
    assert not {"loki", "fluent-bit"} & {
        p.name for p in programs(layout, plan, {n: found[n] for n in binaries.WANTED})
    }
    configure(layout, plan)
    for name in ("loki", "fluent-bit"):
        [path] = [
            Path(word.split("=", 1)[1])
            for word in made[name].command
            if "config" in word and word.endswith(".yaml")
        ]
        asked = set(re.findall(r"\$\{(\w+)", path.read_text(encoding="utf-8")))
        assert asked
        assert asked <= made[name].environment.keys()
    assert (Path(made["loki"].environment["EVARA_LOKI_RULES"]) / "fake" / "rules.yaml").exists()
    assert made["loki"].environment["EVARA_LOKI_PORT"] == "33100"


def test_every_program_whose_lines_are_shipped_can_be_asked_for(
    layout: StackLayout, plan: Plan
) -> None:
    """The programs that log alerts and the board of logs may name are those of the stacks, and the native one's supervisor."""
    found = {
        name: Server(Path("/bin") / name) for name in (*binaries.WANTED, *binaries.LOG_SERVERS)
    }
    started = {program.name for program in programs(layout, plan, found)} | {"supervisord"}
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert (
        started - set(fluentbit.UNSHIPPED) <= set(names.LOG_PROGRAMS) <= started | services.keys()
    )


def test_a_new_configuration_restarts_the_log_servers(
    layout: StackLayout, plan: Plan, plan_of: Callable[..., Plan]
) -> None:
    """Neither of them reads it again by itself; rules are read again, so they restart nothing."""

    def settings(made: Plan) -> list[dict[str, str]]:
        found = {
            name: Server(Path("/bin") / name) for name in (*binaries.WANTED, *binaries.LOG_SERVERS)
        }
        return [
            program.environment
            for program in programs(layout, made, found)
            if program.name in binaries.LOG_SERVERS
        ]

    assert settings(plan_of((("period: 30d", "period: 7d"),))) != settings(plan)
    assert settings(plan_of((("more_than: 20", "more_than: 30"),))) == settings(plan)


def test_a_new_release_restarts_those_who_read_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, layout: StackLayout, plan: Plan
) -> None:
    """The prober watches on while the API changes; gunicorn changes its workers by itself."""
    for folder in ("api", "observability", "loadtests"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "code.py").write_text("before", encoding="utf-8")
    monkeypatch.setattr(stack_programs, "ROOT", tmp_path)

    def releases() -> dict[str, str]:
        made = programs(layout, plan, {n: Server(Path("/bin") / n) for n in binaries.WANTED})
        return {program.name: program.environment.get("EVARA_RELEASE", "") for program in made}

    restarted = {}
    for folder in ("api", "observability", "loadtests"):
        before = releases()
        (tmp_path / folder / "code.py").write_text("after", encoding="utf-8")
        restarted[folder] = {name for name, digest in releases().items() if digest != before[name]}
    assert restarted["api"] == {"metrics", "worker"}
    assert restarted["observability"] == {"metrics", "worker", "prober", "console"}
    assert restarted["loadtests"] == {"replay"}


def test_settings_of_another_stack_are_not_inherited(
    monkeypatch: pytest.MonkeyPatch, layout: StackLayout
) -> None:
    """A process sees what its program says, and nothing meant for others."""
    monkeypatch.setenv("EVARA_DATABASE_URL", "another")
    monkeypatch.setenv("HOME", "/here")
    environment = process_environment(Program("p", (), 0, {"EVARA_BIND": "x"}), layout)
    assert (
        environment.get("EVARA_DATABASE_URL"),
        environment["EVARA_BIND"],
        environment["HOME"],
    ) == (None, "x", "/here")


def test_only_the_clock_of_the_hand_written_configuration_changes(plan: Plan, fast: Plan) -> None:
    """A drill scrapes faster; everything else in the file is what ships."""
    shipped, quick = (
        yaml.safe_load(prometheus_config(plan)),
        yaml.safe_load(prometheus_config(fast)),
    )
    assert shipped.pop("global") == {
        "scrape_interval": "5s",
        "scrape_timeout": "4s",
        "evaluation_interval": "5s",
    }
    assert quick.pop("global") == {
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "evaluation_interval": "1s",
    }
    assert shipped == quick


def test_the_servers_configuration_names_this_sites_addresses(
    layout: StackLayout, plan: Plan, tmp_path: Path
) -> None:
    """The inbox is this site's; integrations join when their secret is there."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "slack_url").write_text("x", encoding="utf-8")
    configure(layout, plan, secrets)
    text = (layout.config / "alertmanager.yaml").read_text(encoding="utf-8")
    assert "http://127.0.0.1:38080/api/inbox" in text
    assert f"{secrets}/slack_url" in text
    assert "pagerduty" not in text


def test_targets_are_announced_when_they_work_and_concealed_before_a_start(
    layout: StackLayout, plan: Plan
) -> None:
    """Every file that the hand-written configuration names, with this site's ports, and none before its time."""
    configure(layout, plan)
    config = yaml.safe_load((layout.config / "prometheus.yaml").read_text(encoding="utf-8"))
    jobs = [*config["scrape_configs"], *config["alerting"]["alertmanagers"]]
    wanted = {name for job in jobs for found in job["file_sd_configs"] for name in found["files"]}
    folder = layout.config / "targets"
    assert list(folder.iterdir()) == []
    announce(layout)
    assert {f"targets/{path.name}" for path in folder.iterdir()} == wanted
    assert yaml.safe_load((folder / "api.yaml").read_text(encoding="utf-8")) == [
        {"targets": ["127.0.0.1:39101"]}
    ]
    conceal(layout)
    assert list(folder.iterdir()) == []


def test_clean_leaves_the_reports_of_another_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A second stack has its reports in its own folder, so that removing it takes nothing of the first."""
    monkeypatch.setattr(layouts, "ROOT", tmp_path / "code")
    second = StackLayout(tmp_path / "second", Ports().shifted(30_000), tmp_path / "servers")
    first = StackLayout(tmp_path / "code" / ".stack", Ports().shifted(31_000), tmp_path / "servers")
    for layout in (first, second):
        layout.state.mkdir(parents=True)
        (layout.reports / "run").mkdir(parents=True)
    assert native.clean(second) == [second.reports, second.state]
    assert (first.reports / "run").exists()
    assert first.state.exists()
    assert not second.state.exists()
    assert native.clean(first) == [tmp_path / "code" / "reports", first.state]


def test_what_the_user_sends_elsewhere_reaches_the_api_but_no_drill(
    monkeypatch: pytest.MonkeyPatch, layout: StackLayout
) -> None:
    """Collector, ratio, error tracker, version and webhook are passed on as they are, and left out where nobody set them."""
    assert {"EVARA_WEBHOOK_URL", "EVARA_WEBHOOK_SECRET"} < set(PASSED)
    assert not api_environment(layout).keys() & set(PASSED)
    for name in PASSED:
        monkeypatch.setenv(name, f"of the user: {name}")
    assert {name: api_environment(layout)[name] for name in PASSED} == {
        name: f"of the user: {name}" for name in PASSED
    }
    drill = api_environment(layout, faults=True)
    assert not any(drill.get(name) for name in PASSED)


def test_a_drill_sends_nothing_where_dotenv_says(layout: StackLayout) -> None:
    """The API reads .env beside the code, too; a drill's overrules whatever would reach receivers or stores of the user."""
    drill = api_environment(layout, faults=True)
    outside = ("EVARA_OTLP_ENDPOINT", "EVARA_SENTRY_DSN", "EVARA_WEBHOOK_URL", "EVARA_REDIS_URL")
    assert {name: drill.get(name) for name in outside} == dict.fromkeys(outside, "")
