"""The report of a load run, from what its clients counted and what Locust measured."""

from collections import Counter
from typing import Any

from locust.stats import RequestStats, StatsEntry

from loadtests import verdicts
from loadtests.tally import UNHANDLED, Tally

Row = dict[str, Any]
PERCENTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
NO_REQUESTS = {"requests": 0, "failed": 0, "rate": 0.0, **dict.fromkeys(PERCENTILES)}


def list_exceptions(tally: Tally, lost_workers: int) -> list[Row]:
    """Return what users and workers failed to do, the most frequent first."""
    counts = tally.exceptions.copy()
    if counts.keys() > {UNHANDLED}:
        del counts[UNHANDLED]  # Locust logs the others, too
    exceptions = list_counts(counts)
    if lost_workers:
        what = "no last report of a Locust worker, whose counts are missing"
        exceptions.append({"what": what, "count": lost_workers})
    return exceptions


def build_report(stats: RequestStats, scenarios: list[Row], tally: Tally, lost_workers: int) -> Row:
    """Return the report of the run as `make load` reads it."""
    return {
        "started": stats.start_time,
        "ended": stats.last_request_timestamp or stats.start_time,
        "total": read_figures(stats.total),
        "routes": [build_route_row(stats, scenario, tally) for scenario in scenarios],
        "errors": list_counts(tally.errors),
        "exceptions": list_exceptions(tally, lost_workers),
        "objectives": verdicts.judge(scenarios, tally),
    }


def list_counts(counter: "Counter[str]") -> list[Row]:
    """Return what was counted, the most frequent first."""
    return [{"what": what, "count": number} for what, number in counter.most_common()]


def build_route_row(stats: RequestStats, scenario: Row, tally: Tally) -> Row:
    """Return a route's numbers; `within` is its tightest latency promise in seconds."""
    name = scenario["id"]
    thresholds = [row["within"] for row in scenario["objectives"] if row["within"]]
    return {
        "route": name,
        "expect": scenario["expect"],
        "within": min(thresholds, default=None),
        "sent": tally.sent[name],
        "answered": tally.answered[name],
        "clients": read_figures(stats.entries.get((name, scenario["method"]))),
    }


def read_figures(entry: StatsEntry | None) -> Row:
    """Return Locust's own numbers, as its CSV files have them, with times in seconds."""
    if not entry or not entry.num_requests:
        return NO_REQUESTS
    numbers = {
        "requests": entry.num_requests,
        "failed": entry.num_failures,
        "rate": entry.total_rps,
    }
    for key, share in PERCENTILES.items():
        numbers[key] = entry.get_response_time_percentile(share) / 1000
    return numbers


def choose_exit_code(report: Row) -> int:
    """Return the exit code of the verdicts; a run with exceptions has failed.

    Its load is not that of the catalogue.
    """
    if report["exceptions"]:
        return 1
    return verdicts.choose_exit_code({row["verdict"] for row in report["objectives"]})
