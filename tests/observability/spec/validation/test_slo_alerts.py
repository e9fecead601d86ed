"""The key `alerts` of what has SLOs: what it switches off, and the mistakes in it."""

from collections.abc import Callable

import pytest

from observability.spec.plan import Plan
from observability.spec.problems import Problem
from tests.observability.compiler_support import slo_of

ROUTE = "    http: GET /api/v1/orders\n"
PLACE = "routes.orders.list.alerts"


def with_alerts(alerts: str, more: tuple[tuple[str, str], ...] = ()) -> tuple[tuple[str, str], ...]:
    """Return the edit that gives `orders.list` the key."""
    return ((ROUTE, f"{ROUTE}    alerts: {alerts}\n"), *more)


def test_alerts_of_a_route_are_those_of_its_slos(plan_of: Callable[..., Plan]) -> None:
    """Those of one SLI add to what is off, and replace labels; probes have their own entry."""
    plan = plan_of(
        with_alerts(
            '{disable: [ticket], labels: {team: shop, channel: "#loud"},'
            " by_sli: {latency: {disable: [page], labels: {channel: quiet}}}}"
        )
    )
    available = slo_of(plan, "orders.list-availability")
    quick = slo_of(plan, "orders.list-latency-1s")
    probe = slo_of(plan, "orders.list-probe")
    assert (available.muted, quick.muted, probe.muted) == (("ticket",), ("page", "ticket"), ())
    assert dict(available.labels) == {"team": "shop", "channel": "#loud"}
    assert dict(quick.labels) == {"team": "shop", "channel": "quiet"}
    assert probe.labels == ()
    judged = {tier.severity for tier in plan.tiers if tier.judges(available)}
    assert judged == {"page"}
    assert not [tier for tier in plan.tiers if tier.judges(quick)]


@pytest.mark.parametrize(
    ("after", "slo"),
    [
        ("    availability: 99\n    owner: upstream\n", "thingspeak-availability"),
        ("    fresh_within: 15m\n", "thingspeak.sync-freshness"),
        ("  fresh_within: 12s\n", "health.ready-probe"),
        ("gateway:\n", "gateway-availability"),
    ],
)
def test_everything_with_slos_has_the_key(
    plan_of: Callable[..., Plan], after: str, slo: str
) -> None:
    """Dependencies, jobs, probes and the gateway."""
    indent = "    " if after.startswith("    ") else "  "
    plan = plan_of(((after, f"{after}{indent}alerts: {{disable: [page]}}\n"),))
    assert slo_of(plan, slo).muted == ("page",)


@pytest.mark.parametrize(
    ("alerts", "place", "message", "fix"),
    [
        (
            "{disable: [pages]}",
            "disable",
            "burn-rate alert 'pages' is not",
            "page, t",
        ),
        ("{disable: [heartbeat]}", "disable", "'heartbeat' is not declared", "page, ticket"),
        ("{by_sli: {probe: {}}}", "by_sli", "SLI of this entry 'probe' is not", "availability, l"),
        ("{by_sli: {speed: {}}}", "by_sli.speed", "'speed'", "write 'availability'"),
        (
            "{by_sli: {latency: {disable: [tickets]}}}",
            "by_sli.latency.disable",
            "'tickets' is not declared",
            "page, ticket",
        ),
        ("{labels: {severity: low}}", "labels.severity", "'severity' does not fit", "like team;"),
        ("{labels: {muted_page: x}}", "labels.muted_page", "'muted_page' does not", "like team;"),
        ("{labels: {__name__: x}}", "labels.__name__", "'__name__' does not fit", "like team;"),
        ("{labels: {team-name: x}}", "labels.team-name", "'team-name' does not fit", "like team;"),
        ("{labels: {team: ''}}", "labels.team", "'' does not fit", "write it like payments"),
        ("{labels: {team: 7}}", "labels.team", "7 does not fit", "write it like payments"),
        ("{disabled: [page]}", "disabled", "unknown key", "did you mean disable?"),
    ],
)
def test_a_wrong_entry_is_a_problem(
    problems_of: Callable[..., list[Problem]], alerts: str, place: str, message: str, fix: str
) -> None:
    """The message names the key, and the fix what may be written."""
    [problem] = problems_of(with_alerts(alerts))
    assert problem.where.endswith(f": {PLACE}.{place}")
    assert message in problem.message
    assert fix in problem.fix


def test_a_label_of_replicas_is_a_problem(problems_of: Callable[..., list[Problem]]) -> None:
    """Rules take the highest value of all replicas, and drop the label that tells them apart."""
    scrape = ("period: 30d\n", "period: 30d\nscrape: {replica_label: replica}\n")
    [problem] = problems_of(with_alerts("{labels: {replica: a}}", (scrape,)))
    assert problem.where.endswith(f": {PLACE}")
    assert "'replica' is the replica_label" in problem.message
