"""Declared maintenance on the rules of the fixed service; promtool's clock starts in 1970."""

from pathlib import Path

import pytest

from observability.generate import prometheus
from observability.spec import loading
from tests.observability.compiler_support import changed
from tests.rules.test_rules import GROUPS, HERE, run

WINDOW = '  - {from: 1970-01-01T00:20:00Z, for: 10m, reason: "PostgreSQL `upgrade`"}\n'
REPEATED = "  - {from: 1970-01-01T00:10:00Z, for: 5m, every: 20m, reason: Restart}\n"
JOB = """
jobs:
  sync:
    fresh_within: 15m
    objective: 99
    next_steps: [Look.]

maintenance:
"""
COUNT = 'evara_http_request_duration_seconds_count{job="api", instance="a", route="NAME"'
ROUTE = """
      - {series: 'COUNT, status="2xx"}', values: "GOOD"}
      - {series: 'COUNT, status="5xx"}', values: "BAD"}"""
CASE = """
rule_files: [rules.yaml]
evaluation_interval: 5s
group_eval_order: GROUPS
tests:
  - interval: 5s
    input_series:SERIES
    promql_expr_test:QUESTIONS
"""
QUESTION = """
      - {eval_time: TIME, expr: 'EXPR', exp_samples: [SAMPLES]}"""
# From 20:00 to 30:00 all of 10 requests a second fail, but for the first and the last scrape.
GOOD = "0+50x240 12000x120 12050+50x360"
WITHIN = "100x241 150+50x118 6050x361"
EARLY = "100x180 150+50x179 9050x361"  # from 15:00
LATE = "100x241 150+50x178 9050x301"  # to 35:00
PAGED = """
count by (slo) (count_over_time(ALERTS{severity="page", slo!="", alertstate="firing"}[RANGE]))
> bool 0""".replace("\n", " ")
FAILED = 'sum by (slo) (increase(service_slo:bad:count{slo="nodes.list-availability"}[1h])) > 0'


def check(
    folder: Path, windows: str, series: str, *questions: tuple[str, str, tuple[str, ...]]
) -> None:
    """Run promtool on a case; a question is a time, an expression, and the SLOs it is 1 for."""
    service = (HERE / "service" / "catalogue.yaml").read_text(encoding="utf-8")
    catalogue = folder / "catalogue.yaml"
    catalogue.write_text(changed(service, ("\nprobe:", JOB + windows + "\nprobe:")))
    rules = prometheus.render(loading.load_plan(catalogue))[prometheus.RULES]
    (folder / "rules.yaml").write_text(rules, encoding="utf-8")
    asked = ""
    for time, expr, slos in questions:
        samples = ", ".join(f"{{labels: '{{slo=\"{slo}\"}}', value: 1}}" for slo in slos)
        text = QUESTION.replace("TIME", time).replace("EXPR", expr).replace("SAMPLES", samples)
        asked += text
    case = CASE.replace("GROUPS", str(GROUPS)).replace("SERIES", series)
    (folder / "case.yaml").write_text(case.replace("QUESTIONS", asked), encoding="utf-8")
    result = run(folder / "case.yaml")
    assert result.returncode == 0, result.stdout + result.stderr


def route(name: str, bad: str, good: str = GOOD) -> str:
    """Return the requests of a route."""
    series = ROUTE.replace("COUNT", COUNT).replace("NAME", name)
    return series.replace("GOOD", good).replace("BAD", bad)


UNMEASURED = (
    "60m",
    'count_over_time(ALERTS{alertname="SLOUnmeasured", slo="nodes.list-availability"}[1h])',
    (),
)
LIST = ("nodes.list-availability",)
RECORDED = """
count by (slo) (
  {__name__=~"service_slo:(total:count|bad:count|measured:bool)", slo="nodes.list-availability"}
) > bool 0""".replace("\n", " ")
LATE_JOB = "count by (slo) (service_slo:fresh:bool == 0)"


@pytest.mark.parametrize(
    ("windows", "paged"), [(WINDOW, ()), (WINDOW.replace("T00:", "T05:"), LIST)]
)
def test_failures_during_maintenance_never_count(
    windows: str, paged: tuple[str, ...], tmp_path: Path
) -> None:
    """They raise no page, then or later, and are in no window; at another time they page."""
    check(
        tmp_path,
        windows,
        route("nodes.list", WITHIN),
        ("60m", PAGED.replace("RANGE", "1h"), paged),
        ("60m", f"({FAILED}) > bool 0", paged),
        ("35m", "count by (slo) (service_slo:bad:rate30m > 0)", paged),
        ("59m", "count by (slo) (service_slo:bad:rate6h > 0)", paged),
        ("59m", "count by (slo) (service_slo:budget_left:ratio < 1)", paged),
        UNMEASURED,
    )


def test_nothing_is_recorded_during_maintenance(tmp_path: Path) -> None:
    """Neither events nor coverage; what was excluded is counted, to the first scrape after it."""
    excluded = 'label_replace(service_slo:excluded:seconds30d == 605, "slo", "all", "", "")'
    check(
        tmp_path,
        WINDOW,
        route("nodes.list", WITHIN),
        ("19m55s", RECORDED, LIST),
        ("20m", RECORDED, ()),
        ("30m", RECORDED, ()),
        ("30m5s", RECORDED, LIST),
        ("59m", f"count by (slo) ({excluded})", ("all",)),
    )


def test_an_outage_before_maintenance_pages_until_it_starts(tmp_path: Path) -> None:
    """The page resolves within the window, and does not come back after it."""
    check(
        tmp_path,
        WINDOW,
        route("nodes.list", EARLY, "0+50x180 9000x180 9050+50x360"),
        ("20m", PAGED.replace("RANGE", "1m"), LIST),
        ("26m", PAGED.replace("RANGE", "30s"), ()),
        ("60m", PAGED.replace("RANGE", "33m"), ()),
        ("59m", "count by (slo) (service_slo:bad:rate6h * 21600 > 2600 < 3100)", LIST),
    )


def test_an_outage_that_outlasts_maintenance_pages_after_it(tmp_path: Path) -> None:
    """Only the failures after the window count."""
    check(
        tmp_path,
        WINDOW,
        route("nodes.list", LATE, "0+50x240 12000x180 12050+50x300"),
        ("30m5s", PAGED.replace("RANGE", "30m"), ()),
        ("32m", PAGED.replace("RANGE", "30s"), LIST),
        ("59m", "count by (slo) (service_slo:bad:rate6h * 21600 > 2600 < 3100)", LIST),
        UNMEASURED,
    )


def test_maintenance_repeats(tmp_path: Path) -> None:
    """Failures in the second and third window do not count, those between them do."""
    good = "0+50x360 18000x60 18050+50x180 27000x60 27050+50x60"
    bad = "100x361 150+50x58 3050x181 3100+50x58 6000x61"
    between = route("nodes.get", "100x481 150+50x58 3050x181", "0+50x480 24000x60 24050+50x180")
    check(
        tmp_path,
        REPEATED,
        route("nodes.list", bad, good) + between,
        ("60m", PAGED.replace("RANGE", "1h"), ("nodes.get-availability",)),
        ("60m", FAILED, ()),
        UNMEASURED,
    )


def test_maintenance_gives_a_job_its_time_again(tmp_path: Path) -> None:
    """A job that could not run is late `fresh_within` after the end, as after a success."""
    success = 'evara_job_last_success_timestamp_seconds{job="api", instance="a", task="sync"}'
    check(
        tmp_path,
        WINDOW,
        f"\n      - {{series: '{success}', values: \"900x720\"}}",
        ("19m55s", "count by (slo) (service_slo:fresh:bool == 1)", ("sync-freshness",)),
        ("25m", "count by (slo) (service_slo:fresh:bool)", ()),
        ("45m", LATE_JOB, ()),
        ("45m30s", LATE_JOB, ("sync-freshness",)),
    )
