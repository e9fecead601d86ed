"""`drill`: its list, its report and its exit code."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from observability.drill import runner
from observability.spec import loading
from tests.observability.commands.support import invoke, run
from tests.observability.drill.support import DRILLS


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


def test_name_together_with_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No drill runs."""
    monkeypatch.setattr(runner, "run", lambda *_: pytest.fail("a drill ran"))
    refused = invoke("drill", "stop-api", "--all")
    assert refused.exit_code == 1
    assert "--all includes stop-api; fix: leave out the name, or --all" in refused.stderr


@pytest.mark.parametrize(
    ("words", "count"), [((), 1), (("stop-api",), 1), (("--all",), len(DRILLS))]
)
@pytest.mark.parametrize("passed", [True, False])
def test_exit_code_of_drills_follows_their_results(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], count: int, passed: bool
) -> None:
    """One drill by default, one by name, or all; 1 when one of them failed."""
    monkeypatch.setattr(
        runner, "run", lambda drill, *_: runner.Result(drill.name, passed, "because [so]")
    )
    result = invoke("drill", *words)
    assert result.exit_code == (0 if passed else 1)
    assert result.output.count("because [so]") == count
    assert len(json.loads(invoke("drill", "--json", *words).output)["drills"]) == count


@pytest.mark.parametrize(
    ("missing", "fix"),
    [
        ({"drill_route": None}, "fix: name it under `drill:` in the catalogue"),
        ({"probe_every": Decimal(0)}, "fix: add `probe:` to the catalogue"),
    ],
)
def test_catalogue_without_what_drills_need_is_refused(
    monkeypatch: pytest.MonkeyPatch, missing: dict[str, Any], fix: str
) -> None:
    """Drills send all their traffic to the route, and their stack has a prober."""
    plan = replace(loading.load_plan(), **missing)
    monkeypatch.setattr(loading, "load_plan", lambda: plan)
    refused = invoke("drill", "stop-api")
    assert refused.exit_code == 1
    assert fix in refused.stderr


@pytest.fixture
def without_limiter_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the only alert that tells of the fault of hold-limiter."""
    plan = loading.load_plan()
    symptoms = tuple(alert for alert in plan.symptoms if alert.entry.drill != "hold-limiter")
    assert symptoms != plan.symptoms
    monkeypatch.setattr(loading, "load_plan", lambda: replace(plan, symptoms=symptoms))


@pytest.mark.usefixtures("without_limiter_alert")
def test_drill_without_an_alert_is_listed_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list and the refusal say what to add; `--all` runs the others."""
    monkeypatch.setattr(runner, "run", lambda drill, *_: runner.Result(drill.name, passed=True))
    fix = "fix: write `drill: hold-limiter` in the alert"
    assert fix in " ".join(invoke("drill", "--list").output.split())
    drills = json.loads(invoke("drill", "--list", "--json").output)["drills"]
    alerts_by_drill = {drill["name"]: drill["alerts"] for drill in drills}
    assert [name for name, alerts in alerts_by_drill.items() if not alerts] == ["hold-limiter"]
    assert "TargetDown" in alerts_by_drill["stop-api"]
    refused = invoke("drill", "hold-limiter")
    assert refused.exit_code == 1
    assert fix in " ".join(refused.stderr.split())
    others = json.loads(invoke("drill", "--all", "--json").output)["drills"]
    assert len(others) == len(DRILLS) - 1
