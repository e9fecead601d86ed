"""The rules of a Prometheus that record what the catalogue says: promises, next steps, routes."""

from collections import defaultdict
from collections.abc import Iterator

from observability.generate.alert_rule import number_steps
from observability.lib.json_object import Json
from observability.sli import registry as sli
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.quantities import format_decimal

Rule = Json
ALWAYS = "vector(1)"


def record(name: str, expr: str, **labels: str) -> Rule:
    """Return a recording rule; `labels` are set on what it records."""
    return {"record": name, "expr": expr, "labels": labels}


def constants(plan: Plan) -> Iterator[Rule]:
    """Yield every SLO's objective as a constant series, and its next steps as a label of another.

    Each is a rule of its own: static labels cost much less than labels made by an expression.
    A server that has just started has no constants for up to a minute, so that only alerts and
    budgets need them.
    """
    for slo in plan.slos:
        labels = {
            names.SLO: slo.name,
            names.SUBJECT: slo.subject,
            names.SLI: slo.sli,
            names.OWNER: slo.owner,
            names.SCRAPE_JOB: sli.scrape_job(plan, slo),
            **dict(slo.labels),
            **{names.muted(severity): "true" for severity in slo.muted},
        }
        if slo.excluded_codes:
            labels[names.EXCLUDED_CODES] = ", ".join(slo.excluded_codes)
        yield record(names.OBJECTIVE, f"vector({format_decimal(slo.objective)})", **labels)
    for slo in plan.slos:
        labels = {names.SLO: slo.name, names.NEXT_STEPS: number_steps(slo.next_steps)}
        yield record(names.NEXT_STEPS_INFO, ALWAYS, **labels)
    for labels in route_labels(plan):
        yield record(names.ROUTE_INFO, ALWAYS, **labels)


def route_labels(plan: Plan) -> Iterator[dict[str, str]]:
    """Yield the labels by which metrics without route ids tell the requests of watched routes.

    Metrics with the same labels share them, and all ways of spelling.
    """
    watched = {subject for slo in plan.slos for subject in slo.subjects}
    signals_by_address = defaultdict(list)
    for signal in plan.signals.every():
        if signal.address:
            signals_by_address[signal.address].append(signal)
    for address, signals in signals_by_address.items():
        for route in plan.routes:
            paths = {path for signal in signals for path in route.spell(signal)}
            if route.id in watched:
                method = {signals[0].method: route.http.method} if signals[0].method else {}
                own = {names.SUBJECT: route.id, names.ADDRESS: ",".join(address)} | method
                yield from (own | {signals[0].path: path} for path in sorted(paths))
