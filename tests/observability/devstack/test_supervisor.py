"""supervisord: quoting, restarts, and the private socket."""

import configparser
import shlex
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from observability.devstack import supervisor
from observability.devstack.layout import StackLayout
from observability.devstack.programs import Program
from observability.devstack.supervisor import Supervisor
from tests.waiting import until

RELOADING = """
import json, os, pathlib, signal, sys

def tell(*_):
    settings = json.loads(pathlib.Path(os.environ["EVARA_ENVIRONMENT_FILE"]).read_text())
    with open(sys.argv[1], "a") as told:
        told.write(settings["EVARA_X"] + chr(10))

signal.signal(signal.SIGHUP, tell)
tell()
while True:
    signal.pause()
"""


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
def test_quoted_words_survive_the_config_syntax(word: str, layout: StackLayout) -> None:
    """Spaces, quotes, backslashes and % reach commands and environments unchanged."""
    text = supervisor.config_text(layout, [Program("p", ("run", word), 10, {"EVARA_X": word})])
    config = configparser.ConfigParser(inline_comment_prefixes=(";", "#"))
    config.optionxform = str  # type: ignore[assignment, method-assign]
    config.read_string(text)
    assert shlex.split(config["program:p"]["command"]) == ["run", word]
    assert shlex.split(config["program:p"]["environment"].removeprefix("EVARA_X="))[0:1] == [word]


def test_processes_are_restarted_and_the_socket_is_private(layout: StackLayout) -> None:
    """A process that ends is restarted; only the owner can talk to supervisord."""
    config = configparser.RawConfigParser()
    config.read_string(supervisor.config_text(layout, [Program("p", ("x",), 1)]))
    assert config["program:p"]["autorestart"] == "true"
    assert config["unix_http_server"]["chmod"] == "0700"


def test_the_socket_path_is_short_and_unique_per_stack(layout: StackLayout, tmp_path: Path) -> None:
    """A deep checkout does not make the path too long for a socket."""
    deep = replace(layout, state=tmp_path / ("x" * 200))
    assert len(str(supervisor.socket_path(deep))) < 107
    assert supervisor.socket_path(deep) != supervisor.socket_path(layout)
    assert not supervisor.Supervisor(layout).is_alive()
    assert supervisor.Supervisor(layout).stop() is False


@pytest.fixture
def running(layout: StackLayout) -> Iterator[Supervisor]:
    """Yield the supervisor of the layout; end what the test has started."""
    layout.state.mkdir(parents=True)
    running_supervisor = Supervisor(layout)
    yield running_supervisor
    running_supervisor.stop()


def states(running: Supervisor) -> dict[str, str]:
    return {process["name"]: process["statename"] for process in running.processes()}


def pids(running: Supervisor) -> dict[str, int]:
    return {process["name"]: process["pid"] for process in running.processes()}


def test_a_program_that_reloads_gets_new_settings_without_a_restart(
    running: Supervisor, layout: StackLayout, tmp_path: Path
) -> None:
    """It reads them from a private file again; other programs restart when theirs change."""
    told, script = tmp_path / "told", tmp_path / "reloading.py"
    script.write_text(RELOADING)
    command = (sys.executable, str(script), str(told))

    def start(setting: str) -> dict[str, int]:
        environment = {"EVARA_X": setting}
        other = Program("other", ("sleep", "1000"), 1, environment)
        running.start([Program("p", command, 1, environment, reloads=True), other])
        until(lambda: set(states(running).values()) == {"RUNNING"}, 60, "every program")
        until(lambda: told.read_text().splitlines()[-1:] == [setting], 60, "the setting")
        return pids(running)

    first = start("old % 'secret'")
    [path] = layout.state.glob("*.environment.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = start("new")
    assert second["p"] == first["p"]
    assert second["other"] != first["other"]
    start("new")
    assert len(told.read_text().splitlines()) == 2


def test_a_start_that_was_interrupted_is_finished_by_the_next(running: Supervisor) -> None:
    """A program that was removed to be replaced does not stay away."""
    programs = [Program("p", ("sleep", "1000"), 1)]
    running.start(programs)
    until(lambda: states(running) == {"p": "RUNNING"}, 60, "the program")
    running._rpc.stopProcessGroup("p")
    running._rpc.removeProcessGroup("p")
    assert states(running) == {}
    running.start(programs)
    until(lambda: states(running) == {"p": "RUNNING"}, 60, "the program")
