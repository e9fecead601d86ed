"""Signals: presets, metrics that the catalogue names, and how paths are spelled."""

from collections.abc import Callable

import pytest

from observability.spec import names
from observability.spec.openapi import parameter_types
from observability.spec.plan import Plan
from observability.spec.presets import EVARA, PRESETS
from observability.spec.problems import Problem
from observability.spec.schema.fields import Http
from observability.spec.signals import spell
from tests.observability.compiler_support import SMALL, changed

TOTAL = "{metric: requests_total, method: verb, path: page, status: code}"
ITEM = Http("GET", "/items/{item_id}")
NAMED = Http("GET", "/users/{user}/items/{item_id}.json")


def service(signals: str, *edits: tuple[str, str]) -> str:
    """Return a small catalogue with these signals."""
    return changed(SMALL, ("service: small\n", f"service: small\nsignals: {signals}\n"), *edits)


@pytest.mark.parametrize(
    ("http", "types", "spelling", "paths"),
    [
        (Http("GET", "/items"), {}, "any", ["/items"]),
        (ITEM, {}, "openapi", ["/items/{item_id}"]),
        (ITEM, {"item_id": "integer"}, "express", ["/items/:item_id"]),
        (ITEM, {"item_id": "integer"}, "flask", ["/items/<int:item_id>", "/items/<item_id>"]),
        (
            ITEM,
            {"item_id": "integer"},
            "starlette",
            ["/items/{item_id:int}", "/items/{item_id}"],
        ),
        (
            ITEM,
            {"item_id": "string"},
            "flask",
            ["/items/<item_id>", "/items/<path:item_id>", "/items/<string:item_id>"],
        ),
        (
            NAMED,
            {"user": "uuid", "item_id": "number"},
            "flask",
            [
                "/users/<user>/items/<float:item_id>.json",
                "/users/<user>/items/<item_id>.json",
                "/users/<uuid:user>/items/<float:item_id>.json",
                "/users/<uuid:user>/items/<item_id>.json",
            ],
        ),
    ],
)
def test_paths_are_spelled_as_the_frameworks_do(
    http: Http, types: dict[str, str], spelling: str, paths: list[str]
) -> None:
    """A parameter has no converter, or one that suits its type."""
    assert spell(http, types, spelling) == paths


def test_any_spelling_is_that_of_every_framework() -> None:
    """OpenTelemetry takes the path from whichever framework it observes."""
    assert {"/items/<item_id>", "/items/{item_id}", "/items/:item_id"} <= {*spell(ITEM, {}, "any")}


def test_types_come_from_the_operation_and_from_the_path() -> None:
    """A parameter may be declared for one operation, or for all of a path."""
    user = {"in": "path", "name": "user", "schema": {"type": "string", "format": "uuid"}}
    item = {"in": "path", "name": "item_id", "schema": {"type": "integer"}}
    query = {"in": "query", "name": "page", "schema": {"type": "integer"}}
    paths = {NAMED.path: {"parameters": [user], "get": {"parameters": [item, query]}}}
    assert parameter_types(NAMED, {"paths": paths}) == {"user": "uuid", "item_id": "integer"}
    assert parameter_types(ITEM, {"paths": paths}) == {}


def test_our_own_api_is_the_default(plan_of: Callable[..., Plan]) -> None:
    """A catalogue without `signals` has those of the API of this repository."""
    assert plan_of(SMALL).signals is plan_of(service("evara")).signals is EVARA


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_tells_requests_failures_and_durations(
    plan_of: Callable[..., Plan], name: str
) -> None:
    """A preset alone is enough for availability and latency."""
    signals = plan_of(service(name)).signals
    assert signals == PRESETS[name]
    assert signals.total.status
    assert signals.latency is not None
    assert signals.label == (names.ROUTE if name == "evara" else names.SUBJECT)


def test_keys_beside_a_preset_are_about_all_its_metrics(plan_of: Callable[..., Plan]) -> None:
    """A namespace or a cluster selects each of them."""
    signals = plan_of(service("{preset: otel-http, selector: {namespace: shop}, spelling: flask}"))
    for signal in signals.signals.every():
        assert signal.selector == (("namespace", "shop"),)
        assert signal.spelling == "flask"


def test_metrics_can_be_named_one_by_one(plan_of: Callable[..., Plan]) -> None:
    """Failed requests and durations may come from other metrics than all requests."""
    total = "{metric: requests_total, path: page}"
    bad = "{metric: errors_total, path: page, selector: {cluster: a}}"
    latency = "{metric: seconds, path: url, spelling: express, buckets: [0.1, 1]}"
    signals = plan_of(service(f"{{total: {total}, bad: {bad}, latency: {latency}}}")).signals
    assert signals.failed.metric == "errors_total"
    assert signals.failed.selector == (("cluster", "a"),)
    assert signals.latency is not None
    assert signals.latency.address == ("url",)
    assert signals.codes is None


NO_LATENCY = ("latency: [], ", "latency: [{threshold: 200ms, objective: 95}], ")
SECOND = (
    "routes:\n",
    "routes:\n  things.add: {http: POST /things/, next_steps: [Look at it.]}\n",
)
WRONG = {
    "a preset that nobody knows": (
        service("django"),
        ("signals.preset", "'django' is not known here", "write 'evara'"),
    ),
    "nothing about requests": (
        service("{concrete_paths: true}"),
        ("signals", "says nothing about requests", "add `preset`, or `total`"),
    ),
    "more than the preset of our API": (
        service("{preset: evara, selector: {a: b}}"),
        ("signals", "has the preset evara and more", "remove the rest"),
    ),
    "no failed requests": (
        service("{total: {metric: requests_total, path: page}}"),
        ("signals", "tells no failed requests", "add `bad`, or `status` to `total`"),
    ),
    "two sources of failed requests": (
        service(f"{{total: {TOTAL}, bad: {{metric: errors_total, path: page}}}}"),
        ("signals", "tells failed requests twice", "remove one of the two"),
    ),
    "a label with two meanings": (
        service("{total: {metric: requests_total, path: page, status: page}}"),
        ("signals.total", "gives the label 'page' two meanings", "correct one of them"),
    ),
    "codes and classes": (
        service("{total: {metric: requests_total, path: p, status: a, status_class: b}}"),
        ("signals.total", "has both status and status_class", "keep status for codes"),
    ),
    "a label that the joined series has itself": (
        service("{total: {metric: requests_total, path: subject, status: code}}"),
        ("signals.total.path", "'subject' does not fit", "write it like handler"),
    ),
    "a part of a histogram": (
        service(f"{{total: {TOTAL}, latency: {{metric: seconds_bucket, path: page}}}}"),
        ("signals", "seconds_bucket is a part of a histogram", "write its name without suffix"),
    ),
    "no durations": (
        service(f"{{total: {TOTAL}}}", NO_LATENCY),
        ("defaults.latency", "nothing of `signals` measures durations", "add `latency`"),
    ),
    "a threshold without a bucket": (
        service("fastapi-instrumentator", NO_LATENCY),
        ("defaults.latency", "200ms is no bucket", "write one of these"),
    ),
    "a threshold beyond the last bucket": (
        service("fastapi-instrumentator", ("latency: [], ", NO_LATENCY[1].replace("200ms", "3s"))),
        ("defaults.latency", "its nearest are 1s", "add the bucket in the app"),
    ),
    "codes where the metric has classes": (
        service(
            "fastapi-instrumentator", ("latency: [], ", "latency: [], excluded_codes: [503], ")
        ),
        ("defaults.excluded_codes", "cannot be told", "exact codes"),
    ),
    "a code that is none": (
        service("evara", ("latency: [], ", "latency: [], excluded_codes: [5xx], ")),
        ("defaults.excluded_codes.0", "'5xx' does not fit", "write it like 503"),
    ),
    "two routes of one path, and no method": (
        service("{total: {metric: requests_total, path: page, status: code}}", SECOND),
        (
            "routes.things.list",
            "both are '/things/', and it has no label",
            "add `method` to the signal",
        ),
    ),
    "an SLO over an exempt route": (
        service("flask-exporter")
        + "exempt: {up: GET /up}\n"
        + "slos: {ups: {routes: [up], availability: 99, next_steps: [Look at it.]}}\n",
        ("slos.ups.routes", "up is exempt", "declare it under routes"),
    ),
    "a path where the metric has ids": (
        service("evara", ("{http: GET /things/, ", "{http: GET /things/, path: /t, ")),
        ("routes.things.list.path", "has no effect", "remove it"),
    ),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_wrong_signals_are_told_with_their_fix(
    problems_of: Callable[..., list[Problem]], name: str
) -> None:
    """The error names the key, what is wrong with it, and what to write."""
    catalogue, (key, message, fix) = WRONG[name]
    [problem] = [one for one in problems_of(catalogue) if f": {key}" in one.where]
    assert message in problem.message
    assert fix in problem.fix


def test_two_methods_of_one_path_are_two_routes(plan_of: Callable[..., Plan]) -> None:
    """The label of the method tells them apart."""
    plan = plan_of(service(f"{{total: {TOTAL}}}", SECOND))
    labels = [route.labels(plan.signals.total) for route in plan.routes]
    assert labels == [
        {"verb": "POST", "page": "/things/"},
        {"verb": "GET", "page": "/things/"},
    ]
