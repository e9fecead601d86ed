"""Burn-rate alerts of SLOs whose catalogue entry switches some off, or adds labels."""

from pathlib import Path

from observability.generate import prometheus
from observability.spec import loading
from tests.observability.compiler_support import changed
from tests.rules.test_rules import GROUPS, HERE, run

COUNT = 'evara_http_request_duration_seconds_count{job="api", instance="a"'
BUCKET = 'evara_http_request_duration_seconds_bucket{job="api", instance="a", status="2xx"'
# Half of all requests fail, and half of the others are slow.
ROUTE = """
      - {series: 'COUNT, route="NAME", status="5xx"}', values: "0+100x120"}
      - {series: 'COUNT, route="NAME", status="2xx"}', values: "0+100x120"}
      - {series: 'BUCKET, route="NAME", le="0.2"}', values: "0+50x120"}
"""
CASE = """
rule_files: [rules.yaml]
evaluation_interval: 15s
group_eval_order: GROUPS
tests:
  - interval: 15s
    input_series:SERIES
    promql_expr_test:
      - eval_time: 25m
        expr: count by (slo, team) (ALERTS{tier!="", alertstate="firing"}) > bool 0
        exp_samples:
          - {labels: '{slo="nodes.list-availability"}', value: 1}
          - {labels: '{slo="nodes.list-latency-200ms"}', value: 1}
          - {labels: '{slo="nodes.get-availability", team="shop"}', value: 1}
      - eval_time: 25m # the others are still measured
        expr: count(service_slo:error:ratio5m > 0.3)
        exp_samples: [{value: 6}]
      - eval_time: 25m # an alert has no label that says what is off
        expr: count(ALERTS{tier!="", muted_page!=""} or ALERTS{tier!="", muted_ticket!=""})
        exp_samples: []
"""


def test_alerts_that_are_off_do_not_fire(tmp_path: Path) -> None:
    """The others do, with the labels of their SLO; each tier still has one rule."""
    service = (HERE / "service" / "catalogue.yaml").read_text(encoding="utf-8")
    edits = (
        (
            "    http: GET /api/v1/nodes/{node_id}\n",
            "    http: GET /api/v1/nodes/{node_id}\n"
            "    alerts: {labels: {team: shop}, by_sli: {latency: {disable: [page]}}}\n",
        ),
        (
            "    http: PATCH /api/v1/nodes/{node_id}\n",
            "    http: PATCH /api/v1/nodes/{node_id}\n    alerts: {disable: [page, ticket]}\n",
        ),
    )
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(changed(service, *edits), encoding="utf-8")
    groups = prometheus.groups(loading.load_plan(catalogue))
    before = prometheus.groups(loading.load_plan(HERE / "service" / "catalogue.yaml"))
    assert [len(group["rules"]) for group in groups] == [len(group["rules"]) for group in before]
    rules = prometheus.render(loading.load_plan(catalogue))[prometheus.RULES]
    (tmp_path / "rules.yaml").write_text(rules, encoding="utf-8")
    series = "".join(ROUTE.replace("NAME", f"nodes.{verb}") for verb in ("list", "get", "update"))
    case = CASE.replace("SERIES", series.replace("COUNT", COUNT).replace("BUCKET", BUCKET))
    (tmp_path / "case.yaml").write_text(case.replace("GROUPS", str(GROUPS)), encoding="utf-8")
    result = run(tmp_path / "case.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
