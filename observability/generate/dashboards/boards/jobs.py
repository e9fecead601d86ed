"""The jobs board: whether readings arrive, and whether the API answers from outside."""

from observability.lib.panel_builders import lines
from observability.lib.panel_queries import legend, query
from observability.lib.panels import BAD, Board, Query, Row, Unit
from observability.lib.templates import fill
from observability.sli import freshness, probe
from observability.spec import board_slugs, names
from observability.spec.plan import SHORT_WINDOW, Plan

RUNS = "60 * sum by (<<JOB>>, <<OUTCOME>>) (rate(<<JOB_RUNS>>_total[<<window>>]))"
STORED_READINGS = "sum by (<<JOB>>) (rate(<<JOB_STORED>>_total[<<window>>]))"
RUNS_AND_RESULTS = (
    lines(
        "Sync lag",
        "Age of the newest reading of the node that is furthest behind.",
        Unit.SECONDS,
        query("time() - min by (<<JOB>>) (<<JOB_REACHED>>)", "{{<<JOB>>}}"),
    ),
    lines(
        "Runs",
        "Runs by outcome, per minute.",
        Unit.NUMBER,
        Query(fill(RUNS, window=SHORT_WINDOW), fill("{{<<JOB>>}} {{<<OUTCOME>>}}")),
    ),
    lines(
        "Readings stored",
        "New readings per second that the job stored.",
        Unit.PER_SECOND,
        Query(fill(STORED_READINGS, window=SHORT_WINDOW), legend(names.JOB)),
    ),
    lines(
        "Waiting and failed",
        "Deliveries in the outbox, and work that failed for good.",
        Unit.NUMBER,
        query("max(<<DELIVERIES_PENDING>>)", "deliveries waiting"),
        query("max by (<<JOB>>) (<<DEAD_LETTERS>>)", "dead letters, {{<<JOB>>}}", colour=BAD),
        width=24,
        axis_soft_max=5,
    ),
)
PROBES = (
    lines(
        "Probes",
        "Probes per second, by route and outcome.",
        Unit.PER_SECOND,
        query(
            "sum by (<<ROUTE>>, <<OUTCOME>>) (rate(<<PROBES>>_total[$__rate_interval]))",
            "{{<<ROUTE>>}} {{<<OUTCOME>>}}",
        ),
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
