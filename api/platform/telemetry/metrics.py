"""The API's metrics, registered from the Plan: names, labels, buckets and zero series all come from the catalogue."""

import inspect
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

from flask import Flask, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_flask_exporter import PrometheusMetrics

from api.platform.state import app_state
from api.platform.telemetry import request_context
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.schema.fields import Http

REGISTRY = CollectorRegistry()  # of what is measured outside requests: one per process
DEPENDENCY_CALLS: Histogram | None = None
MOST_TYPES = 50  # classes of unhandled exceptions that have a series of their own
Mode = Literal["max", "livemax", "livesum", "livemostrecent"]


def counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=REGISTRY)


def gauge(name: str, text: str, *labels: str, across: Mode) -> Gauge:
    """`across` says what the processes' values make together; those that begin with live end with their process."""
    return Gauge(name, text, labels, registry=REGISTRY, multiprocess_mode=across)


JOB_RUNS = counter(names.JOB_RUNS, "Runs of a job", names.JOB, names.OUTCOME)
JOB_STORED = counter(names.JOB_STORED, "Readings that a job stored", names.JOB)
JOB_LAST_SUCCESS = gauge(
    names.JOB_LAST_SUCCESS, "When a job last succeeded", names.JOB, across="max"
)
JOB_REACHED = gauge(
    names.JOB_REACHED,
    "Newest reading of the node that is furthest behind",
    names.JOB,
    across="livemax",
)
DELIVERIES_PENDING = gauge(
    names.DELIVERIES_PENDING, "Deliveries in the outbox", across="livemostrecent"
)
DEAD_LETTERS = gauge(
    names.DEAD_LETTERS, "Work that failed for good", names.JOB, across="livemostrecent"
)
TRACE_SPANS = counter(
    names.TRACE_SPANS, "Spans handed to the collector, or lost on the way", names.OUTCOME
)
POOL = gauge(names.POOL, "Connections of the database pool", names.STATE, across="livesum")
LIMITER_FALLBACKS = counter(
    names.LIMITER_FALLBACKS, "Requests counted in memory while the shared store was away"
)
RETRIES = counter(names.RETRIES, "Calls that were made again", names.DEPENDENCY)
REFUSED = counter(
    names.REFUSED, "Calls that were not made, by what stopped them", names.DEPENDENCY, names.REASON
)
# Of the last process that looked: one that opened and was not asked since knows less than one that closed later.
BREAKER = gauge(
    names.BREAKER, "0 closed, 1 half open, 2 open", names.DEPENDENCY, across="livemostrecent"
)
BREAKER_STATES = {"closed": 0, "half-open": 1, "open": 2}
CACHE_ANSWERS = counter(
    names.CACHE_ANSWERS, "Answers about what others know, by where they were found", names.RESULT
)
CACHE_RESULTS = ("fresh", "stale", "miss")
SHARED_FAILURES = counter(names.SHARED_FAILURES, "How often Redis did not answer")


class Registry(CollectorRegistry):
    """A registry per app that remembers its collectors by name: the exporter keeps them to itself, zero series need them."""

    def __init__(self) -> None:
        super().__init__()
        self.by_name: dict[str, MetricWrapperBase] = {}

    def register(self, collector: Any) -> None:
        super().register(collector)
        self.by_name[collector.describe()[0].name] = collector


def init_app(app: Flask, plan: Plan) -> None:
    """Registers the request metrics of `app`; call it when all routes are there.

    RuntimeError when the catalogue and the app do not name the same routes.
    """
    state = app_state(app)
    state.route_ids = route_labels(app, plan)
    state.registry = registry = Registry()
    metrics = PrometheusMetrics(app, path=None, export_defaults=False, registry=registry)
    route = noted(current_route)
    by_class = metrics.histogram(
        names.HTTP_DURATION,
        "Seconds from dispatch to answer",
        labels={
            names.ROUTE: route,
            names.STATUS: noted(lambda answer: f"{answer.status_code // 100}xx"),
        },
        buckets=[float(edge) for edge in plan.buckets],
    )
    by_code = metrics.counter(
        names.HTTP_REQUESTS,
        "Requests answered",
        labels={names.ROUTE: route, names.CODE: noted(lambda answer: answer.status_code)},
    )
    state.exceptions = Counter(
        names.HTTP_EXCEPTIONS,
        "Exceptions that nobody handled",
        (names.ROUTE, names.TYPE),
        registry=registry,
    )
    state.timed_dispatch = by_class(by_code(partial(Flask.full_dispatch_request, app)))
    for route_id in (*sorted(set(state.route_ids.values())), names.UNMATCHED):
        state.exceptions.labels(route_id, names.NO_TYPE)
        for status in names.STATUS_CLASSES:
            registry.by_name[names.HTTP_DURATION].labels(route_id, status)
    init_process(plan)


def noted(label: Callable[..., Any]) -> Callable[..., Any]:
    """With its signature noted (PEP 362): the exporter looks at a label's signature whenever it asks for the value."""
    label.__signature__ = inspect.signature(label)  # type: ignore[attr-defined]
    return label


def registry_of(app: Flask) -> CollectorRegistry:
    """The registry of the app's request metrics; REGISTRY holds the rest."""
    return app_state(app).registry


def init_process(plan: Plan) -> None:
    """Registers what is measured outside requests, with a zero for everything that the catalogue declares."""
    global DEPENDENCY_CALLS
    if DEPENDENCY_CALLS is None:
        DEPENDENCY_CALLS = Histogram(
            names.DEPENDENCY_DURATION,
            "Seconds that a call to a dependency took",
            (names.DEPENDENCY, names.OUTCOME),
            registry=REGISTRY,
            buckets=[float(edge) for edge in plan.buckets],
        )
    for outcome in names.OUTCOMES:
        TRACE_SPANS.labels(outcome)
        for dependency in plan.dependencies:
            DEPENDENCY_CALLS.labels(dependency, outcome)
        for job in plan.jobs:
            JOB_RUNS.labels(job, outcome)
    for job in plan.jobs:
        JOB_STORED.labels(job)


def openapi_path(rule: str) -> str:
    """Werkzeug's `/nodes/<string:node_id>` → OpenAPI's `/nodes/{node_id}`."""
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule)


def route_labels(app: Flask, plan: Plan) -> dict[tuple[str, str], str]:
    """(method, URL rule) → the catalogue's id; RuntimeError that names every mismatch and its mend."""
    served = {
        Http(method, openapi_path(rule.rule)): (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    unknown = [
        f"{http} is served, but not in the catalogue: declare it under routes or exempt"
        for http in served.keys() - plan.route_ids
    ]
    absent = [
        f"{http} ({plan.route_ids[http]}) is in the catalogue, but not served: correct `http:`"
        for http in plan.route_ids.keys() - served
    ]
    if unknown or absent:
        raise RuntimeError(
            "catalogue.yaml and the app disagree:\n  " + "\n  ".join(sorted(unknown + absent))
        )
    labels = {served[http]: route_id for http, route_id in plan.route_ids.items()}
    return labels | {
        ("HEAD", rule): route_id for (method, rule), route_id in labels.items() if method == "GET"
    }


def current_route() -> str:
    """Return the catalogue's id of the route that the current request matched."""
    rule = request.url_rule
    if rule is None:
        return names.UNMATCHED
    return app_state().route_ids.get((request.method, rule.rule), names.UNMATCHED)


def count_exception(error: Exception) -> None:
    """One exception that nobody handled, by the name of its class; classes made at run time must not make series without end."""
    state = app_state()
    known = state.exception_types
    name = type(error).__name__
    if len(known) < MOST_TYPES:
        known.add(name)
    shown = name if name in known else names.OTHER_TYPE
    state.exceptions.labels(current_route(), shown).inc()


def observe_dependency(dependency: str, seconds: float, *, ok: bool, queries: int = 0) -> None:
    """One call to a dependency of the catalogue, which the current request or job has spent `seconds` in."""
    if work := request_context.current():
        if dependency == names.DATABASE:
            work.usage.db_seconds += seconds
            work.usage.db_queries += queries
        else:
            work.usage.outbound_seconds += seconds
    if DEPENDENCY_CALLS is not None:
        DEPENDENCY_CALLS.labels(dependency, "ok" if ok else "error").observe(seconds)


@contextmanager
def dependency_call(dependency: str) -> Iterator[None]:
    """Measures a block as one call; any exception counts as an error."""
    started, ok = time.perf_counter(), False
    try:
        yield
        ok = True
    finally:
        observe_dependency(dependency, time.perf_counter() - started, ok=ok)
