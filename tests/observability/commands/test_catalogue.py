"""`generate` and `check`: every problem is listed, and a mistake writes nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from observability.__main__ import cli
from observability.generate import registry
from observability.spec.loading import load_plan
from tests.observability.commands.support import run
from tests.observability.compiler_support import CONTRACT, SMALL, openapi_for

WRONG_SHAPES = (
    ("service: evara-api", "service: evara-api\nservise: x"),
    ("    availability: 99\n", "    availability: 100\n"),
    ("threshold: 200ms, objective: 95}", "threshold: 200, objective: 95}"),
    (
        "  health.detail: GET /health\n",
        "  health.detail: GET /health\n  orders.list: GET /elsewhere\n",
    ),
    ("next_steps:\n      - Is ThingSpeak itself", "next_stepz:\n      - Is ThingSpeak itself"),
)

SHAPE_PROBLEMS = (
    "servise: unknown key",
    "dependencies.thingspeak.availability: 100 is no objective",
    "defaults.latency.0.threshold: 200 is no duration",
    "dependencies.thingspeak.next_steps: is missing",
    "did you mean next_steps?",
    "exempt.orders.list: is declared under routes, too",
    ": tiers.P0.windows: is empty",
)

WRONG_REFERENCES = (
    ("    availability: 99.95\n", "    availability: 99.999\n"),
    ("routes: [orders.list, health.ready]", "routes: [orders.lst, health.ready]"),
)

REFERENCE_PROBLEMS = (
    "routes.parcels.ingest.availability: 99.999 cannot be met",
    "probe.routes: route 'orders.lst' is not declared",
    "tiers.T4.severity: severity 'tikcet' is not declared",
)


def test_generate_writes_everything_for_another_service(tmp_path: Path) -> None:
    """--catalogue, --openapi and --out serve another service; check agrees with the files."""
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
        ": routes.parcels.ingest.availability: 100 is no objective",
        "fix: did you mean rate_limit?",
        ": tiers.P0.windows: is empty",
        "3 problems",
    ):
        assert line in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_route_that_the_app_lacks_writes_nothing(
    files: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    """The contract is checked before anything is written."""
    catalogue, _ = files((("    http: GET /api/v1/orders\n", "    http: GET /api/v1/knots/\n"),))
    options = ("--catalogue", catalogue, "--openapi", CONTRACT, "--out", tmp_path / "out")
    result = run("generate", *options)
    assert result.returncode == 1
    assert "GET /api/v1/knots/ is not in the app" in result.stderr
    assert "GET /api/v1/orders is served, but watched by nothing" in result.stderr
    assert "(contract)" in result.stderr
    assert not (tmp_path / "out").exists()


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
