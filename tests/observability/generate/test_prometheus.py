"""The rules: their number, what they read, and that promtool accepts them."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.checks import expressions
from observability.generate import prometheus
from observability.lib import scope
from observability.spec import names
from observability.spec.plan import Plan
from tests.observability.compiler_support import MANY, SMALL

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def rules(plan: Plan) -> list[dict[str, Any]]:
    return [rule for group in prometheus.groups(plan) for rule in group["rules"]]


def computed(plan: Plan) -> list[str]:
    """Return the names of the rules but those of constants."""
    constants = {names.OBJECTIVE, names.NEXT_STEPS_INFO}
    every = [rule.get("record") or rule["alert"] for rule in rules(plan)]
    return [name for name in every if name not in constants]


def test_fifty_routes_need_no_more_rules_than_one(plan_of: Callable[..., Plan]) -> None:
    """Rules are vectorised: their number follows thresholds and windows, not SLOs."""
    one, fifty = plan_of(SMALL), plan_of(MANY)
    assert (len(one.slos), len(fifty.slos)) == (1, 50)
    assert computed(one) == computed(fifty)


def test_no_expression_is_a_chain_of_or(plan_of: Callable[..., Plan]) -> None:
    """Twenty thresholds are twenty rules of one name, which have different labels."""
    latency = ", ".join(f"{{threshold: {n}00ms, objective: {70 + n}}}" for n in range(1, 21))
    many = plan_of(SMALL.replace("latency: []", f"latency: [{latency}]"))
    bad = [rule for rule in rules(many) if rule.get("record") == names.BAD]
    assert len(bad) == 21
    assert len({str(rule["labels"]) for rule in bad}) == 21
    for rule in rules(many):
        assert len(re.findall(r"\bor\b", rule["expr"])) <= 1, rule


def test_short_windows_read_only_the_sources_that_a_tier_judges(plan: Plan) -> None:
    """D0 alone reads 30s, and judges dependencies; all read 5m."""
    exprs = {rule["record"]: rule["expr"] for rule in rules(plan) if "record" in rule}
    assert 'source=~"dependency"' in exprs[names.total_rate("30s")]
    assert names.FRESH not in exprs[names.total_rate("30s")]
    assert "source" not in exprs[names.total_rate("5m")]
    assert names.FRESH in exprs[names.total_rate("5m")]


def test_an_alert_is_evaluated_as_often_as_its_shortest_window(plan: Plan) -> None:
    """Tiers whose windows are all computed from thin copies need no more."""
    interval = {
        rule["labels"][names.TIER]: group["interval"]
        for group in prometheus.groups(plan)
        for rule in group["rules"]
        if rule.get("alert") == names.BURN_ALERT
    }
    assert interval == dict.fromkeys(("T0", "D0", "P0", "T1", "T2", "T3"), "5s") | dict.fromkeys(
        ("T4", "T5"), "30s"
    )


def test_ten_jobs_need_no_more_rules_than_one(plan_of: Callable[..., Plan]) -> None:
    """Freshness is vectorised, too."""
    job = "jobs:\n" + "".join(
        f"  a.j{n}: {{fresh_within: 1h, objective: 99, next_steps: [Look.]}}\n" for n in range(10)
    )
    one, ten = SMALL + "".join(job.splitlines(keepends=True)[:2]), SMALL + job
    assert computed(plan_of(one)) == computed(plan_of(ten))


@pytest.mark.parametrize("which", ["real", "fast", "one route", "fifty routes", "jobs alone"])
def test_promtool_accepts_the_rules(
    which: str, plan: Plan, fast: Plan, plan_of: Callable[..., Plan], promtool: Run, tmp_path: Path
) -> None:
    """Whatever is declared or left out, Prometheus would load the file."""
    texts = {"one route": SMALL, "fifty routes": MANY}
    texts["jobs alone"] = (
        SMALL + "jobs: {a.b: {fresh_within: 1h, objective: 99, next_steps: [Look.]}}\n"
    )
    chosen = {"real": plan, "fast": fast}.get(which) or plan_of(texts[which])
    path = tmp_path / "rules.yaml"
    path.write_text(prometheus.render(chosen)[prometheus.RULES], encoding="utf-8")
    result = promtool("check", "rules", path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(rules(chosen))} rules found" in result.stdout


def test_every_alert_has_owner_severity_summary_and_next_steps(plan: Plan) -> None:
    """The owner may come from the labels of the objective."""
    alerts = [rule for rule in rules(plan) if "alert" in rule]
    assert alerts
    for alert in alerts:
        assert alert["labels"][names.SERVICE] == plan.service, alert["alert"]
        assert alert["labels"][names.SEVERITY] in plan.policy.severities, alert["alert"]
        texts = f"{alert['labels']} {alert['expr']}"
        assert names.OWNER in texts or names.OBJECTIVE in texts, alert["alert"]
        assert alert["annotations"]["summary"], alert["alert"]
        assert alert["annotations"][names.NEXT_STEPS], alert["alert"]


def test_rules_read_only_recorded_series(plan_of: Callable[..., Plan]) -> None:
    """Without jobs and probes there is no freshness series, and no rule reads one."""
    small_plan = plan_of(SMALL)
    assert all(rule["expr"].strip() for rule in rules(small_plan))
    assert not [
        rule
        for rule in rules(small_plan)
        if names.FRESH in rule["expr"] or rule.get("record", "").startswith(names.FRESH)
    ]
    known = (
        frozenset(rule["record"] for rule in rules(small_plan) if "record" in rule)
        | expressions.exposed_series(small_plan)
        | names.FOREIGN
    )
    assert not [
        text
        for rule in rules(small_plan)
        for text, _ in expressions.check_expression(
            rule["expr"], known, frozenset(small_plan.buckets)
        )
    ]


def test_groups_are_in_the_order_of_their_dependencies(plan: Plan) -> None:
    """promtool's cases name the same groups."""
    expected = [scope.group_name(plan, group) for group in names.GROUPS]
    assert [group["name"] for group in prometheus.groups(plan)] == expected


def test_an_slo_is_joined_by_its_name_alone(plan: Plan) -> None:
    """A join on the route would break as soon as two SLOs share it."""
    for rule in rules(plan):
        if rule.get("alert") == names.BURN_ALERT:
            assert f"on ({names.SLO})" in rule["expr"]
            assert f"on ({names.ROUTE})" not in rule["expr"]


def test_thinned_freshness_is_a_mean(plan: Plan) -> None:
    """The last value of 30 s would lose what was bad before it; counters lose nothing."""
    thin = {
        rule["record"]: rule["expr"]
        for rule in rules(plan)
        if rule.get("record", "").endswith(names.THIN)
    }
    fresh = scope.limit(plan, f"avg_over_time({names.FRESH}[30s])")
    assert thin[names.FRESH + names.THIN] == fresh
    assert thin[names.TOTAL + names.THIN] == scope.limit(plan, names.TOTAL)


def test_bad_events_are_recorded_before_all_events(plan: Plan) -> None:
    """A scrape between the two evaluations adds to the total alone."""
    recorded = [rule["record"] for rule in rules(plan) if "record" in rule]
    for suffix in ("", names.THIN):
        assert recorded.index(names.BAD + suffix) < recorded.index(names.TOTAL + suffix)


def test_thirty_seconds_with_ten_bad_ones_are_two_thirds_fresh(
    plan: Plan, promtool: Run, tmp_path: Path
) -> None:
    """Prometheus evaluates the thinned freshness to the expected value at each sample."""
    [thin] = [rule for rule in rules(plan) if rule.get("record") == names.FRESH + names.THIN]
    fresh = scope.exposed(plan, f'{names.FRESH}{{slo="x"}}')
    case = {
        "interval": "5s",
        "input_series": [{"series": fresh, "values": "_ 1 1 0 0 1 1"}],
        "promql_expr_test": [
            {
                "expr": f"round(1000 * {thin['record']})",
                "eval_time": "30s",
                "exp_samples": [{"labels": '{service="evara-api", slo="x"}', "value": 667}],
            }
        ],
    }
    (tmp_path / "rules.yaml").write_text(
        yaml.safe_dump({"groups": [{"name": "thin", "interval": "30s", "rules": [thin]}]})
    )
    (tmp_path / "test.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "5s", "tests": [case]})
    )
    result = promtool("test", "rules", str(tmp_path / "test.yaml"))
    assert result.returncode == 0, result.stdout + result.stderr


def test_labels_of_an_objective_may_hold_any_text(
    plan_of: Callable[..., Plan], promtool: Run, tmp_path: Path
) -> None:
    """Quotes, backslashes and dollars in next steps reach the reader as they were written."""
    steps = r"""'Say "hello" to C:\temp for $1 and ${x}'"""
    chosen = plan_of(
        SMALL.replace(
            "GET /things/, next_steps: [Look at it.]", f"GET /things/, next_steps: [{steps}]"
        )
    )
    (tmp_path / "rules.yaml").write_text(
        prometheus.render(chosen)[prometheus.RULES], encoding="utf-8"
    )
    case = r"""
rule_files: [rules.yaml]
tests:
  - interval: 1m
    promql_expr_test:
      - expr: service_slo:next_steps:info
        eval_time: 1m
        exp_samples:
          - labels: >-
              service_slo:next_steps:info{service="small", slo="things.list-availability",
              next_steps="1. Say \"hello\" to C:\\temp for $1 and ${x}"}
            value: 1
"""
    (tmp_path / "case.yaml").write_text(case, encoding="utf-8")
    result = promtool("test", "rules", tmp_path / "case.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
