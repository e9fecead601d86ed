"""Check `metrics`: a service's metrics page, or a Prometheus, has what the catalogue reads."""

import re
from collections.abc import Iterator
from difflib import get_close_matches

from observability.generate import relabelling
from observability.lib.metrics_page import Labels, Page
from observability.spec import names
from observability.spec.plan import HTTP_SOURCE, Plan
from observability.spec.problems import Problem
from observability.spec.quantities import Duration, format_decimal
from observability.spec.signals import DURATIONS, Signal, spell

WHERE = "catalogue.yaml"
SEND_REQUESTS = "send requests to the service, then check again"
PARTS = re.compile("_(?:total|count|sum|bucket)$")
STATUS_CLASS = re.compile("[1-5]xx")
STATUS_CODE = re.compile(r"[1-5]\d\d")
PARAMETER = re.compile(r"<[^>]*>|{[^}]*}|:\w+")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")  # that routes of a catalogue have
Address = tuple[str, ...]  # the route, or method and path, as labels have them


class Note(Problem):
    """Something that may be as it should: it does not fail the check."""


# --- the plan's signals ---


def signals_of(plan: Plan) -> dict[str, Signal]:
    """Return the signals by their key in the catalogue."""
    return plan.signals.by_key()


def labels_of(signal: Signal) -> Address:
    """Return the labels from which the route follows."""
    return (signal.route,) if signal.route else signal.address


def addresses_of(plan: Plan, signal: Signal) -> dict[Address, str]:
    """Return the id of the route by each address that means it, exempt routes included."""
    if signal.route:
        return {(route_id,): route_id for route_id in plan.route_ids.values()}
    exempt = {route_id: (http, spell(http, {}, signal.spelling)) for route_id, http in plan.exempt}
    watched = {route.id: (route.http, route.spell(signal)) for route in plan.routes}
    return {
        (http.method, path) if signal.method else (path,): route_id
        for route_id, (http, paths) in (exempt | watched).items()
        for path in paths
    }


def fold(plan: Plan, signal: Signal, samples: list[Labels]) -> list[Labels]:
    """Return samples of concrete paths as the generated rules for scrapes leave them."""
    routes = sorted(plan.routes, key=relabelling.exactness)
    folded = []
    for labels in samples:
        path = labels.get(relabelling.CONCRETE, "")
        for route in routes:
            if re.fullmatch(relabelling.concrete(route), path):
                folded.append(labels | {signal.path: route.spell(signal)[0]})
                break
    return folded


def series_of(plan: Plan) -> list[str]:
    """Return the names of all series that are compared."""
    signals = signals_of(plan).items()
    of_requests = [name_series(key, signal) for key, signal in signals]
    return [*of_requests, *(series for _, series, _, _ in of_platform(plan))]


def name_series(key: str, signal: Signal) -> str:
    """Return the series that a signal must have."""
    return signal.metric + "_bucket" if key == DURATIONS else signal.metric


def of_platform(plan: Plan) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Return section, series, label and ids of what only our own API counts."""
    if not plan.signals.of_platform:
        return []
    jobs, calls = names.JOB_RUNS + "_total", names.DEPENDENCY_DURATION + "_count"
    return [
        ("jobs", jobs, names.JOB, plan.jobs),
        ("dependencies", calls, names.DEPENDENCY, plan.dependencies),
    ]


# --- the comparison ---


def check(plan: Plan, page: Page) -> tuple[list[Problem], list[Problem]]:
    """Return the problems of a page, and notes on what may be as it should."""
    found = list(compare(plan, page))
    notes: list[Problem] = [one for one in found if isinstance(one, Note)]
    return [one for one in found if not isinstance(one, Note)], notes


def compare(plan: Plan, page: Page) -> Iterator[Problem]:
    """Yield problems and notes about every signal, and about jobs and dependencies."""
    for key, signal in signals_of(plan).items():
        where = f"{WHERE}: signals.{key}"
        series = name_series(key, signal)
        samples = page.samples.get(series, [])
        if not samples:
            yield missing_series(where, signal, series, page)
            continue
        if plan.signals.concrete_paths:
            samples = fold(plan, signal, samples)
            if not samples:
                yield note(where, f"{series} has no path of a route yet", SEND_REQUESTS)
                continue
        yield from check_labels(where, signal, series, samples)
        if key == DURATIONS:
            yield from check_thresholds(plan, series, samples)
        elif key == "total":
            yield from check_routes(plan, signal, samples)
    yield from check_platform(plan, page)


def missing_series(where: str, signal: Signal, series: str, page: Page) -> Problem:
    """Return the problem of a series that the page lacks; without a request, it may lack it."""
    base = PARTS.sub("", series)
    kinds = [page.types[name] for name in {base, series} & page.types.keys()]
    has_samples = any(PARTS.sub("", name) == base for name in page.samples)
    if series.endswith("_bucket") and kinds and kinds != ["histogram"]:
        message = f"{signal.metric} is a {kinds[0]} and has no buckets on {page.url}"
        return problem(where, message, "let the service measure a histogram")
    if kinds and not has_samples:
        return note(where, f"{series} has no sample on {page.url} yet", SEND_REQUESTS)
    close = get_close_matches(series, page.samples.keys(), n=3, cutoff=0.7)
    fix = "correct `metric`, or let the service expose it"
    if close:
        fix = f"correct `metric`; there is {' and '.join(close)}"
    return problem(where, f"{page.url} has no {series}", fix)


def check_labels(
    where: str, signal: Signal, series: str, samples: list[Labels]
) -> Iterator[Problem]:
    """Yield labels that the catalogue reads and no sample has, and values that none has."""
    present = sorted({label for labels in samples for label in labels} - {"le"})
    has = f"it has {', '.join(present) or 'none'}"
    for key in ("route", "method", "path", "status"):
        label = getattr(signal, key)
        if label and label not in present:
            message = f"{series} has no label {label}; {has}"
            yield problem(f"{where}.{key}", message, f"correct `{key}`, or remove it")
    values = sorted({labels[signal.status] for labels in samples if signal.status in labels})
    form = STATUS_CLASS if signal.has_classes else STATUS_CODE
    if values and not any(map(form.fullmatch, values)):
        other = "status" if signal.has_classes else "status_class"
        message = f"{series} has the values {', '.join(values)} in {signal.status}"
        yield problem(f"{where}.status", message, f"name the label with `{other}`")
    for label, value in signal.selector:
        values = sorted({labels[label] for labels in samples if label in labels})
        place = f"{where}.selector.{label}"
        if not values:
            message = f"{series} has no label {label} there; {has}"
            yield note(place, message, "fine if Prometheus adds it when it scrapes")
        elif value not in values:
            message = f"no {series} has the value {value!r}; there is {', '.join(values)}"
            yield problem(place, message, "correct the value")


def check_routes(plan: Plan, signal: Signal, samples: list[Labels]) -> Iterator[Problem]:
    """Yield paths that are none of the catalogue, and routes none of whose paths was called."""
    counted = [labels for labels in samples if is_selected(signal, labels)]
    if not all(any(label in labels for labels in counted) for label in labels_of(signal)):
        return
    if not (signal.route or signal.path):
        return
    known = addresses_of(plan, signal)
    called = {address_of(signal, labels) for labels in counted}
    answered = {
        address_of(signal, labels)
        for labels in counted
        if not labels.get(signal.status, "").startswith("4")
    }
    for address in sorted(answered - known.keys()):
        if is_route(signal, address):
            yield unknown_route(plan, address)
    seen = {known[address] for address in called & known.keys()}
    for route in plan.routes:
        if route.id not in seen:
            yield note(
                f"{WHERE}: routes.{route.id}",
                f"no request to {route.http} is counted",
                "fine if it was not called yet; else correct its path",
            )


def is_selected(signal: Signal, labels: Labels) -> bool:
    """Return whether a sample is one of the signal's; the page may lack labels of targets."""
    return all(labels.get(label, value) == value for label, value in signal.selector)


def address_of(signal: Signal, labels: Labels) -> Address:
    """Return the address of a sample; a label that it lacks is empty."""
    return tuple(labels.get(label, "") for label in labels_of(signal))


def is_route(signal: Signal, address: Address) -> bool:
    """Return whether an address is a route's: libraries count other requests as `none`, or ""."""
    if signal.route:
        return address != (names.UNMATCHED,)
    has_method = not signal.method or address[0].upper() in METHODS
    return has_method and address[-1].startswith("/")


def unknown_route(plan: Plan, address: Address) -> Problem:
    """Return the problem of a counted route that the catalogue does not declare."""
    text = " ".join(address)
    form = PARAMETER.sub("{}", text)
    for route in plan.routes:
        http = route.http
        if form.upper() in (PARAMETER.sub("{}", str(http)).upper(), http.path.upper()):
            fix = f"write `path: {address[-1]}` there, or correct `spelling` and `method`"
            message = f"metrics spell its requests {text!r}, which no rule would count"
            return problem(f"{WHERE}: routes.{route.id}", message, fix)
    message = f"metrics count {text!r}, which is no route of the catalogue"
    return problem(f"{WHERE}: routes", message, "declare it under routes, or under exempt")


def check_thresholds(plan: Plan, series: str, samples: list[Labels]) -> Iterator[Problem]:
    """Yield latency thresholds at which the histogram has no bucket."""
    edges = sorted({float(labels.get("le", "inf")) for labels in samples})
    slos: dict[Duration, list[str]] = {}
    for slo in plan.slos:
        if slo.source == HTTP_SOURCE and slo.threshold:
            slos.setdefault(slo.threshold, []).append(slo.name)
    for limit, affected in slos.items():
        seconds = float(limit.seconds)
        if seconds in edges:
            continue
        below = [edge for edge in edges if edge < seconds][-1:]
        above = [edge for edge in edges if edge > seconds][:1]
        nearest = " and ".join(f"{edge:g}" for edge in below + above)
        message = f"{series} has no bucket at {limit.text}; the nearest are {nearest}"
        yield problem(
            f"{WHERE}: {affected[0]}" + (f" and {len(affected) - 1} more" if affected[1:] else ""),
            message,
            f"give the histogram the bucket {format_decimal(limit.seconds)}, or change `threshold`",
        )


def check_platform(plan: Plan, page: Page) -> Iterator[Problem]:
    """Yield jobs and dependencies that only one of page and catalogue has."""
    for key, series, label, ids in of_platform(plan):
        seen = {labels.get(label, "") for labels in page.samples.get(series, [])}
        for one in sorted(seen - set(ids)):
            message = f"{series} counts {one!r}, which the catalogue does not declare"
            yield problem(f"{WHERE}: {key}", message, f"declare it under {key}")
        for one in sorted(set(ids) - seen):
            message = f"nothing counts it: {series} has no {label}={one!r}"
            fix = "let the service register it, or remove it from the catalogue"
            yield problem(f"{WHERE}: {key}.{one}", message, fix)


def problem(where: str, message: str, fix: str) -> Problem:
    """Return a problem of this check."""
    return Problem(where, message, fix, "metrics")


def note(where: str, message: str, fix: str) -> Problem:
    """Return a note of this check."""
    return Note(where, message, fix, "metrics")
