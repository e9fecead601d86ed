"""Checks of the signals: whether they can tell what the catalogue promises."""

from collections.abc import Iterator

from observability.spec.problems import Problem
from observability.spec.quantities import Duration, format_decimal
from observability.spec.schema.catalogue import Catalogue
from observability.spec.schema.entry import LatencyEntry
from observability.spec.signals import Signal, Signals, spell
from observability.spec.validation.references import Where


def check_signals(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield thresholds without a bucket, routes that look alike, and keys without effect."""
    signals = catalogue.signals.signals
    yield from check_thresholds(catalogue, signals, where)
    yield from check_codes(catalogue, signals, where)
    if signals.of_platform:
        for route_id, route in catalogue.routes.items():
            if route.path:
                message = "has no effect: the metrics of this API name routes by their ids"
                yield Problem(where("routes", route_id, "path"), message, "remove it")
        return
    for name, slo in catalogue.slos.items():
        for route_id in sorted({*catalogue.routes_of_slo(slo)} & catalogue.exempt.keys()):
            message = f"{route_id} is exempt, so none of its requests is told from others"
            fix = "declare it under routes, or leave it out"
            yield Problem(where("slos", name, "routes"), message, fix)
    for signal in dict.fromkeys(signals.every()):
        if signal.address:
            yield from check_paths(catalogue, signal, where)


# --- durations ---


def check_thresholds(catalogue: Catalogue, signals: Signals, where: Where) -> Iterator[Problem]:
    """Yield thresholds that no bucket of the histogram has, where its buckets are known."""
    for place, target in list_latencies(catalogue, where):
        if signals.latency is None:
            fix = "add `latency` to `signals`, or remove the objective"
            yield Problem(place, "nothing of `signals` measures durations", fix)
        elif signals.latency.buckets and target.threshold.seconds not in signals.latency.buckets:
            yield missing_bucket(place, target.threshold, signals.latency)


def list_latencies(catalogue: Catalogue, where: Where) -> Iterator[tuple[str, LatencyEntry]]:
    """Yield the objectives for the durations of requests, and their places."""
    if any(route.latency is None for route in catalogue.routes.values()):
        for target in catalogue.defaults.latency:
            yield where("defaults", "latency"), target
    for route_id, route in catalogue.routes.items():
        for target in route.latency or ():
            yield where("routes", route_id, "latency"), target
    for name, slo in catalogue.slos.items():
        if slo.latency:
            yield where("slos", name, "latency"), slo.latency


def missing_bucket(place: str, threshold: Duration, signal: Signal) -> Problem:
    """Return the problem of a threshold between two buckets, or beyond the last."""
    lower = [edge for edge in sorted(signal.buckets) if edge < threshold.seconds]
    upper = [edge for edge in sorted(signal.buckets) if edge > threshold.seconds]
    nearest = " and ".join(f"{format_decimal(edge)}s" for edge in (*lower[-1:], *upper[:1]))
    message = (
        f"{threshold.text} is no bucket of {signal.metric}, so nobody knows how many requests "
        f"were quicker; its nearest are {nearest}"
    )
    fix = "write one of these; or add the bucket in the app, and all its buckets to `signals`"
    return Problem(place, message, fix)


# --- statuses ---


def check_codes(catalogue: Catalogue, signals: Signals, where: Where) -> Iterator[Problem]:
    """Yield excluded codes where the metrics have only classes of codes."""
    if signals.codes:
        return
    fix = "remove it, or give `signals.total` a label `status` with exact codes"
    message = "cannot be told: the metric has classes of status codes, or none"
    if catalogue.defaults.excluded_codes:
        yield Problem(where("defaults", "excluded_codes"), message, fix)
    for route_id, route in catalogue.routes.items():
        if route.excluded_codes:
            yield Problem(where("routes", route_id, "excluded_codes"), message, fix)


# --- methods and paths ---


def check_paths(catalogue: Catalogue, signal: Signal, where: Where) -> Iterator[Problem]:
    """Yield routes whose requests a metric counts in the same series as those of another."""
    route_by_labels: dict[tuple[str, str], str] = {}
    for route_id, route in catalogue.routes.items():
        method = route.http.method if signal.method else ""
        paths = [route.path] if route.path else spell(route.http, {}, signal.spelling)
        for path in paths:
            other = route_by_labels.setdefault((method, path), route_id)
            if other != route_id:
                message = f"{signal.metric} cannot tell it from {other}: both are {path!r}"
                fix = "correct `path:`, or make them one route"
                if not signal.method:
                    message += ", and it has no label of methods"
                    fix = f"add `method` to the signal, {fix}"
                yield Problem(where("routes", route_id), message, fix)
                break
