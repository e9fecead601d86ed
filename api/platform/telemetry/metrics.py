"""The metrics, with the routes and buckets of the Plan; declared series start at zero."""

import inspect
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from typing import Any

from flask import Flask, Response, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_flask_exporter import PrometheusMetrics

from api.platform.state import app_state
from api.platform.telemetry import request_context, reserved_files
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.schema.fields import Http
from observability.spec.schema.metrics import Across

DEPENDENCY_CALLS: Histogram | None = None
MAX_EXCEPTION_TYPES = 50  # classes of unhandled exceptions that have their own series


class Registry(CollectorRegistry):
    """A registry with its collectors by name.

    prometheus-flask-exporter does not return the collectors that it creates, and the catalogue
    declares metrics by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_name: dict[str, Any] = {}

    def register(self, collector: Any) -> None:
        """Add a collector."""
        super().register(collector)
        name = collector.describe()[0].name
        self.by_name[name] = collector


reserved_files.install()
REGISTRY = Registry()  # metrics outside requests, which all apps of a process share
KINDS: dict[str, Any] = {"counter": Counter, "gauge": Gauge}


def counter(name: str, text: str, *labels: str) -> Counter:
    """Register a counter in REGISTRY."""
    return Counter(name, text, labels, registry=REGISTRY)


def gauge(name: str, text: str, *labels: str, across: Across) -> Gauge:
    """Register a gauge in REGISTRY; `across` says how the values of the processes are combined.

    The value of a process that has ended counts only in mode max, not in the live modes.
    """
    return Gauge(name, text, labels, registry=REGISTRY, multiprocess_mode=across)


JOB_RUNS = counter(names.JOB_RUNS, "Runs of a job", names.JOB, names.OUTCOME)
JOB_LAST_SUCCESS = gauge(
    names.JOB_LAST_SUCCESS, "When a job last succeeded", names.JOB, across="max"
)
DELIVERIES_PENDING = gauge(
    names.DELIVERIES_PENDING, "Deliveries in the outbox", across="livemostrecent"
)
DEAD_LETTERS = gauge(
    names.DEAD_LETTERS,
    "Jobs that failed permanently",
    names.JOB,
    across="livemostrecent",
)
TRACE_SPANS = counter(
    names.TRACE_SPANS, "Spans handed to the collector, or lost on the way", names.OUTCOME
)
POOL = gauge(names.POOL, "Connections of the database pool", names.STATE, across="livesum")
LIMITER_FALLBACKS = counter(
    names.LIMITER_FALLBACKS, "Requests counted in memory while the shared store was unavailable"
)
RETRIES = counter(names.RETRIES, "Calls that were retried", names.DEPENDENCY)
REFUSED = counter(
    names.REFUSED,
    "Calls refused, or cut off by a deadline",
    names.DEPENDENCY,
    names.REASON,
)
# The value of the process that wrote last: the latest call knows the state of the host best.
BREAKER = gauge(
    names.BREAKER, "0 closed, 1 half open, 2 open", names.DEPENDENCY, across="livemostrecent"
)
BREAKER_STATES = {"closed": 0, "half-open": 1, "open": 2}
CACHE_ANSWERS = counter(
    names.CACHE_ANSWERS, "Cache lookups for data of other services, by result", names.RESULT
)
CACHE_RESULTS = ("fresh", "stale", "miss")
SHARED_FAILURES = counter(names.SHARED_FAILURES, "Commands to Redis that failed")


def init_app(app: Flask, plan: Plan) -> None:
    """Register the request metrics of `app`; call it when all routes exist.

    Raise RuntimeError when the catalogue and the app do not name the same routes.
    """
    state = app_state(app)
    state.route_ids = route_ids(app, plan)
    state.registry = Registry()
    measure_requests(app, plan)
    state.exceptions = Counter(
        names.HTTP_EXCEPTIONS,
        "Unhandled exceptions",
        (names.ROUTE, names.TYPE),
        registry=state.registry,
    )
    create_zero_series(app)
    init_process(plan)


def measure_requests(app: Flask, plan: Plan) -> None:
    """Wrap the dispatch of requests in a histogram by status class and a counter by code."""
    state = app_state(app)
    metrics = PrometheusMetrics(app, path=None, export_defaults=False, registry=state.registry)
    route = with_signature(current_route)
    count_time = metrics.histogram(
        names.HTTP_DURATION,
        "Seconds from dispatch to response",
        labels={names.ROUTE: route, names.STATUS: with_signature(status_class)},
        buckets=plan.bucket_edges,
    )
    count_code = metrics.counter(
        names.HTTP_REQUESTS,
        "Responses sent",
        labels={names.ROUTE: route, names.CODE: with_signature(status_code)},
    )
    dispatch = partial(Flask.full_dispatch_request, app)
    state.timed_dispatch = count_time(count_code(dispatch))


def create_zero_series(app: Flask) -> None:
    """Create the series of every route, so that the first failure is an increase."""
    state = app_state(app)
    durations = state.registry.by_name[names.HTTP_DURATION]
    for route_id in sorted({*state.route_ids.values(), names.UNMATCHED}):
        state.exceptions.labels(route_id, names.NO_TYPE)
        for status in names.STATUS_CLASSES:
            durations.labels(route_id, status)


def with_signature(label: Callable[..., Any]) -> Callable[..., Any]:
    """Store the signature of a label function on it (PEP 362).

    prometheus-flask-exporter inspects the signature at every request.
    """
    label.__signature__ = inspect.signature(label)  # type: ignore[attr-defined]
    return label


def status_class(response: Response) -> str:
    """Return 2xx for 200 to 299, and so on."""
    return f"{response.status_code // 100}xx"


def status_code(response: Response) -> int:
    """Return the status code of the response."""
    return response.status_code


def init_process(plan: Plan) -> None:
    """Register the catalogue's metrics; series of its dependencies and jobs start at zero."""
    global DEPENDENCY_CALLS
    if DEPENDENCY_CALLS is None:
        DEPENDENCY_CALLS = Histogram(
            names.DEPENDENCY_DURATION,
            "Seconds that a call to a dependency took",
            (names.DEPENDENCY, names.OUTCOME),
            registry=REGISTRY,
            buckets=plan.bucket_edges,
        )
    for name, entry in plan.metrics.items():
        if name not in REGISTRY.by_name:
            KINDS[entry.type](name, entry.text, entry.labels, registry=REGISTRY, **entry.options)
    for result in names.OUTCOMES:
        TRACE_SPANS.labels(result)
        for dependency in plan.dependencies:
            DEPENDENCY_CALLS.labels(dependency, result)
        for job in plan.jobs:
            JOB_RUNS.labels(job, result)
    for name, job in product(plan.counters_by_job, plan.jobs):
        REGISTRY.by_name[name].labels(job)


def openapi_path(rule: str) -> str:
    """Return werkzeug's `/orders/<string:id>` in the form of OpenAPI, `/orders/{id}`."""
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule)


def route_ids(app: Flask, plan: Plan) -> dict[tuple[str, str], str]:
    """Return the catalogue's id of each (method, URL rule).

    Raise RuntimeError, with every mismatch and its fix, when they are not the same.
    """
    served = served_rules(app)
    problems = [
        f"{http} is served, but not in the catalogue: declare it under routes or exempt"
        for http in served.keys() - plan.route_ids
    ]
    problems += [
        f"{http} ({plan.route_ids[http]}) is in the catalogue, but not served: "
        "add its view and its blueprint, or correct `http:`"
        for http in plan.route_ids.keys() - served
    ]
    if problems:
        listed = "\n  ".join(sorted(problems))
        raise RuntimeError(f"catalogue.yaml and the app disagree:\n  {listed}")
    ids = {}
    for http, route_id in plan.route_ids.items():
        rule = served[http]
        ids[http.method, rule] = route_id
        if http.method == "GET":
            ids["HEAD", rule] = route_id
    return ids


def served_rules(app: Flask) -> dict[Http, str]:
    """Return the URL rule of each route of the app; HEAD and OPTIONS come with every rule."""
    rules = {}
    for rule in app.url_map.iter_rules():
        path = openapi_path(rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            rules[Http(method, path)] = rule.rule
    return rules


def current_route() -> str:
    """Return the catalogue's id of the route that the current request matched."""
    rule = request.url_rule
    if not rule:
        return names.UNMATCHED
    return app_state().route_ids.get((request.method, rule.rule), names.UNMATCHED)


def count_exception(error: Exception) -> None:
    """Count an unhandled exception by its class.

    Classes after the first MAX_EXCEPTION_TYPES share a series, which limits the cardinality.
    """
    state = app_state()
    exception_type = bounded(type(error).__name__, state.exception_types, MAX_EXCEPTION_TYPES)
    state.exceptions.labels(current_route(), exception_type).inc()


def bounded(value: str, known: set[str], limit: int) -> str:
    """Return the label value, or OTHER when `known` has `limit` other values; extend `known`."""
    if len(known) < limit:
        known.add(value)
    return value if value in known else names.OTHER


def outcome(*, ok: bool) -> str:
    """Return the value of the outcome label."""
    return "ok" if ok else "error"


def observe_dependency(dependency: str, seconds: float, *, ok: bool, queries: int = 0) -> None:
    """Count one call to a dependency of the catalogue, and add it to the current usage."""
    context = request_context.current()
    if context:
        usage = context.usage
        if dependency == names.DATABASE:
            usage.db_seconds += seconds
            usage.db_queries += queries
        else:
            usage.outbound_seconds += seconds
    if DEPENDENCY_CALLS:
        DEPENDENCY_CALLS.labels(dependency, outcome(ok=ok)).observe(seconds)


@contextmanager
def dependency_call(dependency: str) -> Iterator[None]:
    """Measure a block as one call; any exception counts as an error."""
    started = time.perf_counter()
    ok = False
    try:
        yield
        ok = True
    finally:
        seconds = time.perf_counter() - started
        observe_dependency(dependency, seconds, ok=ok)
