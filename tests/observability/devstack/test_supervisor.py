"""supervisord: quoting, restarts, and the private socket."""

import configparser
import json
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from observability.devstack import supervisor
from observability.devstack.layout import StackLayout
from observability.devstack.native import start_programs
from observability.devstack.programs import Program
from observability.devstack.steps import StackError
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


def test_processes_are_restarted_and_the_socket_is_private(layout: StackLayout) -> None:
    """A process that ends is restarted; only the owner can talk to supervisord."""
    config = configparser.RawConfigParser()
    config.read_string(supervisor.config_text(layout, [Program("p", ("x",), 1)]))
    assert config["program:p"]["autorestart"] == "true"
    assert config["unix_http_server"]["chmod"] == "0700"


def test_the_socket_path_is_short_and_unique_per_stack(layout: StackLayout, tmp_path: Path) -> None:
    """A deep checkout does not make the path too long for a socket."""
    deep = replace(layout, state=tmp_path / ("x" * 200))
    assert len(str(deep.supervisor_socket)) < 107
    assert deep.supervisor_socket != layout.supervisor_socket
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


WORDS = [
    "plain",
    "two words",
    " spaces around ",
    "100%",
    "%(here)s",
    'say "hi"',
    "back\\slash",
    "ends with \\",
    "it's",
    "'quoted'",
    '"quoted"',
    "a,b;c",
    "A=b",
    "ünïcode",
    "",
]
TELLING = """
import json, os, sys, time

file, *words = sys.argv[1:]
variables = {name: value for name, value in os.environ.items() if name.startswith("EVARA_")}
with open(file + ".new", "w") as told:
    json.dump([variables["EVARA_X"], words], told)
os.rename(file + ".new", file)
time.sleep(1000)
"""


def test_settings_and_words_of_commands_reach_programs_unchanged(
    running: Supervisor, tmp_path: Path
) -> None:
    """Quotes, backslashes, line breaks and % have no meaning in the environment of a program."""
    script = tmp_path / "telling.py"
    script.write_text(TELLING)
    settings = [*WORDS, "two\nlines", "ends\n", "no ;comment #at all"]
    told = [tmp_path / str(number) for number in range(len(settings))]
    programs = []
    for path, setting in zip(told, settings, strict=True):
        command = (sys.executable, str(script), str(path), *WORDS)
        programs.append(Program(path.name, command, 1, {"EVARA_X": setting}))
    running.start(programs)
    until(lambda: all(path.exists() for path in told), 60, "every program")
    assert [json.loads(path.read_text()) for path in told] == [[one, WORDS] for one in settings]


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
    modes = [stat.S_IMODE(path.stat().st_mode) for path in layout.state.glob("*.environment.json")]
    assert modes == [0o600, 0o600]
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


@pytest.mark.parametrize("is_running", [False, True])
def test_a_refused_configuration_is_not_quoted(
    running: Supervisor,
    layout: StackLayout,
    capfd: pytest.CaptureFixture[str],
    *,
    is_running: bool,
) -> None:
    """supervisord's own message would quote it; the reader gets a fix instead of a traceback."""
    if is_running:
        running.start([Program("p", ("sleep", "1000"), 1)])
    refused = Program("p", ("sleep", "1000"), "secret")  # type: ignore[arg-type]
    with pytest.raises(StackError, match="fix: make down, then make up") as caught:
        start_programs(layout, running, [refused], is_running=is_running)
    assert "secret" not in str(caught.value)
    assert "secret" not in "".join(capfd.readouterr())
