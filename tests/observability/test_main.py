"""The command line as a whole: help, colours, and a wrong catalogue under any command."""

import pytest
from click.testing import CliRunner

from observability.__main__ import cli
from observability.spec import loading
from observability.spec.plan import Plan
from observability.spec.problems import Invalid, Problem
from tests.observability.commands.support import invoke, run

COMMANDS = (
    "audit",
    "backup",
    "check",
    "clean",
    "console",
    "deploy",
    "doctor",
    "down",
    "drill",
    "fetch",
    "generate",
    "load",
    "logs",
    "restore",
    "rollback",
    "slo",
    "status",
    "up",
)


def test_help_is_the_map() -> None:
    """Every command is there with a sentence, and nothing else is."""
    text = CliRunner().invoke(cli, ["--help"]).output
    listed = text.split("Commands:")[1].splitlines()[1:]
    assert sorted(line.split()[0] for line in listed if line.strip()) == sorted(COMMANDS)
    assert all(len(line.split()) > 2 for line in listed if line.strip())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    """--help of a command has a sentence, and exits 0."""
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert command in result.output
    assert "." in result.output.split("Options:")[0]


@pytest.mark.parametrize(
    ("settings", "coloured"),
    [({"NO_COLOR": "1", "FORCE_COLOR": ""}, False), ({"FORCE_COLOR": "1"}, True)],
)
def test_colours_can_be_switched_off(settings: dict[str, str], coloured: bool) -> None:
    """NO_COLOR is respected, and so is a terminal that wants them."""
    environment = {key: value for key, value in settings.items() if value}
    result = run("drill", "no-such-drill", **environment)
    assert ("\x1b[31m" in result.stderr) is coloured


@pytest.mark.parametrize("command", ["slo", "up", "drill"])
def test_a_wrong_catalogue_is_no_traceback(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Whatever reads the catalogue shows its problems and exits 1."""

    def invalid(*_: object, **__: object) -> Plan:
        raise Invalid([Problem("catalogue.yaml: owner", "is missing", "add it")])

    monkeypatch.setattr(loading, "load_plan", invalid)
    result = invoke(command)
    assert result.exit_code == 1
    assert "catalogue.yaml: owner: is missing" in result.stderr
