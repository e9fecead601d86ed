"""The drill's rules differ from the shipped ones only in durations."""

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import promql_parser
import pytest

from observability.generate import prometheus
from observability.spec.drill_clock import accelerate
from observability.spec.plan import Plan
from observability.spec.quantities import parse_duration

NUMBER = re.compile(r"^(\s*)(range|val): ([\d.]+(?:e[+-]?\d+)?)(s|ms|ns|µs)?,$")


def durations(plan: Plan, fast: Plan) -> dict[Fraction, set[Fraction]]:
    """Return every duration of the shipped plan in seconds, with its drill values."""
    pairs: list[tuple[Decimal, Decimal]] = [
        (a.seconds, b.seconds) for a, b in zip(plan.windows, fast.windows, strict=True)
    ]
    pairs += [
        (a.fresh_within.seconds, b.fresh_within.seconds)
        for a, b in zip(plan.slos, fast.slos, strict=True)
        if a.fresh_within and b.fresh_within
    ]
    pairs += [(plan.clock.thin, fast.clock.thin)]
    result: dict[Fraction, set[Fraction]] = {}
    for before, after in pairs:
        result.setdefault(Fraction(before), set()).add(Fraction(after))
    return result


def compare(shipped: str, quick: str, allowed: dict[Fraction, set[Fraction]]) -> int:
    """Compare two syntax trees and return how many lengths differ; fail for other differences."""
    before, after = (repr(promql_parser.parse(text)).splitlines() for text in (shipped, quick))
    assert len(before) == len(after), shipped
    different = 0
    for old, new in zip(before, after, strict=True):
        if old == new:
            continue
        a, b = NUMBER.match(old), NUMBER.match(new)
        assert a, f"{old} became {new} in {shipped}"
        assert b, f"{old} became {new} in {shipped}"
        assert a[2] == b[2]
        assert Fraction(b[3]) in allowed.get(Fraction(a[3]), set()), (
            f"{old} became {new} in {shipped}"
        )
        different += 1
    return different


def test_rules_of_drills_differ_only_in_durations(plan: Plan, fast: Plan) -> None:
    """Groups, names, labels and syntax trees are equal."""
    allowed = durations(plan, fast)
    different = 0
    shipped, quick = prometheus.groups(plan), prometheus.groups(fast)
    assert [group["name"] for group in shipped] == [group["name"] for group in quick]
    for before, after in zip(shipped, quick, strict=True):
        assert before.keys() == after.keys()
        assert len(before["rules"]) == len(after["rules"])
        for old, new in zip(before["rules"], after["rules"], strict=True):
            varying = ("expr", "for", "keep_firing_for", "annotations")
            assert {k: v for k, v in old.items() if k not in varying} == {
                k: v for k, v in new.items() if k not in varying
            }
            assert old.keys() == new.keys()
            different += compare(old["expr"], new["expr"], allowed)
            texts = [
                {
                    key: re.sub(r"\d+", "#", text)
                    for key, text in rule.get("annotations", {}).items()
                }
                for rule in (old, new)
            ]
            assert texts[0] == texts[1]
    assert different > 40


def test_comparison_detects_other_differences(plan: Plan, fast: Plan) -> None:
    """Another name, operator, label, factor or function in the drill's rules would be noticed."""
    allowed = durations(plan, fast)
    shipped = next(
        rule["expr"]
        for rule in prometheus.groups(plan)[3]["rules"]
        if rule["labels"]["tier"] == "T1"
    )
    quick = next(
        rule["expr"]
        for rule in prometheus.groups(fast)[3]["rules"]
        if rule["labels"]["tier"] == "T1"
    )
    assert compare(shipped, quick, allowed) == 1
    for old, new in (
        ("ratio1m", "ratio5m"),
        ("20 *", "21 *"),
        (">=", ">"),
        ("clamp_max", "clamp_min"),
        ("latency|", ""),
        ("on (slo)", "on (sli)"),
    ):
        assert old in quick
        with pytest.raises(AssertionError):
            compare(shipped, quick.replace(old, new, 1), allowed)


def test_no_window_of_a_drill_is_shorter_than_its_scrapes(plan: Plan, fast: Plan) -> None:
    """Every window and freshness spans some scrapes, and nothing became slower.

    The thinned copies are no rates: each is over the time since the last.
    """
    shortest = plan.policy.drill.scrape.seconds * plan.policy.drill.scrapes_per_window
    ranges = [
        parse_duration(text).seconds
        for text in re.findall(r"\[(\d+[a-z]+)\]", prometheus.render(fast)[prometheus.RULES])
    ]
    ranges.remove(fast.clock.thin)
    assert ranges
    assert min(ranges) >= shortest
    timed = [slo.fresh_within.seconds for slo in fast.slos if slo.fresh_within]
    assert min(timed) >= shortest
    assert all(b.seconds <= a.seconds for a, b in zip(plan.windows, fast.windows, strict=True))
    assert [slo.name for slo in fast.slos] == [slo.name for slo in plan.slos]


def test_ranges_in_watched_expressions_are_scaled_and_other_brackets_kept(
    plan_of: Callable[..., Plan],
) -> None:
    """A regular expression's brackets are no range."""
    changed = plan_of((("expr: up == 0", 'expr: sum_over_time(up{job=~"a[0]|b[1-9]"}[10m]) == 0'),))
    alert = next(alert for alert in accelerate(changed).symptoms if alert.name == "TargetDown")
    assert alert.entry.expr == 'sum_over_time(up{job=~"a[0]|b[1-9]"}[10s]) == 0'
