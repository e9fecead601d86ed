"""The drill's rules differ from the shipped ones only in durations."""

import re
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import promql_parser
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from observability.generate import prometheus
from observability.sli import last_success
from observability.spec.drill_clock import accelerate
from observability.spec.plan import Plan
from observability.spec.quantities import parse_duration

NUMBER = re.compile(r"^(\s*)((?:(?:range|val): )?)([\d.]+(?:e[+-]?\d+)?)(s|ms|ns|µs)?,$")


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
    pairs += [(plan.clock.thin, fast.clock.thin), (plan.clock.evaluate, fast.clock.evaluate)]
    recent = last_success.RECENT_SCRAPES
    pairs += [(plan.clock.scrape * recent, fast.clock.scrape * recent)]
    pairs += [
        (a.seconds / parts, b.seconds / parts)
        for a, b in zip(plan.windows, fast.windows, strict=True)
        for parts in (2, prometheus.COVERAGE_POINTS)
    ]
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
                    key: re.sub(r"\[\d+\w+\]|\d+(?:\.\d+)?|\s", "", text)
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
        for rule in prometheus.groups(plan)[4]["rules"]
        if rule["labels"]["tier"] == "T1"
    )
    quick = next(
        rule["expr"]
        for rule in prometheus.groups(fast)[4]["rules"]
        if rule["labels"]["tier"] == "T1"
    )
    assert compare(shipped, quick, allowed) == 1
    for old, new in (
        ("ratio1m", "ratio5m"),
        ("20 *", "21 *"),
        (">=", ">"),
        ("clamp_max", "clamp_min"),
        ("owner, ", ""),
        ("and on (slo)", "and on (sli)"),
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


def in_watched_expression(plan: Plan, expr: str) -> str:
    """Return the expression of a watched symptom on the drill's clock."""
    [symptom, *_] = plan.symptoms
    watched = replace(symptom, entry=symptom.entry.model_copy(update={"expr": expr}))
    [fast, *_] = accelerate(replace(plan, symptoms=(watched,))).symptoms
    return fast.entry.expr


@pytest.mark.parametrize(
    ("expr", "fast"),
    [
        ('sum_over_time(up{job=~"a[0]|b[1-9]"}[10m]) == 0', "[10s]"),
        ("rate(up[1h30m])", "[90s]"),
        ("up[1w]", "[168m]"),
        ("up[1y]", "[146h]"),
        ("up[600]", "[10s]"),
        ("up[6e2]", "[10s]"),
        ("up offset 1d", "offset 24m"),
        ("up OFFSET -1h", "OFFSET -1m"),
        ("up offset 3600", "offset 1m"),
        ("max_over_time(up[1h:5m])", "[1m:5s]"),
        ("max_over_time(up[ 1h : 300 ])", "[ 1m : 5s ]"),
        ("max_over_time(up[1h:])", "[1m:]"),
        ("max_over_time(rate(up[5m])[1h:5m] offset 1d)", "rate(up[5s])[1m:5s] offset 24m"),
        ("time() - timestamp(up) > 2h", "> 2m"),
        ("up[5m] @ 1609746000 offset 1h", "up[5s] @ 1609746000 offset 1m"),
    ],
)
def test_every_kind_of_duration_in_an_expression_is_scaled(
    plan: Plan, expr: str, fast: str
) -> None:
    """Ranges, steps, offsets and literals, in each notation of PromQL."""
    promql_parser.parse(expr)
    scaled = in_watched_expression(plan, expr)
    assert fast in scaled
    promql_parser.parse(scaled)


@pytest.mark.parametrize(
    "expr",
    [
        'up{job=~"a[5m]|b[1-9]"}',
        'up{job="\\"[5m]", url="http://a:5m"} == 1',
        "up{job='offset 1d'} or up{job=`[5m]`}",
        "job:errors:ratio_rate5m",
        "sum by (window_5m) (up)",
        "up @ 1609746000",
        "up > 26 * 3600",
        "up > 0x5d",
        "up > 1e5 # in the last 5m",
        'label_replace(up, "after", "5m[1h:5m]", "job", "(.*)")',
    ],
)
def test_texts_names_numbers_and_comments_are_kept(plan: Plan, expr: str) -> None:
    """They may contain the characters of a duration."""
    promql_parser.parse(expr)
    assert in_watched_expression(plan, expr) == expr


def test_texts_of_alerts_are_kept(plan: Plan, fast: Plan) -> None:
    """Annotations name the shipped durations, which are what the alert is about."""
    texts = [(alert.entry.summary, alert.entry.next_steps) for alert in plan.symptoms]
    assert texts == [(alert.entry.summary, alert.entry.next_steps) for alert in fast.symptoms]


UNITS = {"y": 31_536_000, "w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
SPEED, SCRAPE, SHORTEST_WINDOW = 60, 1, 4  # of the policy, seconds
NOISE = ('{a="[5m]"}', "{a='offset 1d'}", '{a=`1h:5m`, b!="\\"1w"}', "")


@st.composite
def lengths(draw: st.DrawFn, shortest: int) -> tuple[str, str]:
    """Draw a duration in any notation, and its drill value in seconds."""
    counts = draw(st.dictionaries(st.sampled_from(list(UNITS)), st.integers(1, 90), min_size=1))
    text = "".join(f"{counts[unit]}{unit}" for unit in UNITS if unit in counts)
    seconds = sum(count * UNITS[unit] for unit, count in counts.items())
    shorter = max(round(Decimal(seconds) / SPEED), shortest)
    return text, f"{shorter}s"


@st.composite
def expressions(draw: st.DrawFn) -> tuple[str, str]:
    """Draw an expression, and the same expression with the drill's durations in seconds."""
    name = draw(st.sampled_from(["up", "job:errors:ratio_rate5m", "a_1h", ":b:5m"]))
    noise = draw(st.sampled_from(NOISE))
    pair = [f"{name}{noise}"] * 2
    suffix = draw(st.sampled_from(["", "range", "subquery", "open subquery"]))
    length = draw(lengths(SHORTEST_WINDOW))
    step = draw(lengths(SCRAPE))
    if suffix == "range":
        pair = [f"{text}[{length[i]}]" for i, text in enumerate(pair)]
    if suffix == "subquery":
        pair = [f"{text}[{length[i]}:{step[i]}]" for i, text in enumerate(pair)]
    if suffix == "open subquery":
        pair = [f"{text}[{length[i]}:]" for i, text in enumerate(pair)]
    if draw(st.booleans()):
        pair = [f"{text} @ 1609746000" for text in pair]
    if draw(st.booleans()):
        offset, sign = draw(lengths(SCRAPE)), draw(st.sampled_from(["", "-"]))
        pair = [f"{text} offset {sign}{offset[i]}" for i, text in enumerate(pair)]
    if suffix:
        pair = [f"last_over_time({text})" for text in pair]
    return pair[0], pair[1]


@given(expressions(), expressions())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_syntax_tree_differs_in_durations_alone(
    plan: Plan, left: tuple[str, str], right: tuple[str, str]
) -> None:
    """An expression means the same on the drill's clock, with shorter durations."""
    shipped, expected = (f"{a} > on (job) {b} + 5" for a, b in zip(left, right, strict=True))
    scaled = in_watched_expression(plan, shipped)
    assert repr(promql_parser.parse(scaled)) == repr(promql_parser.parse(expected))
