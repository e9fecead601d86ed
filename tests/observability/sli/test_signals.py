"""SLOs of routes whose requests are counted by the metrics of any library."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from observability.generate import prometheus
from observability.generate.dashboards.registry import boards
from observability.lib.promql import selector
from observability.sli import registry
from observability.spec import names
from observability.spec.plan import Plan
from tests.observability.compiler_support import changed, slo_of

SHOP = """
service: shop
owner: platform
period: 30d
signals: flask-exporter
defaults:
  availability: 99
  latency: [{threshold: 500ms, objective: 95}]
  rate_limit: 1/second
  load: {weight: 0}
routes:
  orders.list: {http: GET /orders, next_steps: [Look at it.]}
  orders.get: {http: "GET /orders/{order_id}", next_steps: [Look at it.]}
slos:
  all-orders: {routes: all, availability: 98, next_steps: [Look at it.]}
probe: {every: 5s, fresh_within: 12s, objective: 99, routes: [], next_steps: [Look at it.]}
"""
PRESET = "signals: flask-exporter"
BY_ROUTE = """signals:
  total: {metric: served_total, path: route, selector: {cluster: a}}
  bad: {metric: broken_total, path: route}
  latency: {metric: seconds, path: url, spelling: express}
"""
FLASK = {"method": "GET", "url_rule": "/orders/<int:order_id>", "instance": "a"}
FASTAPI = {"method": "GET", "handler": "/orders/{order_id}", "instance": "a"}
OTEL = {"http_request_method": "GET", "http_route": "/orders/<order_id>", "instance": "a"}
OTEL_STATUS = "http_response_status_code"
# Of 100 requests per sample, 10 fail; of those that are timed, a fifth is slow.
SERIES = {
    PRESET: {
        selector("flask_http_request_duration_seconds_count", status="200", **FLASK): 90,
        selector("flask_http_request_duration_seconds_count", status="503", **FLASK): 10,
        selector("flask_http_request_duration_seconds_bucket", status="200", le="0.5", **FLASK): 72,
    },
    "signals: fastapi-instrumentator": {
        selector("http_requests_total", status="2xx", **FASTAPI): 90,
        selector("http_requests_total", status="5xx", **FASTAPI): 10,
        selector("http_request_duration_seconds_count", **FASTAPI): 100,
        selector("http_request_duration_seconds_bucket", le="0.5", **FASTAPI): 80,
    },
    "signals: otel-http": {
        selector("http_server_request_duration_seconds_count", **OTEL, **{OTEL_STATUS: "200"}): 90,
        selector("http_server_request_duration_seconds_count", **OTEL, **{OTEL_STATUS: "500"}): 10,
        selector(
            "http_server_request_duration_seconds_bucket",
            le="0.5",
            **OTEL,
            **{OTEL_STATUS: "200"},
        ): 72,
    },
    BY_ROUTE: {
        selector("served_total", cluster="a", route="/orders/{order_id}", instance="a"): 100,
        selector("served_total", cluster="b", route="/orders/{order_id}", instance="a"): 900,
        selector("broken_total", route="/orders/{order_id}", kind="x", instance="a"): 4,
        selector("broken_total", route="/orders/{order_id}", kind="y", instance="a"): 6,
        selector("seconds_count", url="/orders/:order_id", instance="a"): 100,
        selector("seconds_bucket", url="/orders/:order_id", le="0.5", instance="a"): 80,
    },
}


def growing(series: dict[str, int]) -> dict[str, str]:
    """Return counters that grow by these numbers per sample."""
    return {text: f"0+{step}x240" for text, step in series.items()}


def ratio(*slos: str) -> str:
    """Return the share of bad events of these SLOs over 5 minutes, rounded."""
    chosen = selector(names.error_ratio("5m"), slo="~" + "|".join(slos))
    return f"round(sum by (slo) ({chosen}) * 1000) / 1000"


@pytest.mark.parametrize("signals", SERIES, ids=lambda text: text.partition("\n")[0])
def test_failures_and_durations_are_those_of_the_library(
    plan_of: Callable[..., Plan], check_rules: Callable[..., None], signals: str
) -> None:
    """The route, and all routes together, have the shares of failed and of slow requests.

    A route that nobody called is measured, and has no events.
    """
    plan = plan_of(changed(SHOP, (PRESET, signals)))
    measured = f"sum by (slo) ({names.MEASURED})"
    check_rules(
        plan,
        growing(SERIES[signals]),
        (ratio("orders.get-availability"), ["orders.get-availability=0.1"]),
        (ratio("orders.get-latency-500ms"), ["orders.get-latency-500ms=0.2"]),
        (ratio("all-orders"), ["all-orders=0.1"]),
        (ratio("orders.list-.*"), []),
        (measured, [f"{slo.name}=1" for slo in plan.slos]),
    )


@pytest.mark.parametrize("signals", SERIES, ids=lambda text: text.partition("\n")[0])
def test_every_alert_fires_in_a_generated_case(
    plan_of: Callable[..., Plan], check_generated_cases: Callable[..., dict[str, str]], signals: str
) -> None:
    """promtool runs the cases that the compiler writes for these metrics."""
    assert check_generated_cases(plan_of(changed(SHOP, (PRESET, signals))))


def test_a_path_that_no_route_has_counts_for_none(
    plan_of: Callable[..., Plan], check_rules: Callable[..., None]
) -> None:
    """Failures of an unknown path, or of another method, are nobody's."""
    count = "flask_http_request_duration_seconds_count"
    strange = FLASK | {"url_rule": "/admin"}
    other = FLASK | {"method": "POST"}
    check_rules(
        plan_of(SHOP),
        growing(
            {
                selector(count, status="200", **FLASK): 90,
                selector(count, status="500", **strange): 90,
                selector(count, status="500", **other): 90,
            }
        ),
        (
            ratio("orders.get-availability", "all-orders"),
            ["all-orders=0", "orders.get-availability=0"],
        ),
    )


def test_a_missing_scrape_is_not_measured(
    plan_of: Callable[..., Plan], check_rules: Callable[..., None]
) -> None:
    """Zeros stand in for routes only while the metric is there."""
    check_rules(plan_of(SHOP), {}, (f"sum by (slo) ({names.MEASURED})", []))


def test_a_route_can_say_how_its_path_is_spelled(
    plan_of: Callable[..., Plan], check_rules: Callable[..., None]
) -> None:
    """`path` replaces the generated spellings."""
    edit = ('"GET /orders/{order_id}", ', '"GET /orders/{order_id}", path: /shop/<oid>, ')
    count = "flask_http_request_duration_seconds_count"
    own = FLASK | {"url_rule": "/shop/<oid>"}
    check_rules(
        plan_of(changed(SHOP, edit)),
        growing(
            {
                selector(count, status="200", **FLASK): 90,
                selector(count, status="500", **own): 10,
            }
        ),
        (ratio("orders.get-availability"), ["orders.get-availability=1"]),
    )


def test_excluded_codes_count_neither_way(
    plan_of: Callable[..., Plan], check_rules: Callable[..., None]
) -> None:
    """Of 100 requests 10 fail and 50 are refused by maintenance; those 50 are no events."""
    plan = plan_of(
        changed(
            SHOP,
            (
                "  latency: [{threshold: 500ms, objective: 95}]",
                "  latency: []\n  excluded_codes: [503]",
            ),
        )
    )
    count = "flask_http_request_duration_seconds_count"
    check_rules(
        plan,
        growing(
            {
                selector(count, status="200", **FLASK): 40,
                selector(count, status="500", **FLASK): 10,
                selector(count, status="503", **FLASK): 50,
            }
        ),
        (
            ratio("orders.get-availability", "all-orders"),
            ["all-orders=0.2", "orders.get-availability=0.2"],
        ),
    )
    assert "(503 excluded)" in registry.promise(slo_of(plan, "orders.get-availability"))


def test_codes_of_our_own_api_are_those_of_its_exact_counter(
    plan: Plan, check_rules: Callable[..., None]
) -> None:
    """The histogram has classes, so excluded codes are told by the counter beside it."""
    name = "orders.list-availability"
    slos = tuple(
        replace(slo, excluded_codes=("501",)) if slo.name == name else slo for slo in plan.slos
    )
    requests = f"{names.HTTP_REQUESTS}_total"
    check_rules(
        replace(plan, slos=slos),
        growing(
            {
                selector(requests, route="orders.list", code="200", instance="a"): 90,
                selector(requests, route="orders.list", code="500", instance="a"): 10,
                selector(requests, route="orders.list", code="501", instance="a"): 900,
            }
        ),
        (ratio(name), [f"{name}=0.1"]),
    )


def test_an_slo_of_our_own_api_may_be_about_an_exempt_route(
    plan_of: Callable[..., Plan], check_generated_cases: Callable[..., dict[str, str]]
) -> None:
    """Its requests are counted under its id, although it has no SLO of its own."""
    exempt = "exempt: {up: GET /up}\n"
    slo = "slos:\n  ups: {routes: [up], availability: 98, next_steps: [Look at it.]}\n"
    catalogue = changed(
        SHOP,
        (f"{PRESET}\n", exempt),
        ("slos:\n  all-orders: {routes: all, availability: 98, next_steps: [Look at it.]}\n", slo),
    )
    assert check_generated_cases(plan_of(catalogue))


def test_boards_show_the_metrics_of_the_library(plan_of: Callable[..., Plan]) -> None:
    """No board of another service reads a metric of our own API."""
    shown = {board.slug: board for board in boards(plan_of(SHOP))}
    assert {"overview", "routes", "slo"} <= shown.keys()
    for board in shown.values():
        for panel in board.panels:
            assert not any("evara_" in query.expr for query in panel.queries), panel.title
    [choice] = shown["routes"].variables
    assert (choice.name, choice.of) == ("route", names.SUBJECT)
    assert names.ROUTE_INFO in choice.series


def test_rules_of_our_own_api_have_no_join(plan: Plan) -> None:
    """Its metrics have the id of the route."""
    assert names.ROUTE_INFO not in prometheus.render(plan)[prometheus.RULES]
