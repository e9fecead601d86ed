"""Burn-rate alerts of other periods than 30 days, on the rules of the fixed service."""

from pathlib import Path

import pytest

from observability.generate import prometheus
from observability.spec import loading
from observability.spec.schema.fields import PERIODS
from tests.rules.test_rules import GROUPS, HERE, run

COUNT = 'evara_http_request_duration_seconds_count{job="api", instance="a"'
CASE = """
rule_files: [rules.yaml]
evaluation_interval: 15s
group_eval_order: GROUPS
tests:
  - interval: 15s
    input_series:
      - {series: 'COUNT, route="nodes.list", status="2xx"}', values: "0+9970x300"}
      - {series: 'COUNT, route="nodes.list", status="5xx"}', values: "0+30x300"}
      - {series: 'COUNT, route="nodes.get", status="2xx"}', values: "0+9830x300"}
      - {series: 'COUNT, route="nodes.get", status="5xx"}', values: "0+170x300"}
      - {series: 'COUNT, route="nodes.update", status="2xx"}', values: "0+9500x300"}
      - {series: 'COUNT, route="nodes.update", status="5xx"}', values: "0+500x300"}
    promql_expr_test:
      - eval_time: 60m
        expr: >-
          count by (slo) (ALERTS{severity="page", alertstate="firing", sli="availability"}) > bool 0
        exp_samples: [SAMPLES]
""".replace("COUNT", COUNT)
# The share of failures, and the share of the budget that an hour of it spends: of 7, 28, 30, 90 d.
#   nodes.list   0.3 %   1.8 % of a week, and less than 0.5 % of the others
#   nodes.get    1.7 %   10, 2.5, 2.4 and 0.8 %
#   nodes.update 5 %     30, 7.4, 6.9 and 2.3 %
PAGES = {
    "7d": ("nodes.update", "nodes.get", "nodes.list"),
    "28d": ("nodes.update", "nodes.get"),
    "30d": ("nodes.update", "nodes.get"),
    "90d": ("nodes.update",),
}


@pytest.mark.parametrize("period", PERIODS)
def test_a_page_comes_at_the_same_share_of_the_budget(period: str, tmp_path: Path) -> None:
    """The shorter the period, the fewer failures are a page, because its budget is gone sooner."""
    catalogue = (HERE / "service" / "catalogue.yaml").read_text(encoding="utf-8")
    (tmp_path / "catalogue.yaml").write_text(
        catalogue.replace("period: 30d", f"period: {period}"), encoding="utf-8"
    )
    plan = loading.load_plan(tmp_path / "catalogue.yaml")
    rules = prometheus.render(plan)[prometheus.RULES]
    (tmp_path / "rules.yaml").write_text(rules, encoding="utf-8")
    samples = ", ".join(
        f"{{labels: '{{slo=\"{route}-availability\"}}', value: 1}}" for route in PAGES[period]
    )
    case = CASE.replace("GROUPS", str(GROUPS)).replace("SAMPLES", samples)
    (tmp_path / "case.yaml").write_text(case, encoding="utf-8")
    result = run(tmp_path / "case.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"budget of {period} is" in rules
