"""The dependencies board: calls to what the API needs, and how it copes when they fail."""

from observability.lib.panel_builders import lines
from observability.lib.panel_queries import legend, quantile_queries, query
from observability.lib.panels import BAD, Board, Panel, Query, Row, Unit
from observability.lib.promql import RATE_INTERVAL, rate
from observability.sli.latency import dependency_thresholds
from observability.spec import board_slugs, names
from observability.spec.plan import SHORT_WINDOW, Plan

RESILIENCE = (
    lines(
        "Circuit breaker",
        "State as the last caller saw it: 0 closed, 1 half open, 2 open (no calls).",
        Unit.NUMBER,
        query("max by (<<DEPENDENCY>>) (<<BREAKER>>)", "{{<<DEPENDENCY>>}}"),
        width=8,
        axis_soft_max=2,
    ),
    lines(
        "Refused calls and retries",
        "Calls that the breaker, the bulkhead or the deadline refused, and retries.",
        Unit.PER_SECOND,
        query(
            "sum by (<<REASON>>) (rate(<<REFUSED>>_total[$__rate_interval]))",
            "refused: {{<<REASON>>}}",
        ),
        query(
            "sum by (<<DEPENDENCY>>) (rate(<<RETRIES>>_total[$__rate_interval]))",
            "retried: {{<<DEPENDENCY>>}}",
        ),
        width=8,
        axis_soft_max=1,
    ),
    lines(
        "Cache",
        "Lookups by result (fresh, stale or missing), and failures of Redis.",
        Unit.PER_SECOND,
        query(
            "sum by (<<RESULT>>) (rate(<<CACHE_ANSWERS>>_total[$__rate_interval]))",
            "{{<<RESULT>>}}",
        ),
        query("sum(rate(<<SHARED_FAILURES>>_total[$__rate_interval]))", "Redis errors"),
        width=8,
    ),
)
POOL_AND_COLLECTOR = (
    lines(
        "Connections",
        "Connections in the API's database pool, by state.",
        Unit.NUMBER,
        query("sum by (<<STATE>>) (<<POOL>>)", "{{<<STATE>>}}"),
    ),
    lines(
        "Spans",
        "Spans sent to the trace collector, or dropped because it did not accept them.",
        Unit.PER_SECOND,
        query(
            "sum by (<<OUTCOME>>) (rate(<<TRACE_SPANS>>_total[$__rate_interval]))",
            "{{<<OUTCOME>>}}",
        ),
    ),
)


def board(plan: Plan) -> Board:
    """Return the board with a row for each dependency, without any row when there is none."""
    rows = [Row(name.capitalize(), calls(plan, name)) for name in plan.dependencies]
    if rows:
        rows.append(Row("Resilience", RESILIENCE))
        rows.append(Row("Database pool and trace collector", POOL_AND_COLLECTOR))
    return Board(
        board_slugs.DEPENDENCIES,
        "Dependencies",
        "Calls to what the API needs: rate, errors and duration",
        tuple(rows),
    )


def calls(plan: Plan, dependency: str) -> tuple[Panel, ...]:
    """Return rate, errors and duration of the calls to one dependency."""
    # The API calls other hosts than the database only a few times a minute.
    window = RATE_INTERVAL if dependency == names.DATABASE else SHORT_WINDOW
    count = f"{names.DEPENDENCY_DURATION}_count"
    all_calls = rate(count, window, dependency=dependency)
    failed_calls = rate(count, window, dependency=dependency, outcome="error")
    return (
        lines(
            f"{dependency}: calls",
            "Calls per second, by outcome.",
            Unit.PER_SECOND,
            Query(f"sum by ({names.OUTCOME}) ({all_calls})", legend(names.OUTCOME)),
            width=8,
        ),
        lines(
            f"{dependency}: failing",
            "Ratio of calls that failed.",
            Unit.RATIO,
            Query(f"sum({failed_calls}) / (sum({all_calls}) > 0)", "failing", colour=BAD),
            width=8,
            expects_data=False,
        ),
        lines(
            f"{dependency}: duration",
            "Duration of successful calls; dashed lines are the objectives' thresholds.",
            Unit.SECONDS,
            *quantile_queries(
                names.DEPENDENCY_DURATION, over=window, dependency=dependency, outcome="ok"
            ),
            *dependency_thresholds(plan, dependency),
            width=8,
            expects_data=False,
        ),
    )
