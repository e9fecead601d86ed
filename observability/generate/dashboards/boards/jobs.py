"""The jobs board: whether jobs succeed in time, and whether the API answers from outside."""

from observability.lib.panel_builders import lines
from observability.lib.panel_queries import query
from observability.lib.panels import BAD, Board, Query, Row, Unit
from observability.lib.templates import fill
from observability.sli import freshness, probe
from observability.spec import board_slugs
from observability.spec.plan import SHORT_WINDOW, Plan

RUNS = "60 * sum by (<<JOB>>, <<OUTCOME>>) (rate(<<JOB_RUNS>>_total[<<window>>]))"
RUNS_AND_LETTERS = (
    lines(
        "Runs",
        "Runs by outcome, per minute.",
        Unit.NUMBER,
        Query(fill(RUNS, window=SHORT_WINDOW), fill("{{<<JOB>>}} {{<<OUTCOME>>}}")),
    ),
    lines(
        "Waiting and failed",
        "Deliveries in the outbox, and dead letters (work that failed permanently).",
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
    """Return the board of the jobs and probes that the catalogue declares."""
    rows = []
    if plan.jobs:
        rows.append(Row("Jobs", (freshness.age_panel(plan), *RUNS_AND_LETTERS)))
    if plan.probe_routes:
        rows.append(Row("Prober", PROBES))
    return Board(
        board_slugs.JOBS,
        "Jobs and probes",
        "Whether jobs succeed in time, and whether the API answers from outside",
        tuple(rows),
    )
