"""A ratio: an SLO over any two counters."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from observability.generate import prometheus
from observability.generate.runbook import pages
from observability.generate.runbook.entries import entries
from observability.generate.sample import sample
from observability.lib import scope
from observability.sli import registry
from observability.sli.steady_traffic import EVENTS, SteadyTraffic, counter
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.problems import Problem
from tests.observability.compiler_support import SMALL, changed, slo_of

UPLOADS = """slos:
  uploads-complete:
    ratio: {bad: uploads_failed_total, total: 'uploads_total{kind="batch"}'}
    objective: 99.5
    next_steps: [Is the store full?]
  uploads-quick:
    ratio: {good: 'uploads_done_total{speed=~"fast|medium"}', total: uploads_done_total}
    objective: 95
    subject: uploads
    impact: Uploads are slow.
    next_steps: [Is the store slow?]
"""
RATIO = f"{names.error_ratio('5m')}"


@pytest.fixture
def uploads(plan_of: Callable[..., Plan]) -> Plan:
    """Return the Plan of a service with two ratios."""
    return plan_of(SMALL + UPLOADS)


def only(expr: str, *slos: str) -> str:
    """Return the value of an expression per SLO, rounded, of these SLOs."""
    return f'round(sum by (slo) ({expr}{{slo=~"{"|".join(slos)}"}}) * 1000) / 1000'


def test_bad_and_good_events_are_counted(uploads: Plan, check_rules: Callable[..., None]) -> None:
    """Of 10 uploads per sample, 1 fails; of 10 that are done, 2 are not quick."""
    check_rules(
        uploads,
        {
            'uploads_total{kind="batch", job="store", instance="a"}': "0+10x240",
            'uploads_total{kind="other", job="store", instance="a"}': "0+90x240",
            'uploads_failed_total{reason="full", instance="a"}': "0+1x240",
            'uploads_done_total{speed="fast", instance="a"}': "0+5x240",
            'uploads_done_total{speed="medium", instance="a"}': "0+3x240",
            'uploads_done_total{speed="slow", instance="a"}': "0+2x240",
        },
        (only(RATIO, "uploads-quick"), ["uploads-quick=0.2"]),
    )


def test_a_missing_error_series_counts_as_zero(
    uploads: Plan, check_rules: Callable[..., None]
) -> None:
    """A counter that never failed is measured; one without its total is not."""
    total = 'uploads_total{kind="batch", instance="a"}'
    check_rules(
        uploads,
        {total: "0+10x240", 'uploads_done_total{speed="fast", instance="a"}': "_x239"},
        (only(RATIO, "uploads-.*"), ["uploads-complete=0"]),
        (only(names.MEASURED, "uploads-.*"), ["uploads-complete=1"]),
    )


def test_the_first_failure_counts(uploads: Plan, check_rules: Callable[..., None]) -> None:
    """An error series that begins at 1 is one bad event, after a restart, too."""
    check_rules(
        uploads,
        {
            'uploads_total{kind="batch", instance="a"}': "0+10x239 0+10x10",
            'uploads_failed_total{instance="a"}': "_x200 60x38 stale _x9",
        },
        (only(f"{names.BAD}", "uploads-complete"), ["uploads-complete=0"]),
        (
            "round(sum by (slo) (increase(service_slo:bad:count[10m])) / 10) * 10 > 0",
            ["uploads-complete=60"],
        ),
    )


def test_rules_select_the_service_and_keep_a_job(plan_of: Callable[..., Plan]) -> None:
    """A selector that names its own job keeps it; others get the jobs of the service."""
    text = changed(UPLOADS, ('{kind="batch"}', '{kind="batch", job="store"}'))
    plan = plan_of(SMALL + text)
    bad = next(
        rule["expr"]
        for group in prometheus.groups(plan)
        for rule in group["rules"]
        if rule.get("record") == names.BAD and rule["labels"].get("slo") == "uploads-complete"
    )
    assert 'uploads_total{job="store",kind="batch"}' in "".join(bad.split())
    assert 'uploads_failed_total{job=~"alertmanager|api|prober|prometheus"}' in bad
    assert registry.scrape_job(plan, slo_of(plan, "uploads-complete")) == "store"
    assert registry.scrape_job(plan, slo_of(plan, "uploads-quick")) == ""


def test_generated_cases_hold(
    uploads: Plan, check_generated_cases: Callable[[Plan], dict[str, str]]
) -> None:
    """Its alerts fire above their threshold and are silent below, on rules of the sample."""
    cases = check_generated_cases(uploads)
    assert cases["prometheus/tests/T1.yaml"].count("uploads-complete") >= 1
    assert {slo.name for slo in uploads.slos if slo.is_declared} <= {
        slo.name for slo in sample(uploads).slos
    }


def test_ratios_of_the_same_counters_have_cases_of_their_own(
    plan_of: Callable[..., Plan], check_generated_cases: Callable[[Plan], dict[str, str]]
) -> None:
    """Two SLOs that count the same series cannot have two shares of bad events in one case."""
    again = """  uploads-all:
    ratio: {bad: uploads_failed_total, total: uploads_total}
    objective: 90
    next_steps: [Look.]
  failed-requests:
    ratio: {bad: 'evara_http_requests_total{code=~"5.."}', total: evara_http_requests_total}
    objective: 99
    next_steps: [Look.]
"""
    plan = plan_of(SMALL + UPLOADS + again)
    text = check_generated_cases(plan)["prometheus/tests/T1.yaml"]
    assert 'evara_http_requests_total{code="500"' in text.replace('job="api",', "")


def test_texts_of_a_ratio(uploads: Plan) -> None:
    """Promise, impact, checks and page read as those of other kinds."""
    page = entries(uploads)["uploads-complete"]
    assert page.meaning == "Objective over 30d: 99.5 % of the events are good."
    assert page.users == "Too many events of uploads-complete are bad."
    assert entries(uploads)["uploads-quick"].users == "Uploads are slow."
    limited = scope.limit(uploads, "rate(uploads_failed_total[5m])")
    assert limited.split("(", 1)[1].split(")")[0].split("[")[0] in page.checks[-1].query
    assert "runbook/uploads.md" in pages.render(uploads)
    alert = prometheus.render(uploads)[prometheus.RULES]
    assert "the events of {{ $labels.subject }} were bad" in alert


@pytest.mark.parametrize(
    ("edit", "where", "message", "fix"),
    [
        (
            ("bad: uploads_failed_total", "bad: 'rate(uploads_failed_total[5m])'"),
            "slos.uploads-complete.ratio.bad",
            "'rate(uploads_failed_total[5m])' is no selector",
            "write a metric and its labels",
        ),
        (
            ("bad: uploads_failed_total", "bad: '{__name__=~\"a|b\"}'"),
            "slos.uploads-complete.ratio.bad",
            "is no selector",
            "write a metric and its labels",
        ),
        (
            ("bad: uploads_failed_total", "bad: uploads_failed_total offset 5m"),
            "slos.uploads-complete.ratio.bad",
            "is no selector",
            "write a metric and its labels",
        ),
        (
            ("bad: uploads_failed_total", "bad: a_total, good: b_total"),
            "slos.uploads-complete.ratio",
            "needs exactly one of bad and good",
            "add the one that is meant",
        ),
        (
            ("bad: uploads_failed_total", "bad: 'uploads_total{kind=\"batch\"}'"),
            "slos.uploads-complete.ratio",
            "has no event",
            "select fewer series",
        ),
        (
            ("bad: uploads_failed_total, total:", "bad: uploads_failed_total, totl:"),
            "slos.uploads-complete.ratio.totl",
            "unknown key",
            "did you mean total?",
        ),
        (
            ("    objective: 99.5\n", ""),
            "slos.uploads-complete",
            "has no objective",
            "write objective",
        ),
        (
            ("  uploads-complete:", "  things.list-availability:"),
            "slos.things.list-availability",
            "is a name of the SLOs of things.list",
            "choose another name",
        ),
        (
            ("  uploads-complete:", "  things.list:"),
            "slos.things.list",
            "is a name of the SLOs of things.list",
            "choose another name",
        ),
        (
            ("  uploads-complete:", '  "uploads{x}":'),
            "slos.uploads{x}",
            "'uploads{x}' does not fit",
            "write it like uploads-complete",
        ),
        (
            ("    subject: uploads\n", "    subject: Up loads\n"),
            "slos.uploads-quick.subject",
            "'Up loads' does not fit",
            "write it like uploads-complete",
        ),
        (
            ("    subject: uploads\n", "    owner: nobody\n"),
            "slos.uploads-quick.owner",
            "owner 'nobody' is not declared",
            "use one of",
        ),
    ],
)
def test_mistakes(
    problems_of: Callable[..., list[Problem]],
    edit: tuple[str, str],
    where: str,
    message: str,
    fix: str,
) -> None:
    """Each names file, key, and what to do."""
    problems = problems_of(SMALL + changed(UPLOADS, edit))
    texts = [(problem.where.split(": ")[1], problem.message, problem.fix) for problem in problems]
    assert any(
        place == where and message in text and fix in repair for place, text, repair in texts
    ), texts


def test_overlapping_totals_have_good_events_of_each_other(plan_of: Callable[..., Plan]) -> None:
    """Else the calls of one SLO would be slow ones of another, and healthy traffic would alert."""
    plan = plan_of(
        "{service: small, owner: platform, period: 30d, slos: {"
        "quick: {ratio: {good: 'x_bucket{le=\"0.1\"}', total: x_count},"
        " objective: 99, next_steps: [Look at it.]}, "
        'get: {ratio: {good: \'x_bucket{verb="GET", le="1"}\', total: \'x_count{verb="GET"}\'},'
        " objective: 99, next_steps: [Look at it.]}}}"
    )
    series = registry.steady_series(plan, SteadyTraffic({"get": Decimal("0.5")}, Decimal(60)))
    good = series['x_bucket{instance="a", verb="GET", le="0.1"}']
    assert good == series['x_count{instance="a", verb="GET"}'] == counter(EVENTS)
    assert series['x_bucket{instance="a", verb="GET", le="1"}'] == counter(EVENTS // 2)
