"""Check `metrics`: what it finds on pages of libraries, and on those of our own API."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from observability.checks import metrics_page
from observability.lib.metrics_page import Page, parse
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.quantities import Duration
from observability.spec.schema.fields import Http
from observability.spec.signals import Signal
from tests.metrics_apps import page as page_of

ORDERS = ("/orders", "/orders/7")
FLASK = Signal("flask_http_request_duration_seconds", "", "method", "url_rule", "status")
FASTAPI = Signal("http_request_duration_seconds", "", "method", "handler")
OTEL = Signal(
    "http_server_request_duration_seconds",
    "",
    "http_request_method",
    "http_route",
    "http_response_status_code",
)
LIBRARIES = {
    "flask": {"total": replace(FLASK, metric=FLASK.metric + "_count"), "latency": FLASK},
    "fastapi": {
        "total": replace(FASTAPI, metric="http_requests_total", status="status", has_classes=True),
        "latency": FASTAPI,
    },
    "otel": {"total": replace(OTEL, metric=OTEL.metric + "_count"), "latency": OTEL},
}
SPELLED = {"flask": "/orders/<int:order_id>", "otel": "/orders/<int:order_id>"}
Check = Callable[..., tuple[list[str], list[str]]]


def read(text: str, *, is_openmetrics: bool = False) -> Page:
    """Return a page of this text."""
    return Page("http://shop/metrics", *parse(text, is_openmetrics=is_openmetrics))


@pytest.fixture
def check(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return a function that checks the page of a library after GETs of some paths."""
    template = next(route for route in plan.routes if route.id == "orders.list")

    def find(
        library: str,
        paths: tuple[str, ...] = ORDERS,
        path: str = "",
        threshold: str = "0.5",
        text: str = "",
        **changes: object,
    ) -> tuple[list[str], list[str]]:
        spelled = path or SPELLED.get(library, "/orders/{order_id}")
        signals = {key: replace(one, **changes) for key, one in LIBRARIES[library].items()}  # type: ignore[arg-type]
        addresses = {("GET", "/orders"): "orders.list", ("GET", spelled): "orders.get"}
        monkeypatch.setattr(metrics_page, "signals_of", lambda _: signals)
        monkeypatch.setattr(metrics_page, "addresses_of", lambda *_: addresses)
        monkeypatch.setattr(metrics_page, "check_platform", lambda *_: ())
        [latency] = [slo for slo in template.slos if slo.name == "orders.list-latency-1s"]
        limit = Duration(f"{threshold}s", Decimal(threshold))
        shop = replace(
            plan,
            routes=(
                replace(template, id="orders.list", http=Http("GET", "/orders")),
                replace(template, id="orders.get", http=Http("GET", "/orders/{order_id}")),
            ),
            slos=(replace(latency, threshold=limit),),
        )
        found = metrics_page.check(shop, read(text or page_of(library, *paths)))
        problems, notes = (
            [f"{one.where}: {one.message}; {one.fix}" for one in part] for part in found
        )
        return problems, notes

    return find


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_page_of_a_library_agrees_with_its_catalogue(check: Check, library: str) -> None:
    """Requests that match no route, and those of no use, are no problems."""
    assert check(library, (*ORDERS, "/nothing")) == ([], [])


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_route_that_was_not_called_is_a_note(check: Check, library: str) -> None:
    """It may be as it should."""
    problems, [note] = check(library, ORDERS[:1])
    assert problems == []
    assert note.startswith(
        "catalogue.yaml: routes.orders.get: no request to GET /orders/{order_id}"
    )


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_service_without_requests_has_notes(check: Check, library: str) -> None:
    """Counters with labels begin with the first request; OpenTelemetry's page is empty before."""
    problems, notes = check(library, ())
    if library != "otel":
        assert problems == []
        assert len(notes) == 2
        assert "has no sample on http://shop/metrics yet; send requests" in notes[0]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_path_that_is_spelled_differently_names_the_fix(check: Check, library: str) -> None:
    """As with a converter of Flask that the contract does not know."""
    [problem], _ = check(library, path="/orders/:order_id")
    spelled = SPELLED.get(library, "/orders/{order_id}")
    assert problem.startswith("catalogue.yaml: routes.orders.get: metrics spell its requests")
    assert f"write `path: {spelled}` there" in problem


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_missing_label_names_those_that_exist(check: Check, library: str) -> None:
    """For each signal; the routes cannot be compared without it."""
    problems, _ = check(library, path="", method="verb")
    assert len(problems) == 2
    assert ".method: " in problems[0]
    assert "has no label verb; it has " in problems[0]
    assert LIBRARIES[library]["total"].path in problems[0]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_threshold_without_a_bucket_names_the_nearest(check: Check, library: str) -> None:
    """The fix has the bucket in seconds."""
    [problem], _ = check(library, threshold="0.3")
    lower = "0.1" if library == "fastapi" else "0.25"
    assert "orders.list-latency-1s: " in problem
    assert f"has no bucket at 0.3s; the nearest are {lower} and 0.5; give" in problem
    assert "the bucket 0.3, or change `threshold`" in problem


def test_a_route_that_the_catalogue_lacks_is_a_problem(check: Check) -> None:
    """Unless all its requests ended with 4xx, as those of a scanner do, or are no route's."""
    text = "\n".join(
        f'http_requests_total{{method="{method}",handler="{path}",status="{status}"}} 1'
        for method, path, status in (
            *(("GET", "/orders", "2xx"), ("GET", "/orders/{order_id}", "2xx")),
            *(("GET", "/wp-admin", "4xx"), ("OPTIONS", "/orders", "2xx"), ("GET", "none", "2xx")),
            *(("POST", "/orders", "5xx"), ("GET", "/stock", "2xx")),
        )
    )
    problems, notes = check("fastapi", text=text + "\n")
    missing = "catalogue.yaml: routes: metrics count {}, which is no route of the catalogue;"
    assert problems[0].startswith(missing.format("'GET /stock'"))
    assert problems[1].startswith(missing.format("'POST /orders'"))
    assert "has no http_request_duration_seconds_bucket" in problems[2]
    assert notes == []


def test_codes_are_not_classes(check: Check) -> None:
    """A status that is read in the other form would match no request."""
    for library, has_classes, key in (
        ("fastapi", False, "status_class"),
        ("flask", True, "status"),
    ):
        problems, _ = check(library, has_classes=has_classes)
        assert ".status: " in problems[0]
        assert f"name the label with `{key}`" in problems[0]


def test_a_missing_metric_names_similar_ones(check: Check) -> None:
    """With the names that Prometheus stores, with and without `_total`."""
    for written, read_by, is_found in (
        ("http_requests_total", "http_requests_total", True),
        ("http_requests", "http_requests_total", False),
        ("http_requests", "http_requests", True),
        ("http_requests_total", "http_requests", False),
    ):
        line = f'{written}{{method="GET",handler="/orders",status="2xx"}} 1\n'
        problems, _ = check("fastapi", text=f"# TYPE {written} counter\n{line}", metric=read_by)
        missing = f"has no {read_by};"
        assert any(missing in problem for problem in problems) is not is_found, written
        if not is_found:
            assert f"correct `metric`; there is {written}" in problems[0]


def test_a_summary_has_no_buckets(check: Check) -> None:
    """Quantiles cannot be judged by a threshold."""
    text = "# TYPE http_request_duration_seconds summary\nhttp_request_duration_seconds_count 1\n"
    problems, _ = check("fastapi", text=text)
    assert any("is a summary and has no buckets" in problem for problem in problems)


def test_a_selector_may_be_a_label_of_the_target(check: Check) -> None:
    """A label that no sample has is a note, a value that none has a problem."""
    problems, notes = check("flask", selector=(("namespace", "shop"),))
    assert problems == []
    assert "fine if Prometheus adds it" in notes[0]
    problems, _ = check("flask", selector=(("status", "201"),))
    assert (
        "no flask_http_request_duration_seconds_count has the value '201'; there is 200"
        in problems[0]
    )


def test_openmetrics_has_the_same_names() -> None:
    """There a counter is declared without `_total`."""
    text = '# TYPE a counter\na_total{b="c"} 1.0\n# EOF\n'
    assert read(text, is_openmetrics=True).samples == {"a_total": [{"b": "c"}]}


def own_page(plan: Plan, *, jobs: tuple[str, ...], dependencies: tuple[str, ...]) -> Page:
    """Return the page of our own API, which has every route at zero."""
    routes = [*plan.route_ids.values(), names.UNMATCHED]
    edges = [*map(str, plan.buckets), "+Inf"]
    lines = [f"# TYPE {names.HTTP_DURATION} histogram"]
    for route in routes:
        labels = f'route="{route}",status="2xx"'
        lines += [f'{names.HTTP_DURATION}_bucket{{{labels},le="{edge}"}} 0' for edge in edges]
        lines.append(f"{names.HTTP_DURATION}_count{{{labels}}} 0")
    lines += [f'{names.JOB_RUNS}_total{{task="{job}",outcome="ok"}} 0' for job in jobs]
    count = names.DEPENDENCY_DURATION + "_count"
    lines += [f'{count}{{dependency="{one}",outcome="ok"}} 0' for one in dependencies]
    return read("\n".join(lines) + "\n")


def test_jobs_and_dependencies_of_our_own_api_are_compared(plan: Plan) -> None:
    """Undeclared ones and those that nothing emits are problems."""
    page = own_page(plan, jobs=plan.jobs, dependencies=plan.dependencies)
    assert metrics_page.check(plan, page) == ([], [])
    page = own_page(plan, jobs=("clean",), dependencies=(*plan.dependencies, "mail"))
    problems, _ = metrics_page.check(plan, page)
    found = {problem.where: problem.message for problem in problems}
    assert "counts 'clean', which the catalogue does not declare" in found["catalogue.yaml: jobs"]
    assert "counts 'mail'" in found["catalogue.yaml: dependencies"]
    assert {f"catalogue.yaml: jobs.{job}" for job in plan.jobs} <= found.keys()


def test_a_route_label_without_a_route_is_a_problem(plan: Plan) -> None:
    """As of an API that is newer than the catalogue."""
    page = own_page(plan, jobs=plan.jobs, dependencies=plan.dependencies)
    older = replace(plan, routes=plan.routes[1:])
    problems, _ = metrics_page.check(older, page)
    assert f"count {plan.routes[0].id!r}, which is no route" in problems[0].message
