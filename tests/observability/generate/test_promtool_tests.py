"""Every alert has a generated case that fires, one that is silent, and one without data."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from observability.generate import prometheus, promtool_tests
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
    """File → what is in it; reading them takes a second each time."""
    return {
        path: yaml.safe_load(text)
        for path, text in promtool_tests.render(load_plan(SERVICE)).items()
    }


def cases(mark: str) -> Iterator[tuple[bool, bool]]:
    """(something fires, there is data) of every case whose question has `mark` in it."""
    for document in documents().values():
        for test in document["tests"]:
            for question in test["promql_expr_test"]:
                if mark in question["expr"]:
                    yield bool(question["exp_samples"]), bool(test["input_series"])


@pytest.mark.parametrize("tier", TIERS)
def test_every_tier_fires_is_silent_and_stands_no_data(tier: str) -> None:
    """Above its threshold, below it, and without any series."""
    assert {(True, True), (False, True), (False, False)} <= set(cases(f'tier="{tier}"'))


@pytest.mark.parametrize(
    "name", [name for name in OTHERS if name not in (names.WATCHDOG_ALERT, names.UNMEASURED_ALERT)]
)
def test_every_other_alert_fires_is_silent_and_stands_no_data(name: str) -> None:
    """Guards and watched symptoms, too."""
    found = set(cases(f'alertname="{name}"'))
    assert {(True, True), (False, True), (False, False)} <= found


def test_alerts_about_absence_fire_without_data() -> None:
    """What guards against missing data needs none to fire; the watchdog is never silent."""
    assert {(True, False), (False, True)} <= set(cases(f'alertname="{names.UNMEASURED_ALERT}"'))
    assert set(cases(f'alertname="{names.WATCHDOG_ALERT}"')) == {(True, False)}


def test_the_firing_case_of_a_tier_names_every_slo_that_it_judges(plan: Plan) -> None:
    """No SLO is left out of the proof that its alert can fire."""
    for tier in plan.tiers:
        document = documents()[f"{promtool_tests.FOLDER}/{tier.name}.yaml"]
        fires = document["tests"][0]["promql_expr_test"][0]["exp_samples"]
        wanted = {f'{{slo="{slo.name}"}}' for slo in plan.slos if slo.sli in tier.slis}
        assert {sample["labels"] for sample in fires} == wanted
        assert document["group_eval_order"] == list(names.GROUPS)
