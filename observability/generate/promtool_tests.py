"""Plan → promtool cases on the real clock: every alert fires, stays silent below its threshold, and behaves without data; pure."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from observability.generate.rendering import COUNTED
from observability.generate.yaml_text import generated_yaml
from observability.lib.promql import firing, selector
from observability.spec import names
from observability.spec.plan import (
    AVAILABILITY,
    FRESHNESS,
    JOB_SOURCE,
    LATENCY,
    PROBE,
    PROBE_SOURCE,
    Alert,
    Plan,
    Tier,
)
from observability.spec.quantities import format_decimal, format_duration

FOLDER = "prometheus/tests"
EVENTS = 1_000_000  # per sample, so that the share of one SLO's budget is a whole number of events
SAMPLES = 2_000
HEALTHY = (
    Decimal(15),
    Decimal(20 * 60),
)  # step and length: fine enough for the shortest window of any tier
GUARD_STEP = Decimal(60)
Case = dict[str, Any]
Shares = dict[str, Decimal]  # SLO → share of bad events


def render(plan: Plan) -> dict[str, str]:
    """One file per tier, because a test file has one clock, one for healthy traffic and one for all other alerts."""
    files = {f"{FOLDER}/{tier.name}.yaml": suite(plan, tier) for tier in plan.tiers}
    step, at = HEALTHY
    ask = f"count by (alertname) ({firing()}) > bool 0"
    healthy = case(
        "healthy traffic fires the watchdog alone",
        series(plan, {}, step),
        step,
        at,
        ask,
        [names.WATCHDOG_ALERT],
        "alertname",
    )
    files[f"{FOLDER}/healthy.yaml"] = document(step, [healthy])
    files[f"{FOLDER}/others.yaml"] = document(
        GUARD_STEP, [*guards(plan), *(case for a in plan.alerts if a.expr for case in watched(a))]
    )
    return files


def document(interval: Decimal, tests: list[Case]) -> str:
    settings = {
        "rule_files": ["../rules.yaml"],
        "evaluation_interval": format_duration(interval),
        "group_eval_order": list(
            names.GROUPS
        ),  # else promtool takes any order, and results move by one evaluation
    }
    return generated_yaml(settings | {"tests": tests})


def suite(plan: Plan, tier: Tier) -> str:
    """Just above the tier's threshold, just below it, targets that say nothing, and no series at all."""
    step = pace(tier)
    at = tier.for_ + max(Decimal(60), 8 * step)
    mine = [slo for slo in plan.slos if slo.sli in tier.slis]
    first = tier.conditions[0]
    limits = {slo.name: first.threshold(slo, plan.policy.max_threshold) for slo in mine}
    by_time = {
        slo.name for slo in mine if slo.sli in (FRESHNESS, PROBE)
    }  # fresh or not: no share between
    above = {
        name: Decimal(1) if name in by_time else min(limit * Decimal("1.1"), Decimal(1))
        for name, limit in limits.items()
    }
    below = {name: limit * Decimal("0.9") for name, limit in limits.items() if name not in by_time}
    present = {
        selector(names.UP, job=job): f"1x{SAMPLES}"
        for job in (names.SCRAPE_API, names.SCRAPE_PROBER)
    }
    ask = f"count by ({names.SLO}) ({selector(names.ALERTS, alertname=names.BURN_ALERT, alertstate='firing', tier=tier.name)})"
    return document(
        step,
        [
            case(
                f"{tier.name} fires for every SLO above its threshold",
                series(plan, above, step),
                step,
                at,
                ask,
                sorted(limits),
            ),
            case(
                f"{tier.name} stays silent below it", series(plan, below, step), step, at, ask, []
            ),
            case(
                f"{tier.name} fires for silence of targets that are there",
                present,
                step,
                at,
                ask,
                sorted(by_time),
            ),
            case(f"{tier.name} stays silent without any series", {}, step, at, ask, []),
        ],
    )


def pace(tier: Tier) -> Decimal:
    """The longest tidy step that gives the tier's shortest window four samples; shorter ones only cost time."""
    quarter = min(condition.window.seconds for condition in tier.conditions) / 4
    return Decimal(max(step for step in (5, 15, 60, 120, 300) if step <= quarter))


def case(
    name: str,
    inputs: dict[str, str],
    step: Decimal,
    at: Decimal,
    expr: str,
    slos: list[str],
    label: str = names.SLO,
) -> Case:
    """One promtool test: `expr` at `at` has exactly one sample for each of `slos`."""
    return {
        "name": name,
        "interval": format_duration(step),
        "input_series": [
            {"series": key, "values": values} for key, values in sorted(inputs.items())
        ],
        "promql_expr_test": [
            {
                "expr": expr,
                "eval_time": format_duration(at),
                "exp_samples": [{"labels": f'{{{label}="{slo}"}}', "value": 1} for slo in slos],
            }
        ],
    }


def series(plan: Plan, shares: Shares, step: Decimal) -> dict[str, str]:
    """Steady traffic in which every SLO has its share of bad events (0 where none is given)."""
    result: dict[str, str] = {}
    for source, (count, label, failed, good_ones) in COUNTED.items():
        succeeded = {key: value.removeprefix("~").split("|")[0] for key, value in good_ones.items()}
        for slo in plan.slos_of(source, AVAILABILITY):
            bad = part(EVENTS, shares.get(slo.name))
            result[selector(count, **{label: slo.subject}, **failed, instance="a")] = counter(bad)
            result[selector(count, **{label: slo.subject}, **succeeded, instance="a")] = counter(
                EVENTS - bad
            )
            for slow in plan.slos_of(source, LATENCY):
                if slow.subject == slo.subject and slow.threshold:
                    good = EVENTS - bad - part(EVENTS - bad, shares.get(slow.name))
                    edge = {"le": format_decimal(slow.threshold.seconds), names.INSTANCE: "a"}
                    result[
                        selector(
                            count.replace("_count", "_bucket"),
                            **{label: slo.subject},
                            **succeeded,
                            **edge,
                        )
                    ] = counter(good)
    for source, sli, metric, label in (
        (JOB_SOURCE, FRESHNESS, names.JOB_LAST_SUCCESS, names.JOB),
        (PROBE_SOURCE, PROBE, names.PROBE_LAST_SUCCESS, names.ROUTE),
    ):
        for slo in plan.slos_of(source, sli):
            # a timestamp that keeps up with the clock is fresh, one that stands still is not
            result[selector(metric, **{label: slo.subject})] = (
                f"-100000x{SAMPLES}" if shares.get(slo.name) else counter(int(step))
            )
    return result


def part(events: int, share: Decimal | None) -> int:
    """A share of events as a whole number: rounded away from the threshold that it stands beside."""
    exact = events * (share or Decimal(0))
    return int(
        exact.to_integral_value(ROUND_CEILING if share and share > Decimal("0.5") else ROUND_FLOOR)
    )


def counter(step: int) -> str:
    return f"0+{step}x{SAMPLES}"


def guards(plan: Plan) -> list[Case]:
    """Each guard fires for what it guards, and for nothing else."""
    step = GUARD_STEP
    everything = sorted(slo.name for slo in plan.slos)
    healthy = series(plan, {}, step)
    unmeasured = f"count by ({names.SLO}) ({firing(alertname=names.UNMEASURED_ALERT)})"
    failures = {selector(names.RULE_FAILURES, rule_group=names.FINE_GROUP): counter(1)}
    stranger = {selector(names.OBJECTIVE, slo="stranger"): f"1x{SAMPLES}"}

    def only(alert: str, name: str, inputs: dict[str, str], fires: bool) -> Case:
        ask = f"count by (alertname) ({firing(alertname=alert)}) > bool 0"
        return case(name, inputs, step, Decimal(600), ask, [alert] if fires else [], "alertname")

    return [
        case(
            "no series at all: every SLO is unmeasured",
            {},
            step,
            Decimal(900),
            unmeasured,
            everything,
        ),
        case("with all series nothing is unmeasured", healthy, step, Decimal(900), unmeasured, []),
        only(names.RULES_ALERT, "failing rule evaluations fire", failures, True),
        only(
            names.RULES_ALERT,
            "rule evaluations without failures stay silent",
            dict.fromkeys(failures, f"0x{SAMPLES}"),
            False,
        ),
        only(names.RULES_ALERT, "no series about rule evaluations stay silent", {}, False),
        only(
            names.COUNT_ALERT,
            "an objective that the catalogue does not know fires",
            healthy | stranger,
            True,
        ),
        only(
            names.COUNT_ALERT, "as many objectives as the catalogue has stay silent", healthy, False
        ),
        only(names.COUNT_ALERT, "objectives need no data", {}, False),
        only(names.WATCHDOG_ALERT, "the watchdog needs no data", {}, True),
    ]


def watched(alert: Alert) -> list[Case]:
    """A symptom's own series from the catalogue."""
    ask = f"count by (alertname) ({selector(names.ALERTS, alertname=alert.name, alertstate='firing')}) > bool 0"
    step, at = GUARD_STEP, alert.for_ + 240
    return [
        case(f"{alert.name} fires", dict(alert.fires), step, at, ask, [alert.name], "alertname"),
        case(f"{alert.name} stays silent", dict(alert.silent), step, at, ask, [], "alertname"),
        case(f"{alert.name} stays silent without data", {}, step, at, ask, [], "alertname"),
    ]
