"""Catalogues without sections that other services do not have: `generate` and `check` succeed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from observability.__main__ import cli
from observability.generate import prometheus, promtool_tests, registry
from observability.generate.dashboards.grafana.files import DASHBOARDS
from observability.spec import names

STEPS = ["Look at it."]
DECLARED = {
    "things-kept": {
        "ratio": {"bad": "things_lost_total", "total": "things_total"},
        "objective": 99.5,
        "next_steps": STEPS,
    },
    "queue-short": {
        "gauge": {"value": "things_waiting", "at_most": 100},
        "objective": 99,
        "next_steps": STEPS,
    },
}
WHOLE: dict[str, Any] = {
    "service": "small",
    "owner": "platform",
    "period": "30d",
    "defaults": {
        "availability": 99.9,
        "latency": [{"threshold": "250ms", "objective": 95}],
        "rate_limit": "10/second",
        "load": {"weight": 1},
    },
    "routes": {
        "things.list": {"http": "GET /things", "next_steps": STEPS},
        "things.count": {"http": "GET /things/count", "availability": 99.5, "next_steps": STEPS},
    },
    "probe": {
        "every": "5s",
        "fresh_within": "12s",
        "objective": 99.9,
        "routes": ["things.list"],
        "next_steps": STEPS,
    },
    "drill": {"route": "things.count"},
    "slos": DECLARED,
}
ONLY_SLOS = {"routes", "drill", "probe", "defaults"}
Edit = Callable[[dict[str, Any]], object]


def without(*paths: str) -> Edit:
    """Return an edit that removes keys, each `section` or `section.key`."""

    def edit(catalogue: dict[str, Any]) -> None:
        for path in paths:
            *parents, key = path.split(".")
            entry = catalogue
            for parent in parents:
                entry = entry[parent]
            del entry[key]

    return edit


def without_defaults(catalogue: dict[str, Any]) -> None:
    del catalogue["defaults"]
    catalogue["routes"]["things.list"]["availability"] = 99


def without_alerts(catalogue: dict[str, Any]) -> None:
    without(*ONLY_SLOS)(catalogue)
    for slo in catalogue["slos"].values():
        slo["alerts"] = {"disable": ["page", "ticket"]}


@pytest.mark.parametrize(
    ("edit", "slos", "sent"),
    [
        (without("probe"), 6, 2),
        (without("defaults.rate_limit", "defaults.load"), 7, 0),
        (without("defaults.latency"), 5, 2),
        (without("defaults.availability"), 6, 2),
        (without_defaults, 5, 0),
        (without("routes", "drill", "probe"), 2, 0),
        (without(*ONLY_SLOS), 2, 0),
        (without(*ONLY_SLOS, "slos.things-kept"), 1, 0),
        (without_alerts, 2, 0),
    ],
)
def test_a_catalogue_without_a_section_compiles(
    edit: Edit, slos: int, sent: int, tmp_path: Path
) -> None:
    """promtool accepts rules and cases; no board and no case is empty; no contract is needed."""
    catalogue = yaml.safe_load(yaml.safe_dump(WHOLE))
    edit(catalogue)
    file, out = tmp_path / "catalogue.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(catalogue), encoding="utf-8")
    options = ["--catalogue", str(file), "--out", str(out)]
    written = CliRunner().invoke(cli, ["generate", *options])
    assert written.exit_code == 0, written.output
    assert f"{slos} SLOs" in written.stdout
    checked = CliRunner().invoke(cli, ["check", *options])
    assert checked.exit_code == 0, checked.output
    assert "drift, lint, boards and proofs are fine" in checked.stdout
    for output in (written.stdout, checked.stdout):
        assert "the contract is not compared: no --openapi" in output
    scenarios = json.loads((out / registry.SCENARIOS / "scenarios.json").read_bytes())
    assert len(scenarios["scenarios"]) == sent
    assert_complete(out / registry.GENERATED, catalogue)


def assert_complete(generated: Path, catalogue: dict[str, Any]) -> None:
    """Assert that no board and no case is empty, and that nothing is about a missing section."""
    files = sorted((generated / DASHBOARDS).glob("*.json"))
    boards = {file.stem: json.loads(file.read_bytes()) for file in files}
    assert [name for name, board in boards.items() if not board["panels"]] == []
    if "routes" not in catalogue:
        assert set(boards) == {"logs", "overview", "slo"}
    titles = {panel["title"] for panel in boards["overview"]["panels"]}
    assert ("Requests" in titles) == ("Requests by route" in titles) == ("routes" in catalogue)
    page = (generated / "runbook" / f"{names.BURN_ALERT}.md").read_text(encoding="utf-8")
    assert ("make drill" in page) == ("drill" in catalogue)
    cases = sorted((generated / promtool_tests.FOLDER).glob("*.yaml"))
    for case in cases:
        tests = yaml.safe_load(case.read_bytes())["tests"]
        assert tests, case
        assert all(test["promql_expr_test"] for test in tests), case
    rules = (generated / prometheus.RULES).read_text(encoding="utf-8")
    assert ("prober" in rules or "probe_" in rules) == ("probe" in catalogue)
    assert ("Probes" in json.dumps(list(boards.values()))) == ("probe" in catalogue)


@pytest.mark.parametrize("command", ["generate", "check"])
def test_our_own_catalogue_is_compared_with_our_contract(command: str, tmp_path: Path) -> None:
    """Without --openapi, the committed contract belongs to the catalogue beside the code."""
    result = CliRunner().invoke(cli, [command, "--out", str(tmp_path)])
    assert "contract is not compared" not in result.output
    assert (command == "generate") == (result.exit_code == 0)


def test_json_of_check_names_what_was_skipped(tmp_path: Path) -> None:
    """Scripts see that no contract was compared."""
    file = tmp_path / "catalogue.yaml"
    file.write_text(yaml.safe_dump(WHOLE), encoding="utf-8")
    options = ["--catalogue", str(file), "--out", str(tmp_path / "out"), "--json"]
    report = json.loads(CliRunner().invoke(cli, ["check", *options]).stdout)
    assert report["skipped"] == ["contract"]
