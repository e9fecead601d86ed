"""The rules benchmark: Sloth's rules, what rules read, the service's metrics, and the report."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from loadtests.bench.rules import history, templates
from loadtests.bench.rules.report import FASTER, SLOTH_CLOCK
from loadtests.bench.rules.service import EPOCH, RATE, count, serve_metrics
from observability.lib.prometheus import scrape_metric
from observability.spec import names
from observability.spec.loading import load_plan
from observability.spec.plan import Plan
from tests.observability.compiler_support import program

ROUTES = ["things.r0", "things.r1"]
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
CALLS = names.HTTP_DURATION + "_count"
QUICK = names.HTTP_DURATION + "_bucket"
# One page and one ticket are possible; a sample a minute for three hours.
OUTAGE = f"""
rule_files: [rules.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {{series: '{CALLS}{{route="things.r0", status="2xx"}}', values: "0+60x30 1800x60"}}
      - {{series: '{CALLS}{{route="things.r0", status="5xx"}}', values: "0x30 60+60x60"}}
      - {{series: '{CALLS}{{route="things.r1", status="2xx"}}', values: "0+60x90"}}
      - {{series: '{CALLS}{{route="things.r1", status="5xx"}}', values: "0x90"}}
    promql_expr_test:
      - expr: round(slo:sli_error:ratio_rate5m{{sloth_slo="things.r0-availability"}}, 0.01)
        eval_time: 40m
        exp_samples:
          - value: 1
            labels: >-
              {{sloth_id="bench-things.r0-availability", sloth_service="bench",
              sloth_slo="things.r0-availability", sloth_window="5m"}}
      - {{expr: 'sum(ALERTS{{sloth_severity="page"}})', eval_time: 29m, exp_samples: []}}
      - expr: sum by (alertname) (ALERTS{{sloth_severity="page", alertstate="firing"}})
        eval_time: 34m
        exp_samples:
          - {{labels: '{{alertname="bench-things.r0-availability"}}', value: 1}}
"""
SLOW = f"""
rule_files: [rules.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {{series: '{CALLS}{{route="things.r0", status="2xx"}}', values: "0+100x60"}}
      - {{series: '{QUICK}{{route="things.r0", status="2xx", le="0.2"}}', values: "0+90x60"}}
      - {{series: '{QUICK}{{route="things.r0", status="2xx", le="1.0"}}', values: "0+99x60"}}
    promql_expr_test:
      - expr: round(sum by (sloth_slo) (slo:sli_error:ratio_rate5m), 0.001)
        eval_time: 20m
        exp_samples:
          - {{labels: '{{sloth_slo="things.r0-latency-200ms"}}', value: 0.1}}
          - {{labels: '{{sloth_slo="things.r0-latency-1s"}}', value: 0.01}}
      - expr: round(slo:current_burn_rate:ratio{{sloth_slo="things.r0-latency-200ms"}}, 0.1)
        eval_time: 20m
        exp_samples:
          - value: 2
            labels: >-
              {{sloth_id="bench-things.r0-latency-200ms", sloth_service="bench",
              sloth_slo="things.r0-latency-200ms", sloth_window="5m"}}
"""
COSTS = {
    "rules": 1,
    "series": 2,
    "memory_bytes": 3e6,
    "evaluation_seconds": 0.5,
    "lag_seconds": 0.25,
    "missed": 0,
    "evaluations": 24,
}
Promtool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Return the Plan of the synthetic service."""
    templates.write("catalogue.yaml", tmp_path, routes=ROUTES)
    return load_plan(tmp_path / "catalogue.yaml")


@pytest.fixture
def rules(plan: Plan) -> str:
    """Return Sloth's rules for the synthetic service."""
    return templates.render("sloth.yaml", service=plan.service, slos=plan.slos)


def run_promtool(*arguments: str, folder: Path) -> str:
    """Return what promtool prints; fail if it finds a problem."""
    result = subprocess.run(
        [program("promtool"), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_an_slo_has_the_seventeen_rules_that_sloth_documents(plan: Plan, rules: str) -> None:
    """Each SLO has eight error ratios, seven series of metadata, a page and a ticket."""
    groups = yaml.safe_load(rules)["groups"]
    assert len(groups) == 3 * len(plan.slos)
    for sli, metadata, alerts in zip(*(iter(groups),) * 3, strict=True):
        assert [rule["labels"]["sloth_window"] for rule in sli["rules"]] == list(WINDOWS)
        assert len(metadata["rules"]) == 7
        severities = [rule["labels"]["sloth_severity"] for rule in alerts["rules"]]
        assert severities == ["page", "ticket"]


@pytest.mark.parametrize("case", [OUTAGE, SLOW], ids=["outage", "slow"])
def test_sloths_rules_compute_what_sloth_documents(case: str, rules: str, tmp_path: Path) -> None:
    """A total outage pages within minutes; slow calls are bad by each threshold."""
    (tmp_path / "rules.yaml").write_text(rules, encoding="utf-8")
    (tmp_path / "case.yaml").write_text(case, encoding="utf-8")
    run_promtool("test", "rules", "case.yaml", folder=tmp_path)


def test_metrics_grow_by_each_routes_rate(plan: Plan) -> None:
    """The second route has twice the requests of the first; 1 in 2000 fails."""
    with serve_metrics(ROUTES, plan.bucket_edges) as url:
        calls = scrape_metric(url, CALLS, names.ROUTE)
        by_status = scrape_metric(url, CALLS, names.STATUS)
        by_edge = scrape_metric(url, QUICK, "le")
    assert calls["things.r1"] / calls["things.r0"] == pytest.approx(2, rel=1e-3)
    assert by_status["5xx"] / sum(by_status.values()) == pytest.approx(0.0005, rel=1e-3)
    assert by_edge["+Inf"] > by_edge["1.0"] > by_edge["0.2"] > by_edge["0.005"]


def test_slow_requests_never_vanish() -> None:
    """Else the rules would see a counter that starts anew, and alerts that cost much CPU."""
    text = templates.render("metrics.txt", routes=ROUTES, edges=[0.2, 1.0])
    rates = [(bool(plus), float(rate)) for plus, rate in RATE.findall(text)]
    names_of_series = [line.split(" ")[0] for line in text.splitlines() if line]
    slow = []
    for tenth in range(3000):
        values = dict(zip(names_of_series, count(rates, EPOCH / 100 + tenth / 10), strict=True))
        labels = f'{names.ROUTE}="things.r1",{names.STATUS}="2xx"'
        quick = values[f'{names.HTTP_DURATION}_bucket{{{labels},le="0.2"}}']
        slow.append(values[f"{names.HTTP_DURATION}_count{{{labels}}}"] - quick)
    assert slow == sorted(slow)
    assert slow[0] < slow[-1]


def test_the_longest_range_of_each_selector_is_found() -> None:
    """Subqueries count; a query in the text of an alert, with a field to fill, does not."""
    rules = """
      expr: rate(a_total{le=~"1|1[.]0"}[5m]) / rate(a_total{le=~"1|1[.]0"}[3d]) > b
      expr: count_over_time(c:d:30s[1d:1h]) and count_over_time(c:d:30s[2h])
      summary: "{{ with printf `rate(e{slo='%[1]s'}[30d])` $labels.slo }}"
    """
    assert history.list_ranges(rules) == {'a_total{le=~"1|1[.]0"}': 259_200, "c:d:30s": 86_400}


def test_blocks_hold_a_counters_past_and_a_constant(tmp_path: Path) -> None:
    """A counter grows steadily to its value; a ratio was always the same."""
    now = history.EPOCH + 1_000_000
    past = {'a{x="y z"}': (7_200, 1_000_000.0), "b{}": (3_600, 0.5)}
    history.write_blocks(past, tmp_path / "server", now)
    (tmp_path / "server" / "data" / "wal").mkdir()  # promtool wants one
    dump = run_promtool("tsdb", "dump", "data", folder=tmp_path / "server").splitlines()
    counter = [float(line.split()[-2]) for line in dump if "y z" in line]
    constant = [float(line.split()[-2]) for line in dump if "y z" not in line]
    assert counter[:2] == [992_800, 992_860]
    assert len(counter) == 120
    assert constant == [0.5] * 60


def test_faster_groups_get_sloths_clock() -> None:
    """Groups that are evaluated more seldom, or that say `interval` elsewhere, stay as they are."""
    rules = "\n".join(f"  interval: {text}" for text in ("500ms", "5s", "30s", "1m", "2m"))
    slowed = FASTER.sub(SLOTH_CLOCK, f"{rules}\n    interval: 5s\n")
    intervals = [line.partition("interval: ")[2] for line in slowed.splitlines()]
    assert intervals == ["30s", "30s", "30s", "1m", "2m", "5s"]


def test_the_report_leaves_out_the_cost_of_scraping() -> None:
    """Ratio and growth compare what the rules add to a server that only scrapes."""
    runs = []
    for routes, cores in ((100, {"ours": 0.3, "Sloth": 0.5}), (1000, {"ours": 1.3, "Sloth": 4.1})):
        servers = {name: COSTS | {"cpu_cores": cpu} for name, cpu in cores.items()}
        servers["scraping"] = COSTS | {"cpu_cores": 0.1, "rules": 0}
        runs.append({"routes": routes, "past": "none", "clock": "own", "servers": servers})
    generate = {"command": "generate", "cpu_seconds": 2, "exit_code": 0, "files": 7, "bytes": 1e6}
    check = {"command": "check", "cpu_seconds": 3, "exit_code": 1}
    commands = [{"routes": 100, "costs": [generate, check]}]
    measured = {"machine": "m", "seconds": 9, "runs": runs, "commands": commands}
    text = templates.render("report.md", **json.loads(json.dumps(measured)))
    assert "| 100 | none | own | 0.50 |" in text
    assert "| from 100 to 1000 routes | own | 0.60 | 1.00 |" in text
    assert "| 100 | `generate` | 2.0 | 7 | 1.00 | 0 |" in text
    assert "| 100 | `check` | 3.0 | – | – | 1 |" in text
