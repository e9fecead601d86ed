"""SLOs over several routes, or all of them."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from observability.drill.registry import drills
from observability.generate import alertmanager
from observability.generate.runbook.entries import entries
from observability.sli import registry
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.problems import Problem
from tests.observability.compiler_support import SMALL, changed, slo_of

TWO = changed(
    SMALL,
    (
        "  things.list: {http: GET /things/, next_steps: [Look at it.]}\n",
        "  things.list: {http: GET /things/, next_steps: [Look at it.]}\n"
        "  things.get: {http: 'GET /things/{id}', availability: 99, needs: [store],"
        " load: {weight: 0}, next_steps: [Look at it.]}\n"
        "exempt:\n  docs.page: GET /docs\n",
    ),
)
STORE = "dependencies: {store: {availability: 99.9, next_steps: [Look.]}}\n"
DECLARED = """slos:
  api-availability: {routes: all, availability: 99.5, next_steps: [Look.]}
  api-fast:
    routes: [things.get, docs.page]
    latency: {threshold: 300ms, objective: 95}
    subject: api
    impact: The pages are slow.
    next_steps: [Look.]
"""
COUNT = names.HTTP_DURATION + "_count"
BUCKET = names.HTTP_DURATION + "_bucket"
RATIO = f'round(sum by (slo) ({names.error_ratio("5m")}{{slo=~"api-.*"}}) * 1000) / 1000'


@pytest.fixture
def api(plan_of: Callable[..., Plan]) -> Plan:
    """Return the Plan of a service with SLOs over several routes."""
    return plan_of(TWO + STORE + DECLARED)


def test_calls_of_all_routes_are_counted_together(
    api: Plan, check_rules: Callable[..., None]
) -> None:
    """Traffic weighs: of 100 calls 1 fails; exempt routes count where they are named alone."""
    check_rules(
        api,
        {
            f'{COUNT}{{route="things.list", status="2xx", instance="a"}}': "0+90x240",
            f'{COUNT}{{route="things.get", status="2xx", instance="a"}}': "0+9x240",
            f'{COUNT}{{route="things.get", status="5xx", instance="b"}}': "0+1x240",
            f'{COUNT}{{route="docs.page", status="5xx", instance="a"}}': "0+100x240",
            f'{COUNT}{{route="docs.page", status="2xx", instance="a"}}': "0+1x240",
            f'{BUCKET}{{route="things.get", status="2xx", instance="a", le="0.3"}}': "0+8x240",
            f'{BUCKET}{{route="docs.page", status="2xx", instance="a", le="0.3"}}': "0+1x240",
            f'{BUCKET}{{route="things.list", status="2xx", instance="a", le="0.3"}}': "0x240",
        },
        (RATIO, ["api-availability=0.01", "api-fast=0.1"]),
    )


def test_thresholds_are_bucket_edges_and_rules_are_few(api: Plan) -> None:
    """One pair of rules per SLO counts it; its threshold is in the histograms."""
    assert Decimal("0.3") in api.buckets
    pairs = [labels for _, labels in registry.event_counters(api) if names.SLO in labels]
    assert [labels[names.SLO] for labels in pairs] == ["api-availability", "api-fast"]


def test_generated_cases_hold(
    api: Plan, check_generated_cases: Callable[[Plan], dict[str, str]]
) -> None:
    """Its alert fires above its own threshold, in a case of its own."""
    cases = check_generated_cases(api)
    assert 'slo="api-fast"' in cases["prometheus/tests/T1.yaml"]
    assert 'slo=~"api-availability"' in cases["prometheus/tests/T0.yaml"]


def test_texts_and_checks_are_of_all_its_routes(api: Plan) -> None:
    """The page asks which route fails; no drill breaks it surely."""
    page = entries(api)["api-availability"]
    assert page.meaning.startswith("Objective over 30d: 99.5 % of requests do not fail.")
    assert page.users == "Requests to api-availability fail with a server error (5xx)."
    assert any(
        "things" in check.query and "by (route)" in check.query.replace("\n", " ")
        for check in page.checks
    )
    assert "make drill" not in page.drill
    assert entries(api)["api-fast"].users == "The pages are slow."


def test_a_dependency_of_one_route_silences_it(api: Plan) -> None:
    """One incident is one page: what one of its routes needs, it needs too."""
    assert api.needs["api-availability"] == ("store",)
    config = alertmanager.render(api)[alertmanager.CONFIG]
    assert "api-availability" in config


def test_drills_allow_it_and_do_not_require_it(plan_of: Callable[..., Plan]) -> None:
    """The route that a drill breaks may be one of its routes."""
    text = DECLARED.replace("subject: api\n", "subject: things.list\n")
    plan = plan_of(TWO + STORE + text + "drill: {route: things.list}\n")
    drill = drills(plan)["route-slow"]
    assert (names.BURN_ALERT, "api-fast") not in drill.required
    assert (names.BURN_ALERT, "api-fast") in drill.allowed
    assert slo_of(plan, "api-fast").subjects == ("things.get", "docs.page")


@pytest.mark.parametrize(
    ("edit", "where", "message", "fix"),
    [
        (
            ("[things.get, docs.page]", "[things.got, docs.page]"),
            "slos.api-fast.routes",
            "route 'things.got' is not declared",
            "use one of: docs.page, things.get, things.list",
        ),
        (
            ("[things.get, docs.page]", "[things.get, things.get]"),
            "slos.api-fast.routes",
            "things.get stands there twice",
            "remove one of the two",
        ),
        (
            ("[things.get, docs.page]", "things.get"),
            "slos.api-fast.routes",
            "'things.get' is no list of routes",
            "write all, or",
        ),
        (
            ("[things.get, docs.page]", "[]"),
            "slos.api-fast.routes",
            "is empty",
            "write at least one entry",
        ),
        (
            ("availability: 99.5", "objective: 99.5"),
            "slos.api-availability",
            "has objective",
            "write availability or latency",
        ),
        (
            ("availability: 99.5, ", ""),
            "slos.api-availability",
            "has no objective",
            "write availability or latency",
        ),
        (
            ("availability: 99.5", "availability: 99.5, latency: {threshold: 1s, objective: 90}"),
            "slos.api-availability",
            "has availability and latency",
            "write availability or latency",
        ),
        (
            ("subject: api", "subject: store"),
            "slos.api-fast.subject",
            "is a dependency or the gateway",
            "choose another subject",
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
    problems = problems_of(TWO + STORE + changed(DECLARED, edit))
    texts = [(problem.where.split(": ")[1], problem.message, problem.fix) for problem in problems]
    assert any(
        place == where and message in text and fix in repair for place, text, repair in texts
    ), texts
