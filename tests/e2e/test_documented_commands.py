"""The documented commands, as they are written, in a copy of the checkout with a native stack.

Each command of the documentation is in one of these lists, as tests/test_documented_commands.py
requires.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from observability.devstack.guardian import Guardian
from observability.devstack.layout import PORTS, ROOT
from observability.drill.sandbox import free_ports
from tests.e2e.checkout import copy_checkout
from tests.e2e.documented_commands import (
    Command,
    commands_of_pages,
    compose_commands,
    printed_lines,
    typed_lines,
)
from tests.e2e.shell import Shell

DOCUMENTED = commands_of_pages()
OTHER_TESTS = {  # which run the blocks of a page, or of one of its sections
    "adopt.md#Compile it": "tests/e2e/test_adopt.py",
    "api.md": "tests/e2e/test_api_docs.py",
    "template.md": "tests/e2e/test_template.py",
    "operations.md#Deployment": "tests/e2e/test_deploy.py",
}
COMPOSE = {
    command
    for section, commands in compose_commands(ROOT / "docs" / "operations.md").items()
    if section != "Commands"
    for command in commands
}  # tests/e2e/test_compose.py runs these
TANK = '{"id": "tank-01", "name": "Tank", "kind": "water_tank", "fields": {"field2": "level_m"}}'
NEW_TANK = f"""KEY=evara-development-key
curl -s localhost:8000/api/v1/nodes -H "Authorization: Bearer $KEY" \\
  -H 'Content-Type: application/json' -d '{TANK}'"""
DEAD_LETTERS = """python - <<'END'
import sqlite3
connection = sqlite3.connect(".stack/evara.db")
time = "2026-03-01 12:00:00.000000"
for number in (7, 8):
    connection.execute(
        "INSERT INTO dead_letters VALUES (?, 'thingspeak.sync', ?, 'refused', 5, '{}', ?, ?)",
        (number, f"gone-{number}", time, time),
    )
connection.commit()
END"""
KEY_ID = """$(flask --app api.app keys list --json | python -c '
import json, sys
print(next(key["id"] for key in json.load(sys.stdin)["keys"] if key["name"] == "NAME"))')"""
THEIRS = """
NAMED=tests/e2e/test_server_alerts.py::test_stopped_database_raises_its_alert
sed "s|tests/.*::test_the_named_test|$NAMED|" \\
  tests/observability/service/catalogue.yaml > theirs.yaml
cp tests/observability/service/openapi.json their-openapi.json
cp observability/policy.yaml policy.yaml"""


@dataclass(frozen=True)
class Step:
    """A documented command, found by its beginning, and what is compared."""

    begins: str
    prints: tuple[str, ...] = ()
    exit_code: int = 0
    before: str = ""  # prepares what the reader has
    replace: dict[str, str] = field(default_factory=dict)  # placeholders by what a reader types
    not_printed: str = '"status":4'


# In the order in which they run.
STEPS = (
    Step("make help", ("Run the stack", "drill")),
    Step("make fetch"),
    Step("make up MODE=native", ("✓ up in", "Console", "Try it: curl")),
    Step("make up", ("because it runs", "✓ up in")),
    Step("make status", ("Console", "prometheus", "RUNNING")),
    Step("make doctor"),
    Step("make logs", ("api: {",)),
    Step("make logs P=name", ("job done",), replace={"P=name": "P=worker"}),
    Step("make backup", ("compose",), exit_code=2),
    Step("make restore", ("compose",), exit_code=2),
    Step(". .venv/bin/activate"),
    Step("flask --app api.app keys create NAME --scope read", ("evara_",)),
    Step("flask --app api.app keys list", ("NAME",)),
    Step("flask --app api.app keys revoke ID", ("revoked",), replace={"ID": KEY_ID}),
    Step("flask --app api.app health", ("database",)),
    Step("flask --app api.app sync"),
    Step(
        "flask --app api.app jobs list",
        ("gone-7", "2 dead letters", "gone-7 will be retried", "dropped thingspeak.sync gone-8"),
        before=DEAD_LETTERS,
        replace={"drop 7": "drop 8"},
    ),
    Step(
        "flask --app api.app audit [--since 1d] [--json]",
        ("cli.keys.create",),
        replace={"[": "", "]": ""},
    ),
    Step("flask --app api.app audit --json > audit-2026.jsonl"),
    Step(
        ".venv/bin/flask --app api.app contract check --base FILE",
        replace={"FILE": "api/openapi.json"},
    ),
    Step("for channel in null 2001", ('"channel_id":2001',), before=NEW_TANK),
    Step("curl localhost:8091/channels/2001/bulk_update.json", ("success",)),
    Step("curl -X PATCH localhost:8000", ('"above":3.0,"below":0.5',)),
    Step(
        "grep -h 4f0c2b9d",
        ('"request_id":"4f0c2b9d-shown"',),
        before="curl -s localhost:8000/health/live -H 'X-Request-ID: 4f0c2b9d-shown';"
        " until grep -q 4f0c2b9d-shown .stack/logs/api.log; do sleep 0.1; done",
    ),
    Step("make slo", ("SLOs over 30d",), exit_code=2),
    Step("make generate BREAKING=1"),
    Step("make generate"),
    Step("$ sed -i"),
    Step("git checkout observability loadtests"),
    Step("git diff"),
    Step("python -m observability generate --catalogue theirs.yaml", before=THEIRS),
    Step("$ make drill"),
    Step(
        "KEY=evara-development-key",
        ('"main-branch"', '"metric":', "verdict", "SLOs over 30d", "stopped"),
    ),
    Step(
        'make load ARGS="--compare OLD NEW"',
        ("No objective got worse",),
        replace={"OLD NEW": "$(ls -d reports/*) $(ls -d reports/*)"},
    ),
    Step(".venv/bin/flask --app api.app db revision", ("Generating",)),
    Step("make clean"),
)
PART_OF_CI = "is what runs this test, or a part of it"
NOT_RUN = {
    "python -m observability check --catalogue orders.yaml --openapi openapi.json --out orders "
    "--metrics": "tests/e2e/test_adopt.py does the same with the URLs of running servers",
    "make up      # start": "compares nothing that `make up` and the tests of CI do not",
    "make test": PART_OF_CI,
    "make e2e": PART_OF_CI,
    "make lint check test": PART_OF_CI,
    "make lint": "tests/e2e/test_template.py runs it",
    "make check": "tests/e2e/test_template.py runs it",
    ".venv/bin/python -m pytest tests/rules": PART_OF_CI,
    ".venv/bin/python -m pytest tests/api --database": PART_OF_CI,
    "make drill": "the README's block runs it",
    "make drill D=": "tests/e2e/test_drills.py runs every drill",
    "make load": "the README's block runs it with TIME=60s",
    "make load HOST=…": "needs another host",
    "make console": "runs until SIGTERM; tests/observability/commands/test_servers.py runs it",
    "python -m observability check … --metrics": "tests/observability/commands/test_servers.py",
    "make down": "the README's block runs it",
    "make audit": "asks a server of advisories; tests/observability/audit has one of its own",
    "make deploy": "tests/e2e/test_deploy.py runs it with a machine of its own",
    "make deploy TO=": "tests/e2e/test_deploy.py runs it with a machine of its own",
    "make rollback TO=": "tests/e2e/test_deploy.py runs it with a machine of its own",
    "make rollback": "tests/e2e/test_deploy.py runs it with a machine of its own",
    "make lock": "downloads from a package index, whose newest versions differ from day to day",
    "make record": "runs minutes before a tag; tests/api/test_previous_release.py reads its output",
    "make rename": "tests/e2e/test_template.py runs it",
    "make screens": "writes the pictures of docs/screens.md, which differ each time",
    ".venv/bin/python -m loadtests.bench request": "minutes; test_bench.py uses --quick",
    ".venv/bin/python -m loadtests.bench rules": "an hour; test_rules_bench.py is short",
    "flask --app api.app worker": "runs until SIGTERM; `make up` runs it",
    "curl -sG localhost:3100": "needs Loki, which no distribution packages",
    "EVARA_PORT_OFFSET=200": "has fixed ports; tests/e2e/conftest.py sets both variables",
    "COMPOSE_PROJECT_NAME=other": "has fixed ports; tests/e2e/test_compose.py sets these variables",
    "make down && make up MODE=compose": "test_data_survives_down_and_up runs both commands",
}
NOT_TYPED = {
    "promtool check rules": "what `make check` runs",
    "promtool test rules": "what `make check` runs",
    "git archive": "what `make deploy` runs",
    "git reset --hard": "undoes what the page has done",
    "docker compose": "the beginning of commands",
    "git checkout": "the beginning of a command",
    "flask --app api.app …": "the beginning of commands",
    "flask --app api.app contract": "the beginning of commands",
    "python -m …": "the beginning of a command",
    "python -m observability <command>": "the beginning of commands",
}


def documented(begins: str) -> list[Command]:
    """Return the commands that are this text, or longer ones of which it is the beginning."""
    equal = [command for command in DOCUMENTED if command.text == begins]
    return equal or [command for command in DOCUMENTED if command.text.startswith(begins)]


def unlisted_commands() -> list[Command]:
    """Return the commands that no test runs, and that no list has."""
    known = {command.text for begins in listed_commands() for command in documented(begins)}
    return [
        command
        for command in DOCUMENTED
        if command.text not in known | COMPOSE and not is_run_elsewhere(command)
    ]


def is_run_elsewhere(command: Command) -> bool:
    """Return whether another test runs this command."""
    places = {command.page, f"{command.page}#{command.section}"}
    return command.kind == "sh" and not places.isdisjoint(OTHER_TESTS)


def listed_commands() -> list[str]:
    """Return the beginnings of all commands in the lists."""
    return [step.begins for step in STEPS] + [*NOT_RUN, *NOT_TYPED]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Yield a shell in a copy of the checkout; end the stack that the commands start.

    .env of the copy moves the ports of the stack.
    """
    folder = tmp_path_factory.mktemp("documented")
    copy = copy_checkout(folder / "copy")
    ports = free_ports()
    offset = ports["api"] - PORTS["api"]
    (copy / ".env").write_text(f"EVARA_PORT_OFFSET={offset}\n", encoding="utf-8")
    guardian = Guardian(copy / ".stack")
    shell_of_reader = Shell(copy, folder / "variables", ports)
    try:
        yield shell_of_reader
    finally:
        shell_of_reader.run("make down")
        guardian.remove_stack()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: re.sub(r"\W+", "-", step.begins[:50]))
def test_commands_do_what_is_documented(shell: Shell, step: Step) -> None:
    """The command, as it is written, ends as documented; its output has these texts in order."""
    command, *_ = documented(step.begins)
    script = typed_lines(command)
    for placeholder, value in step.replace.items():
        assert placeholder in script
        script = script.replace(placeholder, value)
    if step.before:
        prepared = shell.run(step.before)
        assert prepared.returncode == 0, prepared.stdout
    result = shell.run(script)
    assert result.returncode == step.exit_code, f"{script}\n{result.stdout}"
    assert step.not_printed not in result.stdout
    expected = [re.compile(re.escape(text)) for text in step.prints]
    position = 0
    for pattern in expected + printed_lines(command):
        match = pattern.search(result.stdout, position)
        assert match, f"{pattern.pattern!r} is not printed by\n{script}\n{result.stdout}"
        position = match.end()
