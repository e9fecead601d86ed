"""The scope of a service: every selector that is generated names it."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from observability.checks.expressions import list_selectors
from observability.generate import prometheus
from observability.generate.dashboards.grafana import files as dashboards
from observability.generate.dashboards.grafana.vocabulary import reference
from observability.generate.registry import ROOT
from observability.generate.runbook import pages
from observability.lib import scope
from observability.lib.panels import METRICS
from observability.lib.prometheus import Prometheus, ServicePrometheus
from observability.lib.promql import RATE_INTERVAL, quote
from observability.spec import names
from observability.spec.loading import load_plan
from observability.spec.plan import Plan
from tests.observability.compiler_support import SMALL

REAL = load_plan()
DECLARED = (
    "period: 30d\n",
    "period: 30d\nenvironment: staging\n"
    "scrape: {api: shop, others: [a.b], labels: {cluster: eu}, replica_label: replica}\n",
)


@pytest.fixture
def staging(plan_of: Callable[..., Plan]) -> Plan:
    """Return the Plan of the fixed service with everything that a scope can have."""
    return plan_of((DECLARED,))


@pytest.mark.parametrize(
    ("expr", "limited"),
    [
        ("up", 'up{job=~"alertmanager|api|prober|prometheus"}'),
        ('up{job="api"}', 'up{job="api"}'),
        ("evara_http_requests_total", 'evara_http_requests_total{job=~"api"}'),
        ("rate(evara_probes_total[5m])", 'rate(evara_probes_total{job=~"prober"}[5m])'),
        (names.GATEWAY_RESPONSES, names.GATEWAY_RESPONSES + '{job=~"gateway"}'),
        (names.OBJECTIVE, names.OBJECTIVE + '{environment="",service="small"}'),
        ('ALERTS{slo="x"}', 'ALERTS{environment="",service="small",slo="x"}'),
        (names.RULE_FAILURES, names.RULE_FAILURES + '{rule_group=~".*;small:.*"}'),
        ("rate(pg_up[$__rate_interval])", None),
        ("vector(1)", "vector(1)"),
        ("sum(", "sum("),
    ],
)
def test_selectors_name_the_scope(
    expr: str, limited: str | None, plan_of: Callable[..., Plan]
) -> None:
    """Recorded series by service, others by the jobs that expose them; own matchers stay."""
    result = scope.limit(plan_of(SMALL), expr)
    if limited is None:
        assert result.endswith("[$__rate_interval])")
        assert "job=~" in result
    else:
        assert result == limited


@pytest.mark.parametrize(
    ("expr", "limited"),
    [
        ("pg_up", "max without (replica) (pg_up{L})"),
        ("rate(pg_up[5m] offset 1m)", "max without (replica) (rate(pg_up{L}[5m] offset 1m))"),
        ("timestamp(pg_up)", "max without (replica) (timestamp(pg_up{L}))"),
        (
            "increase(sum(pg_up)[5m:])",
            "increase(sum(max without (replica) (pg_up{L}))[5m:])",
        ),
    ],
)
def test_replicas_are_removed_where_samples_are_read(
    expr: str, limited: str, staging: Plan
) -> None:
    """A rate is one of a single replica; the time of a sample is that of the scrape."""
    labels = r'{cluster="eu",job=~"a\\.b|gateway|prober|shop"}'
    one_line = " ".join(scope.limit(staging, expr).split()).replace("( ", "(").replace(" )", ")")
    assert one_line == limited.replace("{L}", labels)


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))))
def test_any_value_of_a_matcher_survives(value: str) -> None:
    """Quotes and backslashes of a selector are those that it had."""
    expr = scope.limit(REAL, f"pg_up{{x={quote(value)}}}")
    [selector] = list_selectors(promql_parser.parse(expr))
    assert {matcher.name: matcher.value for matcher in selector.matchers.matchers}["x"] == value


def expressions(plan: Plan) -> Iterator[str]:
    """Yield every query that rules and their texts, dashboards and runbook have."""
    for group in prometheus.groups(plan):
        for rule in group["rules"]:
            yield rule["expr"]
            texts = " ".join(rule.get("annotations", {}).values())
            yield from re.findall("printf `(.*?)`", texts)
    for path, text in dashboards.render(plan).items():
        if path.endswith(".json"):
            board = json.loads(text)
            targets = [target for panel in board["panels"] for target in panel.get("targets", [])]
            marks = [mark["target"] for mark in board["annotations"]["list"]]
            metrics = [one for one in targets if one["datasource"] == reference(METRICS)]
            yield from (one["expr"] for one in metrics + marks)
            for variable in board["templating"]["list"]:
                yield from re.findall(r"label_values\((.*), \w+\)", str(variable["query"]))
    for text in pages.render(plan).values():
        yield from re.findall(r"```promql\n(.*?)```", text, re.DOTALL)


def test_every_generated_selector_names_the_scope(staging: Plan) -> None:
    """A query that someone forgets to limit would read the series of a neighbour."""
    own = {names.SERVICE: "evara-api", names.ENVIRONMENT: "staging"}
    jobs = {"shop", "prober", "gateway", r"a\.b|gateway|prober|shop"}
    seen = set()
    for expr in expressions(staging):
        tree = promql_parser.parse(expr.replace(RATE_INTERVAL, "1m"))
        for selector in list_selectors(tree):
            labels = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
            seen.add(selector.name)
            if selector.name.startswith((names.RECORDED, names.ALERTS)):
                assert labels.items() >= own.items(), expr
            elif selector.name in names.RULE_METRICS:
                assert labels[names.RULE_GROUP] == ".*;evara-api_staging:.*", expr
            else:
                assert labels[names.SCRAPE_JOB] in jobs, expr
                assert labels["cluster"] == "eu", expr
    assert {names.OBJECTIVE, names.ALERTS, names.UP, names.RULE_FAILURES} <= seen


@pytest.mark.parametrize("operator", ["or", "+ on (slo) group_left (x)", "> bool"])
def test_a_chain_may_be_longer_than_pythons_stack(operator: str, plan: Plan) -> None:
    """Every operand of 2 000 is limited, and the operators stay."""
    chain = f" {operator} ".join(["up"] * 2_000)
    one = scope.limit(plan, "up")
    assert scope.limit(plan, chain).split() == f" {operator} ".join([one] * 2_000).split()


def test_everything_recorded_and_raised_has_the_labels(staging: Plan) -> None:
    """Rules of one name in two files record different series."""
    for group in prometheus.groups(staging):
        assert group["name"].startswith("evara-api_staging:")
        for rule in group["rules"]:
            assert rule["labels"].items() >= scope.own_labels(staging).items()


def test_a_client_sees_one_service(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queries are limited, and alerts of others left out."""
    asked = []

    def answer(*_: object, **params: str) -> Any:
        asked.append(params.get("query"))
        alerts = [{"labels": {"service": name}} for name in ("evara-api", "shop")]
        staging = {"labels": {"service": "evara-api", "environment": "staging"}}
        return {"result": [], "alerts": [*alerts, staging, {"labels": {"slo": "of Pyrra"}}]}

    monkeypatch.setattr(Prometheus, "_get", answer)
    client = ServicePrometheus("http://x", plan)
    assert client.alerts() == [{"labels": {"service": "evara-api"}}]
    client.query(names.OBJECTIVE)
    client.query_range(names.OBJECTIVE, 0, 1, 1)
    assert asked[1:] == [scope.limit(plan, names.OBJECTIVE)] * 2


@pytest.mark.parametrize("path", ["prometheus.yaml", "compose/prometheus.yaml"])
def test_catalogue_declares_every_scrape_job_of_the_stacks(path: str) -> None:
    """TargetDown would not notice a target of another job."""
    text = (ROOT / "observability/devstack" / path).read_text(encoding="utf-8")
    jobs = {config["job_name"] for config in yaml.safe_load(text)["scrape_configs"]}
    assert jobs <= set(scope.scrape_jobs(REAL, names.UP))
