"""Every alert has a generated case that fires, one that is silent, and one without data."""

import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.generate import prometheus, promtool_tests
from observability.generate.sample import sample
from observability.lib import scope
from observability.sli import registry
from observability.spec import names
from observability.spec.loading import load_plan
from observability.spec.plan import Plan
from tests.observability.compiler_support import SERVICE

ALERTS = [
    rule
    for group in prometheus.groups(load_plan(SERVICE))
    for rule in group["rules"]
    if "alert" in rule
]
TIERS = sorted(rule["labels"][names.TIER] for rule in ALERTS if names.TIER in rule["labels"])
OTHERS = sorted(rule["alert"] for rule in ALERTS if names.TIER not in rule["labels"])


@cache
def documents() -> dict[str, Any]:
    """Return file → parsed contents, which take a second each to read."""
    return {
        path: yaml.safe_load(text)
        for path, text in promtool_tests.render(load_plan(SERVICE)).items()
    }


def cases(mark: str) -> Iterator[tuple[bool, bool]]:
    """Return (something fires, there is data) of every case whose query contains `mark`."""
    for document in documents().values():
        for test in document["tests"]:
            for question in test["promql_expr_test"]:
                if mark in question["expr"]:
                    yield bool(question["exp_samples"]), bool(test["input_series"])


def firing(tier: str, name: str) -> set[str]:
    """Return the labels of all that a tier's cases of such a name expect to fire."""
    return {
        sample["labels"]
        for test in documents()[f"{promtool_tests.FOLDER}/{tier}.yaml"]["tests"]
        if name in test["name"]
        for sample in test["promql_expr_test"][0]["exp_samples"]
    }


@pytest.mark.parametrize("tier", TIERS)
def test_every_tier_has_firing_silent_and_no_data_cases(tier: str, plan: Plan) -> None:
    """Above its threshold, below it, and without any series."""
    assert {(True, True), (False, False)} <= set(cases(f'tier="{tier}"'))
    firing_above = firing(tier, " fires for every SLO")
    firing_below = firing(tier, " is silent below")
    missing = {f'{{slo="{slo.name}"}}' for slo in sample(plan).slos if registry.missing_is_bad(slo)}
    assert firing_below == firing_above & missing  # the others are silent


@pytest.mark.parametrize(
    "name", [name for name in OTHERS if name not in (names.WATCHDOG_ALERT, names.UNMEASURED_ALERT)]
)
def test_every_other_alert_has_firing_silent_and_no_data_cases(name: str) -> None:
    """Guards and watched symptoms, too."""
    kinds_of_cases = set(cases(f'alertname="{name}"'))
    assert {(True, True), (False, True), (False, False)} <= kinds_of_cases


def test_alerts_about_absence_fire_without_data() -> None:
    """Alerts about missing data fire without data; the watchdog is never silent."""
    assert {(True, False), (False, True)} <= set(cases(f'alertname="{names.UNMEASURED_ALERT}"'))
    assert set(cases(f'alertname="{names.WATCHDOG_ALERT}"')) == {(True, False)}


def test_firing_case_of_a_tier_names_every_slo_of_the_sample(plan: Plan) -> None:
    """The alert is proven to fire for an SLO of each form."""
    for tier in plan.tiers:
        document = documents()[f"{promtool_tests.FOLDER}/{tier.name}.yaml"]
        wanted = {f'{{slo="{slo.name}"}}' for slo in sample(plan).slos if tier.judges(slo)}
        assert firing(tier.name, " fires for every SLO") == wanted
        groups = [scope.group_name(plan, group) for group in names.GROUPS]
        assert document["group_eval_order"] == groups


@pytest.mark.parametrize(
    ("catalogue", "policy"),
    [
        (("fresh_within: 15m", "fresh_within: 7d"), None),
        (
            None,
            (
                "{over: 5m, factor: 20}, {over: 1m, factor: 20}",
                "{over: 1m, factor: 9}, {over: 5m, factor: 20}",
            ),
        ),
    ],
    ids=["freshness of a week", "the strictest condition is not first"],
)
def test_cases_pass_for_other_limits_and_windows(
    catalogue: tuple[str, str] | None,
    policy: tuple[str, str] | None,
    plan_of: Callable[..., Plan],
    promtool: Callable[..., "subprocess.CompletedProcess[str]"],
    tmp_path: Path,
) -> None:
    """They follow from the files, not from the committed numbers."""
    edited = plan_of((catalogue,) if catalogue else (), (policy,) if policy else ())
    files = prometheus.render(edited) | promtool_tests.render(edited)
    for name in (prometheus.SAMPLE_RULES, f"{promtool_tests.FOLDER}/T1.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name], encoding="utf-8")
    result = promtool("test", "rules", tmp_path / promtool_tests.FOLDER / "T1.yaml")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("window", "seconds"), [("10s", 1), ("1m", 20), ("5m", 120), ("2h", 1800)])
def test_samples_are_close_enough_for_every_window(
    window: str, seconds: int, plan_of: Callable[..., Plan]
) -> None:
    """Three samples fit into the shortest window, as rates need two in a left-open range."""
    windows = "{over: 5m, factor: 20}, {over: 1m, factor: 20}"
    edited = plan_of((), ((windows, f"{{over: {window}, factor: 20}}"),))
    [tier] = [tier for tier in edited.tiers if tier.name == "T1"]
    assert promtool_tests.sample_step(tier) == seconds
