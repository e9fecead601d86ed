"""The jobs board: whether readings arrive, and whether the API answers from outside."""

from observability.lib.panel_builders import lines
from observability.lib.panel_queries import legend, sum_query
from observability.lib.panels import BAD, Board, Query, Row, Unit
from observability.lib.promql import rate
from observability.sli import freshness, probe
from observability.spec import board_slugs, names
from observability.spec.plan import SHORT_WINDOW, Plan

RUNS = rate(names.JOB_RUNS + "_total", SHORT_WINDOW)
RUNS_AND_RESULTS = (
    lines(
        "Sync lag",
        "Age of the newest reading of the node that is furthest behind.",
        Unit.SECONDS,
        Query(f"time() - min by ({names.JOB}) ({names.JOB_REACHED})", legend(names.JOB)),
    ),
    lines(
        "Runs",
        "Runs by outcome, per minute.",
        Unit.NUMBER,
        Query(
            f"60 * sum by ({names.JOB}, {names.OUTCOME}) ({RUNS})",
            legend(names.JOB, names.OUTCOME),
        ),
    ),
    lines(
        "Readings stored",
        "New readings per second that the job stored.",
        Unit.PER_SECOND,
        sum_query(rate(names.JOB_STORED + "_total", SHORT_WINDOW), names.JOB),
    ),
    lines(
        "Waiting and failed",
        "Deliveries in the outbox, and work that failed for good.",
        Unit.NUMBER,
        Query(f"max({names.DELIVERIES_PENDING})", "deliveries waiting"),
        Query(
            f"max by ({names.JOB}) ({names.DEAD_LETTERS})",
            f"dead letters, {legend(names.JOB)}",
            colour=BAD,
        ),
        width=24,
        axis_soft_max=5,
    ),
)
PROBES = (
    lines(
        "Probes",
        "Probes per second, by route and outcome.",
        Unit.PER_SECOND,
        sum_query(rate(names.PROBES + "_total"), names.ROUTE, names.OUTCOME),
    ),
    probe.age_panel(),
)


def board(plan: Plan) -> Board:
    """Return the board of jobs and probes."""
    return Board(
        board_slugs.JOBS,
        "Nodes and jobs",
        "Whether readings arrive: age of the last sync, how far behind it is, and what was stored",
        (Row("Jobs", (freshness.age_panel(plan), *RUNS_AND_RESULTS)), Row("From outside", PROBES)),
    )
