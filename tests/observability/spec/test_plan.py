"""Defaults, overrides, derived buckets and windows; determinism; and the proof that the drill's clock changes durations alone."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import promql_parser
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from observability.generate import prometheus, registry
from observability.spec import names
from observability.spec.drill_clock import accelerate
from observability.spec.loading import load_plan
from observability.spec.plan import FINE_PACE, LONG_PACE, SHORT_WINDOW, THIN_PACE, Plan, Slo
from observability.spec.quantities import format_decimal, format_duration, parse_duration
from tests.observability.compiler_support import SERVICE

HASH = (
    "import hashlib, pathlib, sys; from observability.generate import registry; from observability.spec import loading;"
    "files = registry.render(loading.load_plan(pathlib.Path(sys.argv[1])), registry.contract());"
    "print(hashlib.sha256(repr(sorted((str(p), t) for p, t in files.items())).encode()).hexdigest())"
)


def route(made: Plan, name: str) -> Any:
    return next(entry for entry in made.routes if entry.id == name)


def test_defaults_fill_what_an_entry_leaves_out(plan: Plan) -> None:
    """A route without targets of its own has the default ones, and the service's owner."""
    listing = route(plan, "nodes.list")
    assert [(slo.name, slo.objective) for slo in listing.slos] == [
        ("nodes.list-availability", Decimal("0.999")),
        ("nodes.list-latency-200ms", Decimal("0.95")),
        ("nodes.list-latency-1s", Decimal("0.995")),
    ]
    assert plan.rate_limits["nodes.list"] == "120/minute"
    assert {slo.owner for slo in listing.slos} == {"platform"}


def test_an_entry_overrides_defaults(plan: Plan, plan_of: Callable[..., Plan]) -> None:
    """What an entry says itself holds for it alone; an empty list of latencies is a statement, not an omission."""
    ingest = route(plan, "readings.ingest")
    assert (ingest.slos[0].objective, plan.rate_limits[ingest.id], ingest.load.weight) == (
        Decimal("0.9995"),
        "600/minute",
        50,
    )
    made = plan_of(
        (
            (
                "    availability: 99.95\n",
                "    availability: 99.95\n    latency: []\n    owner: upstream\n",
            ),
        )
    )
    assert [slo.name for slo in route(made, "readings.ingest").slos] == [
        "readings.ingest-availability"
    ]
    assert {slo.owner for slo in route(made, "readings.ingest").slos} == {"upstream"}
    assert len(route(made, "nodes.list").slos) == 3


def test_a_gateway_is_one_more_promise(plan: Plan, plan_of: Callable[..., Plan]) -> None:
    """Its availability is an SLO; a stack without it, or a service that declares none, does not have that, and counts right."""
    slo = plan.slo("gateway-availability")
    assert (slo.objective, slo.owner, slo.subject) == (Decimal("0.999"), "upstream", "gateway")
    bare = plan.without_gateway()
    assert [slo.name for slo in plan.slos if slo not in bare.slos] == ["gateway-availability"]
    for made in (plan, bare):
        text = prometheus.render(made)[prometheus.RULES]
        assert f"(count({names.OBJECTIVE}) or vector(0)) != {len(made.slos)}" in text
        assert (names.GATEWAY_RESPONSES in text, "gateway" in text) == (made is plan, made is plan)
    undeclared = plan_of(
        (
            (
                "gateway:\n  availability: 99.9\n  owner: upstream\n  next_steps: [Count the replicas.]\n",
                "",
            ),
        )
    )
    assert undeclared == bare


def test_owners_of_dependencies_are_kept(plan: Plan) -> None:
    """A dependency may be somebody else's; a job without owner is the service's."""
    assert plan.slo("thingspeak-availability").owner == "upstream"
    assert plan.slo("thingspeak.sync-freshness").owner == "platform"


def test_every_threshold_is_a_bucket(plan: Plan) -> None:
    """No latency SLO asks for an edge that the histograms lack; buckets ascend without repetition."""
    thresholds = {
        slo.threshold.seconds for slo in plan.slos if slo.sli == "latency" and slo.threshold
    }
    assert thresholds <= set(plan.buckets)
    assert list(plan.buckets) == sorted(set(plan.buckets))


def test_windows_ascend_and_have_the_pace_of_their_length(plan: Plan) -> None:
    """Short windows read every sample, long ones thinned series; the period is the last."""
    assert [(w.name, w.pace) for w in plan.windows] == [
        ("1m", FINE_PACE), ("5m", FINE_PACE), ("30m", FINE_PACE),
        ("2h", THIN_PACE), ("6h", THIN_PACE),
        ("1d", LONG_PACE), ("3d", LONG_PACE), ("30d", LONG_PACE),
    ]  # fmt: skip
    assert plan.windows[-1] == plan.period


def test_slo_names_are_unique(plan: Plan) -> None:
    """Every join is on the name alone, so two of a kind would silence both."""
    assert len({slo.name for slo in plan.slos}) == len(plan.slos)
    assert plan.slo("nodes.list-probe").sli == "probe"
    with pytest.raises(StopIteration):
        plan.slo("none")


def test_the_window_that_guards_read_is_always_there(plan_of: Callable[..., Plan]) -> None:
    """A policy with one tier of another window records the short one all the same."""
    lines = (
        registry.ROOT.joinpath("observability/policy.yaml")
        .read_text(encoding="utf-8")
        .splitlines(keepends=True)
    )
    kept = "".join(line for line in lines if not re.match(r"  (P0|T[1-5]): ", line))
    made = plan_of((), kept)
    assert [tier.name for tier in made.tiers] == ["T0"]
    assert SHORT_WINDOW in {w.name for w in made.windows}
    assert prometheus.render(made)


def test_one_edit_moves_everything_that_follows_from_it(
    plan: Plan, plan_of: Callable[..., Plan], openapi: dict[str, Any]
) -> None:
    """200ms → 150ms changes the bucket, rules, promtool cases, panels, runbook and load scenarios, each in every place."""
    made = plan_of((("{threshold: 200ms, objective: 95}", "{threshold: 150ms, objective: 95}"),))
    assert set(plan.buckets) ^ set(made.buckets) == {Decimal("0.2"), Decimal("0.15")}
    before, after = registry.render(plan, openapi), registry.render(made, openapi)
    moved = {str(path) for path in before if before[path] != after[path]}
    assert moved == {
        str(path)
        for path in before
        if re.search(r'200ms|"0\.2"|: 0\.2$', before[path], re.MULTILINE)
    }
    assert {path.rsplit("/", 1)[1] for path in moved} == {
        *("rules.yaml", "scenarios.json", "healthy.yaml", "others.yaml", "P0.yaml"),
        *(f"T{number}.yaml" for number in range(6)),
        *("overview.json", "routes.json", "load.json", "runbook.md"),
        *(
            f"{route.id}.md"
            for route in plan.routes
            if any(slo.threshold and slo.threshold.text == "200ms" for slo in route.slos)
        ),
    }
    for text in after.values():
        assert "200ms" not in text
        assert 'le="0.2"' not in text
    rules, scenarios = (
        after[registry.GENERATED / prometheus.RULES],
        after[registry.SCENARIOS / "scenarios.json"],
    )
    assert 'le="0.15"' in rules
    assert "nodes.list-latency-150ms" in rules
    assert '"within": 0.15' in scenarios


def test_output_is_the_same_every_time(plan: Plan, openapi: dict[str, Any]) -> None:
    """Another process with another hash seed writes the same bytes."""
    files = registry.render(plan, openapi)
    mine = hashlib.sha256(repr(sorted((str(p), t) for p, t in files.items())).encode()).hexdigest()
    assert files == registry.render(load_plan(SERVICE), registry.contract())
    for seed in ("1", "4711"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        said = subprocess.run(
            [sys.executable, "-c", HASH, str(SERVICE)],
            env=environment,
            cwd=registry.ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.strip() == mine


@given(st.decimals(min_value=Decimal("0.001"), max_value=10**7, places=3))
def test_a_span_is_the_duration_that_it_came_from(seconds: Decimal) -> None:
    """Seconds → Prometheus' notation → seconds, to the millisecond."""
    assert parse_duration(format_duration(seconds)).seconds == seconds


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=6))
def test_a_plain_number_is_the_same_number(number: Decimal) -> None:
    """Written without exponent and idle zeros, and read back unchanged."""
    text = format_decimal(number)
    assert Decimal(text) == number
    assert "E" not in text.upper()
    assert not ("." in text and text.endswith(("0", ".")))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ("0", "0s"),
        ("0.2", "200ms"),
        ("90", "90s"),
        ("300", "5m"),
        ("7200", "2h"),
        ("2592000", "30d"),
    ],
)
def test_spans_are_as_short_as_they_can_be(seconds: str, text: str) -> None:
    """The notation that a person would choose."""
    assert format_duration(Decimal(seconds)) == text


def test_promises_read_as_sentences(plan: Plan) -> None:
    """Tables show what is promised in words."""
    assert plan.slo("nodes.list-availability").promise == "99.9 % of requests do not fail"
    assert plan.slo("nodes.list-latency-200ms").promise == "95 % of good answers within 200ms"
    assert plan.slo("database-availability").promise == "99.99 % of calls succeed"
    assert plan.slo("thingspeak.sync-freshness").promise == "99 % of the time done within 15m"
    assert plan.slo("nodes.list-probe").promise == "99.9 % of the time reached within 12s"


# --- the drill's clock -----------------------------------------------------------------------------------------------

NUMBER = re.compile(r"^(\s*)(range|val): ([\d.]+(?:e[+-]?\d+)?)(s|ms|ns|µs)?,$")


def durations(plan: Plan, fast: Plan) -> dict[Fraction, set[Fraction]]:
    """Every length of the shipped plan, in seconds, with what it may have become."""
    pairs: list[tuple[Decimal, Decimal]] = [
        (a.seconds, b.seconds) for a, b in zip(plan.windows, fast.windows, strict=True)
    ]
    pairs += [
        (a.threshold.seconds, b.threshold.seconds)
        for a, b in zip(plan.slos, fast.slos, strict=True)
        if a.threshold and b.threshold
    ]
    pairs += [(plan.clock.thin, fast.clock.thin)]
    result: dict[Fraction, set[Fraction]] = {}
    for before, after in pairs:
        result.setdefault(Fraction(before), set()).add(Fraction(after))
    return result


def compare(shipped: str, quick: str, allowed: dict[Fraction, set[Fraction]]) -> int:
    """Two expressions as trees, node by node; how many lengths differ. Anything else that differs is an error."""
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


def test_the_drills_rules_are_the_shipped_ones_but_for_durations(plan: Plan, fast: Plan) -> None:
    """Groups, names, labels and trees are equal; ranges, `for`, intervals and window lengths alone differ."""
    allowed = durations(plan, fast)
    different = 0
    shipped, quick = prometheus.groups(plan), prometheus.groups(fast)
    assert [group["name"] for group in shipped] == [group["name"] for group in quick]
    for before, after in zip(shipped, quick, strict=True):
        assert before.keys() == after.keys()
        assert len(before["rules"]) == len(after["rules"])
        for old, new in zip(before["rules"], after["rules"], strict=True):
            varying = ("expr", "for", "annotations")
            assert {k: v for k, v in old.items() if k not in varying} == {
                k: v for k, v in new.items() if k not in varying
            }
            assert ("for" in old) == ("for" in new)
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


def test_the_proof_sees_what_is_no_duration(plan: Plan, fast: Plan) -> None:
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
    """A rate over too few samples is noise: every window and freshness spans some scrapes; nothing became slower.

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
    timed = [
        slo.threshold.seconds
        for slo in fast.slos
        if slo.sli in ("freshness", "probe") and slo.threshold
    ]
    assert min(timed) >= shortest
    assert all(b.seconds <= a.seconds for a, b in zip(plan.windows, fast.windows, strict=True))
    assert [slo.name for slo in fast.slos] == [slo.name for slo in plan.slos]


def test_ranges_in_watched_expressions_are_scaled_and_other_brackets_kept(
    plan_of: Callable[..., Plan],
) -> None:
    """A regular expression's brackets are no range."""
    made = plan_of((("expr: up == 0", 'expr: sum_over_time(up{job=~"a[0]|b[1-9]"}[10m]) == 0'),))
    alert = next(alert for alert in accelerate(made).alerts if alert.name == "TargetDown")
    assert alert.expr == 'sum_over_time(up{job=~"a[0]|b[1-9]"}[10s]) == 0'


def test_budget_is_what_the_objective_leaves() -> None:
    """1 − objective, exactly."""
    assert Slo("x", "latency", "http", "x", Decimal("0.999"), "o", ()).budget == Decimal("0.001")


def test_the_rules_that_ship_parse_as_yaml(plan: Plan) -> None:
    """The text that is written holds the groups that were built."""
    assert yaml.safe_load(prometheus.render(plan)[prometheus.RULES])["groups"] == prometheus.groups(
        plan
    )
