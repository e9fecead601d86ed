"""The command line: help, exit codes, JSON, colours, and that a mistake writes nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from observability.__main__ import cli
from observability.commands.slo_table import bar
from observability.drill.registry import DRILLS
from observability.generate import registry
from observability.spec.loading import load_plan
from observability.spec.problems import Problem
from observability.terminal import print_problems
from tests.observability.compiler_support import SMALL, openapi_for

COMMANDS = (
    "check",
    "clean",
    "doctor",
    "down",
    "drill",
    "fetch",
    "generate",
    "load",
    "logs",
    "slo",
    "status",
    "up",
)


def run(*words: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "observability", *map(str, words)]
    return subprocess.run(
        command,
        cwd=registry.ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
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


def test_drills_are_listed() -> None:
    """Each with what it breaks; an unknown one is refused by name."""
    result = run("drill", "--list")
    assert result.returncode == 0
    assert all(
        drill.name in result.stdout and drill.description in result.stdout
        for drill in DRILLS.values()
    )
    refused = run("drill", "no-such-drill")
    assert refused.returncode == 1
    assert "there is no drill 'no-such-drill'; known: route-errors" in refused.stderr


@pytest.mark.parametrize(
    ("settings", "coloured"),
    [({"NO_COLOR": "1", "FORCE_COLOR": ""}, False), ({"FORCE_COLOR": "1"}, True)],
)
def test_colours_can_be_switched_off(settings: dict[str, str], coloured: bool) -> None:
    """NO_COLOR is respected, and so is a terminal that wants them."""
    kept = {key: value for key, value in settings.items() if value}
    result = run("drill", "no-such-drill", **kept)
    assert ("\x1b[31m" in result.stderr) is coloured


def test_generate_writes_everything_for_another_service(tmp_path: Path) -> None:
    """--catalogue, --openapi and --out serve a service that is not this one; check agrees with what was written."""
    catalogue, contract = tmp_path / "catalogue.yaml", tmp_path / "openapi.json"
    catalogue.write_text(SMALL, encoding="utf-8")
    contract.write_text(json.dumps(openapi_for(load_plan(catalogue))), encoding="utf-8")
    options = ("--catalogue", catalogue, "--openapi", contract, "--out", tmp_path / "out")
    result = run("generate", *options)
    assert result.returncode == 0, result.stderr
    assert "1 SLOs" in result.stdout
    assert (tmp_path / "out" / registry.GENERATED / "prometheus" / "rules.yaml").exists()
    assert run("generate", *options).stdout.count("0 changed") == 1
    (tmp_path / "out" / registry.SCENARIOS / "scenarios.json").unlink()
    checked = run("check", "--json", *options)
    assert checked.returncode == 1
    assert "scenarios.json" in [
        Path(p["where"]).name for p in json.loads(checked.stdout)["problems"]
    ]


def test_mistakes_are_listed_and_nothing_is_written(
    files: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    """A file with several mistakes gives exit code 1, every mistake, and no file."""
    catalogue, policy = files(
        (
            ("    availability: 99.95", "    availability: 100"),
            ("    rate_limit: 600/minute", "    rate_limits: 600/minute"),
        ),
        (("windows: [{over: 1m, ratio: 0.55}]", "windows: []"),),
    )
    result = run(
        "generate", "--catalogue", catalogue, "--policy", policy, "--out", tmp_path / "out"
    )
    assert result.returncode == 1
    assert result.stdout == ""
    for line in (
        ": routes.readings.ingest.availability: 100 is no objective",
        "mend: did you mean rate_limit?",
        ": tiers.P0.windows: is empty",
        "3 problems",
    ):
        assert line in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_places_with_the_same_problem_stand_together(capsys: pytest.CaptureFixture[str]) -> None:
    """Their message and mend are said once, after the last of them; all are counted."""
    alike = [Problem(f"[{place}]", "is missing", "add it", "catalogue") for place in ("c", "a")]
    print_problems([alike[0], Problem("b", "is missing", "add another"), alike[1]])
    assert capsys.readouterr().err.splitlines() == [
        "✗ b: is missing",
        "    mend: add another  (catalogue)",
        "✗ [a]",
        "✗ [c]: is missing",
        "    mend: add it  (catalogue)",
        "3 problems",
    ]


def test_a_route_that_the_app_lacks_writes_nothing(
    files: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    """The contract is checked before anything is written."""
    catalogue, _ = files((("    http: GET /api/v1/nodes\n", "    http: GET /api/v1/knots/\n"),))
    result = run("generate", "--catalogue", catalogue, "--out", tmp_path / "out")
    assert result.returncode == 1
    assert "GET /api/v1/knots/ is not in the app" in result.stderr
    assert "GET /api/v1/nodes is served, but watched by nothing" in result.stderr
    assert "(contract)" in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_unreachable_prometheus_is_no_verdict() -> None:
    """Exit code 2 says that nothing could be told, and what starts the stack."""
    result = run("slo", "--json", EVARA_PORT_OFFSET="41000")
    assert result.returncode == 2
    assert "start the stack with: make up" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("window", ["31d", "1s", "soon"])
def test_a_window_that_nothing_is_kept_for_is_refused(window: str) -> None:
    """Exit code 2, and the bounds or the notation in words."""
    result = run("slo", "--window", window, EVARA_PORT_OFFSET="41000")
    assert result.returncode == 2
    assert window in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (None, "–"),
        (1.0, "█████ 100%"),
        (0.5, "██░░░ 50%"),
        (-50, "░░░░░ <-999%"),
        (-9.99, "░░░░░ -999%"),
    ],
)
def test_a_budget_is_drawn(left: float | None, text: str) -> None:
    """Blocks for the eye, per cent for the mind, and no overflow."""
    assert bar(left) == text


WRONG_SHAPES = (
    ("service: evara-api", "service: evara-api\nservise: x"),
    ("    availability: 99\n", "    availability: 100\n"),
    ("threshold: 200ms, objective: 95}", "threshold: 200, objective: 95}"),
    (
        "  health.detail: GET /health\n",
        "  health.detail: GET /health\n  nodes.list: GET /elsewhere\n",
    ),
    ("next_steps:\n      - Is ThingSpeak itself", "next_stepz:\n      - Is ThingSpeak itself"),
)
SHAPE_PROBLEMS = (
    "servise: unknown key",
    "dependencies.thingspeak.availability: 100 is no objective",
    "defaults.latency.0.threshold: 200 is no duration",
    "dependencies.thingspeak.next_steps: is missing",
    "did you mean next_steps?",
    "exempt.nodes.list: is declared under routes, too",
    ": tiers.P0.windows: is empty",
)
WRONG_REFERENCES = (
    ("    availability: 99.95\n", "    availability: 99.999\n"),
    ("routes: [nodes.list, health.ready]", "routes: [nodes.lst, health.ready]"),
)
REFERENCE_PROBLEMS = (
    "routes.readings.ingest.availability: 99.999 cannot be kept",
    "probe.routes: route 'nodes.lst' is not declared",
    "tiers.T4.severity: severity 'tikcet' is not declared",
)


@pytest.mark.parametrize("command", ["check", "generate"])
@pytest.mark.parametrize(
    ("catalogue_edits", "policy_edit", "expected"),
    [
        (WRONG_SHAPES, ("[{over: 1m, ratio: 0.55}]", "[]"), SHAPE_PROBLEMS),
        (
            WRONG_REFERENCES,
            ("{severity: ticket, for: 15m", "{severity: tikcet, for: 15m"),
            REFERENCE_PROBLEMS,
        ),
    ],
)
def test_problems_of_both_files_are_listed_in_one_run(
    files: Callable[..., tuple[Path, Path]],
    tmp_path: Path,
    command: str,
    catalogue_edits: tuple[tuple[str, str], ...],
    policy_edit: tuple[str, str],
    expected: tuple[str, ...],
) -> None:
    """The exit code is 1, every problem of the same stage is listed, and nothing is written."""
    catalogue, policy = files(catalogue_edits, (policy_edit,))
    paths = ["--catalogue", str(catalogue), "--policy", str(policy), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, [command, *paths])
    assert result.exit_code == 1
    assert [text for text in expected if text not in result.stderr] == []
    assert not (tmp_path / "out").exists()
