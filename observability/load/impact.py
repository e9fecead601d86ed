"""The impact of a load run: error budgets that it spent, alerts that fired, workers' resources."""

import math
from collections.abc import Iterator
from decimal import Decimal
from operator import itemgetter

from observability.lib.json_object import Json
from observability.lib.prometheus import ServicePrometheus
from observability.lib.promql import firing
from observability.load.server_counts import Increase
from observability.slo import queries, verdicts
from observability.spec import names
from observability.spec.plan import FINE_PACE, Plan, Window
from observability.spec.quantities import format_decimal

STATISTICS = ("min", "avg", "max")


def measure_impact(prometheus: ServicePrometheus, plan: Plan, increase: Increase) -> Json:
    """Return the budgets, the alerts and the resources of the workers in that time."""
    return {
        "budgets": list(measure_budgets(prometheus, plan, increase)),
        "alerts": list_alerts(prometheus, plan, increase),
        "workers": measure_workers(prometheus, plan, increase),
    }


def measure_budgets(
    prometheus: ServicePrometheus, plan: Plan, increase: Increase
) -> Iterator[Json]:
    """Yield each SLO's events of the run and the share of the period's budget that they spent.

    Freshness, probes and gauges count seconds. The budget is what the period allows: its events are
    those of the last period, which are estimated from the part of it that has data.
    """
    run = Window("run", Decimal(math.ceil(increase.end - increase.start)), FINE_PACE)
    total_expr, bad_expr = queries.total_and_bad_events(plan, run)
    counted = {slo: count for (slo,), count in increase.counters["total"].items()}
    counted_bad = {slo: count for (slo,), count in increase.counters["bad"].items()}
    totals = prometheus.query_by_label(total_expr, names.SLO, increase.end) | counted
    bads = prometheus.query_by_label(bad_expr, names.SLO, increase.end)
    bads |= dict.fromkeys(counted, 0.0) | counted_bad
    for slo, in_period, burn_rate in verdicts.count_events(plan, prometheus, plan.period):
        row = verdicts.judge(slo, in_period, burn_rate)
        total = totals.get(row.slo, 0.0)
        bad = bads.get(row.slo, 0.0)
        allowed = (1 - row.objective) * max(in_period.expected, total)
        spent = 0.0
        if allowed:
            spent = bad / allowed
        yield {
            "slo": row.slo,
            "total": total,
            "bad": bad,
            "allowed": allowed,
            "spent": spent,
            "left": row.budget_remaining,
        }


def list_alerts(prometheus: ServicePrometheus, plan: Plan, increase: Increase) -> list[Json]:
    """Return the alerts that fired, and for about how many seconds.

    The watchdog is left out: it always fires.
    """
    query = f"count_over_time({firing()}[{increase.span}])"
    rows = []
    for labels, evaluations in prometheus.query(query, increase.end):
        if labels["alertname"] == names.WATCHDOG_ALERT:
            continue
        row = {
            "alert": labels["alertname"],
            "slo": labels.get(names.SLO, ""),
            "severity": labels.get(names.SEVERITY, ""),
            "seconds": evaluations * float(plan.clock.evaluate),
        }
        rows.append(row)
    return sorted(rows, key=itemgetter("severity", "alert", "slo"))


def measure_workers(
    prometheus: ServicePrometheus, plan: Plan, increase: Increase
) -> dict[str, dict[str, float]]:
    """Return least, mean and most of what all workers together used.

    `cpu` is in seconds per second, `memory` in bytes.
    """
    scrape = format_decimal(plan.clock.scrape)
    rate_window = format_decimal(plan.clock.scrape * 3)
    expressions = {
        "cpu": f"sum(rate({names.WORKER_CPU}_total[{rate_window}s]))",
        "memory": f"sum({names.WORKER_MEMORY})",
    }
    resources: dict[str, dict[str, float]] = {}
    for resource, expr in expressions.items():
        resources[resource] = {}
        for statistic in STATISTICS:
            query = f"{statistic}_over_time(({expr})[{increase.span}:{scrape}s])"
            for _, value in prometheus.query(query, increase.end):
                resources[resource][statistic] = value
    return resources
