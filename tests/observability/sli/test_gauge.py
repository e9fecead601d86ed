"""A gauge: an SLO over any value, judged per second."""

from collections.abc import Callable

import pytest

from observability.generate import prometheus
from observability.generate.runbook.entries import entries
from observability.sli import registry
from observability.spec import names
from observability.spec.drill_clock import accelerate
from observability.spec.plan import Plan
from observability.spec.problems import Problem
from tests.observability.compiler_support import SMALL, changed, slo_of

GAUGES = """slos:
  queue-open: {gauge: {bool: 'queue_open{queue="in"}'}, objective: 99, next_steps: [Look.]}
  queue-short:
    gauge: {value: queue_length, at_most: 100.5}
    objective: 99
    next_steps: [Look.]
  disk-free: {gauge: {value: disk_free_ratio, at_least: 0}, objective: 99, next_steps: [Look.]}
  cache-hits: {gauge: {good_share: cache_hit_ratio}, objective: 90, next_steps: [Look.]}
  frames-lost: {gauge: {bad_share: frames_lost_ratio}, objective: 90, next_steps: [Look.]}
  export-recent:
    gauge:
      value: time() - export_at{kind="all"} + ignoring (kind) 0 * max_over_time(export_size[10m])
      at_most: 3600
      cases:
        good: {'export_at{kind="all", instance="a"}': now, 'export_size{instance="a"}': 7}
        bad: {'export_at{kind="all", instance="a"}': -3601, 'export_size{instance="a"}': 8}
    objective: 99
    next_steps: [Look.]
"""
FRESH = f"sum by (slo) ({names.FRESH})"
MEASURED = f'sum by (slo) ({names.MEASURED}{{slo!~"things.*"}})'
RATIO = f"round(sum by (slo) ({names.error_ratio('5m')}) * 100) / 100"


@pytest.fixture
def gauges(plan_of: Callable[..., Plan]) -> Plan:
    """Return the Plan of a service with a gauge of each form."""
    return plan_of(SMALL + GAUGES)


@pytest.mark.parametrize(
    ("inputs", "fresh"),
    [
        ({'queue_open{queue="in", instance="a"}': "1x240"}, ["queue-open=1"]),
        (
            {
                'queue_open{queue="in", instance="a"}': "1x240",
                'queue_open{queue="in", instance="b"}': "0x240",
            },
            ["queue-open=0"],
        ),
        ({'queue_open{queue="out"}': "0x240"}, []),
        ({'queue_length{instance="a"}': "100x240"}, ["queue-short=1"]),
        (
            {'queue_length{instance="a"}': "100x240", 'queue_length{instance="b"}': "101x240"},
            ["queue-short=0"],
        ),
        ({'queue_length{instance="a"}': " ".join(["NaN"] * 241)}, []),
        ({'disk_free_ratio{instance="a"}': "-5x240"}, ["disk-free=0"]),
        ({'disk_free_ratio{instance="a"}': "0x240"}, ["disk-free=1"]),
        (
            {
                'cache_hit_ratio{instance="a"}': "0.5x240",
                'cache_hit_ratio{instance="b"}': "1x240",
                'frames_lost_ratio{instance="a"}': "1.5x240",
            },
            ["cache-hits=0.75", "frames-lost=0"],
        ),
    ],
)
def test_each_second_is_good_or_bad(
    gauges: Plan, check_rules: Callable[..., None], inputs: dict[str, str], fresh: list[str]
) -> None:
    """The worst series counts, of shares their mean; what is missing is not measured."""
    measured = [f"{sample.split('=')[0]}=1" for sample in fresh]
    check_rules(gauges, inputs, (FRESH, fresh), (MEASURED, measured))


def test_a_share_is_averaged_over_time(gauges: Plan, check_rules: Callable[..., None]) -> None:
    """Of five minutes, half with one bad frame of ten have a ratio of 0.05."""
    check_rules(
        gauges,
        {'frames_lost_ratio{instance="a"}': "0x210 0.1x40", "cache_hit_ratio": "_x180 1x60"},
        (f"{RATIO} > 0", ["frames-lost=0.05"]),
    )


def test_generated_cases_hold(
    gauges: Plan, check_generated_cases: Callable[[Plan], dict[str, str]]
) -> None:
    """Every gauge fires while it is bad, and not while it is good or missing."""
    cases = check_generated_cases(gauges)
    for slo in gauges.slos:
        assert f'slo="{slo.name}"' in cases["prometheus/tests/T1.yaml"]


def test_texts_of_gauges(gauges: Plan) -> None:
    """Promises say the bound, the page shows the value, and alerts count seconds."""
    promises = {slo.name: registry.promise(slo) for slo in gauges.slos}
    assert promises["queue-short"] == "99 % of the time, the value is at most 100.5"
    assert promises["disk-free"] == "99 % of the time, the value is at least 0"
    assert promises["queue-open"] == "99 % of the time, it is as it should be"
    assert promises["frames-lost"] == "90 % are good on average"
    assert "queue_length" in entries(gauges)["queue-short"].checks[-1].query
    rules = prometheus.render(gauges)[prometheus.RULES]
    assert "the time {{ $labels.subject }} was bad" in rules
    assert '(eq $labels.sli "gauge")' in rules


def test_the_drill_clock_shortens_durations_of_the_expression(gauges: Plan) -> None:
    """Ranges are shorter, as those of symptoms are; bounds stay as they are."""
    measure = slo_of(accelerate(gauges), "export-recent").measure
    assert "[10s]" in measure.expr
    assert measure.bound == 3600


@pytest.mark.parametrize(
    ("edit", "where", "message", "fix"),
    [
        (
            ("{value: queue_length, at_most: 100.5}", "{value: queue_length}"),
            "slos.queue-short.gauge",
            "`value` needs exactly one of at_most and at_least",
            "add the one that is meant",
        ),
        (
            ("{value: queue_length, at_most", "{bool: queue_length, at_most"),
            "slos.queue-short.gauge",
            "at_most and at_least belong to `value`",
            "remove",
        ),
        (
            ("{value: queue_length, at_most: 100.5}", "{value: 'queue_length[5m]', at_most: 1}"),
            "slos.queue-short.gauge.value",
            "is no PromQL with one value per series",
            "write",
        ),
        (
            ("{value: queue_length, at_most: 100.5}", "{value: sum(queue_length), at_most: 1}"),
            "slos.queue-short.gauge",
            "has an expression of which no test series can be made",
            "add `cases:",
        ),
        (
            ("{bool: 'queue_open{queue=\"in\"}'}", "{bool: a, good_share: b}"),
            "slos.queue-open.gauge",
            "needs exactly one of bool, value, good_share and bad_share",
            "add the one",
        ),
        (
            ("  queue-short:\n", "  queue-short:\n    ratio: {bad: a, total: b}\n"),
            "slos.queue-short",
            "needs exactly one of ratio",
            "add the one",
        ),
        (
            (
                "'export_size{instance=\"a\"}': 7}\n        bad",
                "'export_size{instance=\"a\"}': x}\n        bad",
            ),
            'slos.export-recent.gauge.cases.good.export_size{instance="a"}',
            "'x' is no value",
            "write a number, or now",
        ),
        (
            ("at_most: 100.5", "at_most: .nan"),
            "slos.queue-short.gauge.at_most",
            "",
            "",
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
    problems = problems_of(SMALL + changed(GAUGES, edit))
    texts = [(problem.where.split(": ")[1], problem.message, problem.fix) for problem in problems]
    assert any(
        place == where and message in text and fix in repair for place, text, repair in texts
    ), texts
