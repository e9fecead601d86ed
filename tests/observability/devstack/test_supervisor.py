"""supervisord: quoting, restarts, and the private socket."""

import configparser
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from observability.devstack import supervisor
from observability.devstack.layout import StackLayout
from observability.devstack.programs import Program


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
    """Whatever ends comes back; nobody else may talk to supervisor."""
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
