"""Defaults, overrides, derived buckets and windows, and determinism."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import yaml

from observability.generate import prometheus, registry
from observability.lib import scope
from observability.spec import names
from observability.spec.gateway import without_gateway
from observability.spec.loading import load_plan
from observability.spec.plan import FINE_PACE, LONG_PACE, SHORT_WINDOW, THIN_PACE, Plan, Slo
from observability.spec.schema.fields import PERIODS
from tests.observability.compiler_support import CONTRACT, SERVICE, slo_of

HASH = """
import hashlib, pathlib, sys
from observability.generate import registry
from observability.spec import loading

catalogue, contract = map(pathlib.Path, sys.argv[1:])
files = registry.render(loading.load_plan(catalogue), registry.read_contract(contract))
text = repr(sorted((str(path), text) for path, text in files.items()))
print(hashlib.sha256(text.encode()).hexdigest())
"""


def route(of: Plan, name: str) -> Any:
    return next(entry for entry in of.routes if entry.id == name)


def test_defaults_fill_what_an_entry_leaves_out(plan: Plan) -> None:
    """A route without targets of its own has the default ones, and the service's owner."""
    listing = route(plan, "orders.list")
    assert [(slo.name, slo.objective) for slo in listing.slos] == [
        ("orders.list-availability", Decimal("0.999")),
        ("orders.list-latency-200ms", Decimal("0.95")),
        ("orders.list-latency-1s", Decimal("0.995")),
    ]
    assert plan.rate_limits["orders.list"] == "120/minute"
    assert {slo.owner for slo in listing.slos} == {"platform"}


def test_an_entry_overrides_defaults(plan: Plan, plan_of: Callable[..., Plan]) -> None:
    """An entry's own values hold for it alone; an empty list of latencies means none."""
    ingest = route(plan, "parcels.ingest")
    assert (ingest.slos[0].objective, plan.rate_limits[ingest.id], ingest.load.weight) == (
        Decimal("0.9995"),
        "600/minute",
        50,
    )
    changed = plan_of(
        (
            (
                "    availability: 99.95\n",
                "    availability: 99.95\n    latency: []\n    owner: upstream\n",
            ),
        )
    )
    assert [slo.name for slo in route(changed, "parcels.ingest").slos] == [
        "parcels.ingest-availability"
    ]
    assert {slo.owner for slo in route(changed, "parcels.ingest").slos} == {"upstream"}
    assert len(route(changed, "orders.list").slos) == 3


def test_gateway_has_an_slo(plan: Plan, plan_of: Callable[..., Plan]) -> None:
    """A stack or a service without a gateway has none."""
    slo = slo_of(plan, "gateway-availability")
    assert (slo.objective, slo.owner, slo.subject) == (Decimal("0.999"), "upstream", "gateway")
    bare = without_gateway(plan)
    assert [slo.name for slo in plan.slos if slo not in bare.slos] == ["gateway-availability"]
    for changed in (plan, bare):
        text = prometheus.render(changed)[prometheus.RULES]
        count = scope.limit(plan, f"(count({names.OBJECTIVE}) or vector(0)) != {len(changed.slos)}")
        assert count in text
        assert (names.GATEWAY_RESPONSES in text, "gateway" in text) == (
            changed is plan,
            changed is plan,
        )
    undeclared = plan_of(
        (
            (
                "gateway:\n  availability: 99.9\n  owner: upstream\n  needs: [database]\n"
                "  next_steps: [Count the replicas.]\n",
                "",
            ),
        )
    )
    assert undeclared == bare


def test_owners_of_dependencies_are_kept(plan: Plan) -> None:
    """A dependency may be somebody else's; a job without owner is the service's."""
    assert slo_of(plan, "thingspeak-availability").owner == "upstream"
    assert slo_of(plan, "thingspeak.sync-freshness").owner == "platform"


def test_every_threshold_is_a_bucket(plan: Plan) -> None:
    """No latency SLO needs an edge that the histograms lack; buckets ascend without repetition."""
    thresholds = {
        slo.threshold.seconds for slo in plan.slos if slo.sli == "latency" and slo.threshold
    }
    assert thresholds <= set(plan.buckets)
    assert list(plan.buckets) == sorted(set(plan.buckets))


def test_windows_ascend_and_choose_series_by_their_length(plan: Plan) -> None:
    """Short ones read every sample, long ones thinned series; the period is last."""
    assert [(w.name, w.pace) for w in plan.windows] == [
        ("30s", FINE_PACE), ("1m", FINE_PACE), ("5m", FINE_PACE),
        ("30m", THIN_PACE), ("2h", THIN_PACE), ("6h", THIN_PACE),
        ("1d", LONG_PACE), ("3d", LONG_PACE), ("30d", LONG_PACE),
    ]  # fmt: skip
    assert plan.windows[-1] == plan.period


@pytest.mark.parametrize("period", PERIODS)
def test_factors_spend_the_same_share_of_every_period(
    plan: Plan, plan_of: Callable[..., Plan], period: str
) -> None:
    """A window may spend as much of a short budget as of a long one; no factor is below 1."""
    changed = plan_of((("period: 30d", f"period: {period}"),))
    assert changed.windows[-1].name == period
    days = Decimal(period.removesuffix("d"))
    for tier, other in zip(plan.tiers, changed.tiers, strict=True):
        for of_30d, condition in zip(tier.conditions, other.conditions, strict=True):
            assert (of_30d.ratio, of_30d.window) == (condition.ratio, condition.window)
            if of_30d.factor is not None and condition.factor is not None:
                share = of_30d.factor / 30
                assert condition.factor == max(round(share * days, 4), Decimal(1))


def test_a_factor_below_1_is_scaled_up_alone(plan_of: Callable[..., Plan]) -> None:
    """An alert below the pace of the budget stays as it is declared; no period lowers it."""
    policy = (("{over: 3d, factor: 1}", "{over: 3d, factor: 0.5}"),)
    for period, factor in (("7d", "0.5"), ("90d", "1.5")):
        changed = plan_of((("period: 30d", f"period: {period}"),), policy)
        assert changed.tiers[-1].conditions[0].factor == Decimal(factor)


def test_slo_names_are_unique(plan: Plan) -> None:
    """Every join is on the name alone, so two of a kind would silence both."""
    assert len({slo.name for slo in plan.slos}) == len(plan.slos)
    assert slo_of(plan, "orders.list-probe").sli == "probe"
    with pytest.raises(KeyError):
        slo_of(plan, "none")


def test_window_of_the_guards_is_always_recorded(plan_of: Callable[..., Plan]) -> None:
    """Even if no tier of the policy has it."""
    lines = (
        registry.ROOT.joinpath("observability/policy.yaml")
        .read_text(encoding="utf-8")
        .splitlines(keepends=True)
    )
    remaining = "".join(line for line in lines if not re.match(r"  ([DP]0|T[1-5]): ", line))
    changed = plan_of((), remaining)
    assert [tier.name for tier in changed.tiers] == ["T0"]
    assert SHORT_WINDOW in {w.name for w in changed.windows}
    assert prometheus.render(changed)


def test_edited_threshold_changes_every_output(
    plan: Plan, plan_of: Callable[..., Plan], openapi: dict[str, Any]
) -> None:
    """200ms → 150ms changes bucket, rules, promtool cases, panels, runbook and load scenarios."""
    changed = plan_of((("{threshold: 200ms, objective: 95}", "{threshold: 150ms, objective: 95}"),))
    assert set(plan.buckets) ^ set(changed.buckets) == {Decimal("0.2"), Decimal("0.15")}
    before, after = registry.render(plan, openapi), registry.render(changed, openapi)
    moved = {str(path) for path in before if before[path] != after[path]}
    assert moved == {
        str(path)
        for path in before
        if re.search(r'200ms|"0\.2"|: 0\.2$', before[path], re.MULTILINE)
    }
    assert {path.rsplit("/", 1)[1] for path in moved} == {
        *("rules.yaml", "sample.yaml", "scenarios.json", "healthy.yaml", "others.yaml"),
        *("P0.yaml", "D0.yaml"),
        *(f"T{number}.yaml" for number in range(6)),
        *("overview.json", "routes.json", "load.json", "runbook.md"),
        *(
            f"{route.id}.md"
            for route in plan.routes
            if any(slo.threshold and slo.threshold.text == "200ms" for slo in route.slos)
        ),
    }
    for text in after.values():
        assert "200ms" not in text
        assert 'le="0.2"' not in text
    rules, scenarios = (
        after[registry.GENERATED / prometheus.RULES],
        after[registry.SCENARIOS / "scenarios.json"],
    )
    assert 'le="0.15"' in rules
    assert "orders.list-latency-150ms" in rules
    assert '"within": 0.15' in scenarios


def test_output_is_the_same_every_time(plan: Plan, openapi: dict[str, Any]) -> None:
    """Another process with another hash seed writes the same bytes."""
    files = registry.render(plan, openapi)
    digest = hashlib.sha256(
        repr(sorted((str(p), t) for p, t in files.items())).encode()
    ).hexdigest()
    assert files == registry.render(load_plan(SERVICE), openapi)
    for seed in ("1", "4711"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        result = subprocess.run(
            [sys.executable, "-c", HASH, str(SERVICE), str(CONTRACT)],
            env=environment,
            cwd=registry.ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.strip() == digest


def test_budget_is_what_the_objective_leaves() -> None:
    """1 − objective, exactly."""
    assert Slo("x", "latency", "http", "x", Decimal("0.999"), "o", ()).budget == Decimal("0.001")


def test_the_rules_that_ship_parse_as_yaml(plan: Plan) -> None:
    """The text that is written holds the groups that were built."""
    assert yaml.safe_load(prometheus.render(plan)[prometheus.RULES])["groups"] == prometheus.groups(
        plan
    )


def test_a_route_without_a_limit_has_none(plan_of: Callable[..., Plan]) -> None:
    """Without a default, only routes with a limit of their own have one."""
    changed = plan_of((("  rate_limit: 120/minute\n", ""),))
    assert changed.rate_limits == {
        "orders.create": "60/minute",
        "orders.update": "60/minute",
        "orders.delete": "60/minute",
        "parcels.ingest": "600/minute",
    }
