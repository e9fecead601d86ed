"""The runtime board: what the API and its watchers cost."""

from observability.generate.dashboards.shared_panels import worker_resources
from observability.lib.panel_builders import lines
from observability.lib.panel_queries import legend, sum_query
from observability.lib.panels import BAD, Board, Query, Row, Unit
from observability.lib.promql import rate
from observability.spec import board_slugs, names
from observability.spec.plan import Plan

# The native stack has neither gateway nor PostgreSQL.
IN_CONTAINERS = {"expects_data": False, "no_data_text": "in containers alone"}
API = Row(
    "The API",
    (
        *worker_resources(width=6),
        lines(
            "Workers",
            "Processes that answer requests or sync.",
            Unit.NUMBER,
            Query(names.WORKERS, legend(names.INSTANCE)),
            width=6,
        ),
        lines(
            "Limits without their store",
            "Requests that workers counted alone: the shared store was away.",
            Unit.REQUESTS,
            Query(f"sum({rate(names.LIMITER_FALLBACKS + '_total')})", "in memory"),
            width=6,
            axis_soft_max=1,
        ),
    ),
)
GATEWAY_RESPONSES = rate(names.GATEWAY_RESPONSES, proxy=names.GATEWAY)
GATEWAY_AND_POSTGRES = Row(
    "Gateway and PostgreSQL, in containers",
    (
        lines(
            "Answers at the gateway",
            "What callers got, by class; what the gateway itself answered is in it.",
            Unit.REQUESTS,
            Query(f"sum by ({names.CODE}) ({GATEWAY_RESPONSES}) > 0", legend(names.CODE)),
            width=8,
            stacked=True,
            **IN_CONTAINERS,
        ),
        lines(
            "Replicas of the API",
            "As many as the gateway finds to be ready, and to live.",
            Unit.NUMBER,
            Query(f"max by ({names.PROXY}) ({names.GATEWAY_SERVERS})", legend(names.PROXY)),
            width=8,
            axis_soft_max=1,
            **IN_CONTAINERS,
        ),
        lines(
            "Connections to PostgreSQL",
            "By what they are doing.",
            Unit.NUMBER,
            sum_query(names.POSTGRES_CONNECTIONS, names.STATE),
            width=8,
            axis_soft_max=1,
            **IN_CONTAINERS,
        ),
    ),
)
# Prometheus' label has the path of the rule file before the name of the group.
RULE_SECONDS = f'label_replace({names.RULE_SECONDS}, "rule_group", "$1", "rule_group", ".*;(.*)")'
WATCHERS = Row(
    "Prometheus and Alertmanager",
    (
        lines(
            "Scrapes",
            "How long each target takes to answer; a scrape that is slow costs somebody.",
            Unit.SECONDS,
            Query(f"max by (job) ({names.SCRAPE_SECONDS})", legend("job")),
            width=8,
        ),
        lines(
            "Rules",
            "How long each group of rules takes; it must stay below its interval.",
            Unit.SECONDS,
            Query(f"max by (rule_group) ({RULE_SECONDS})", legend("rule_group")),
            width=8,
        ),
        lines(
            "Series",
            "Series in memory, and samples that one scrape brings.",
            Unit.NUMBER,
            Query(names.HEAD_SERIES, "series"),
            Query(f"sum({names.SCRAPE_SAMPLES})", "samples per scrape"),
            width=8,
        ),
        lines(
            "Memory of the servers",
            "Resident memory of Prometheus and Alertmanager.",
            Unit.BYTES,
            Query(f"max by (job) ({names.PROCESS_MEMORY})", legend("job")),
        ),
        lines(
            "Notifications",
            "Delivered and failed notifications, by integration.",
            Unit.PER_SECOND,
            Query(
                f"sum by (integration) ({rate(names.NOTIFICATIONS)}) > 0",
                legend("integration"),
            ),
            Query(
                f"sum by (integration) ({rate(names.NOTIFICATIONS_FAILED)}) > 0",
                f"{legend('integration')} failed",
                colour=BAD,
            ),
            expects_data=False,
        ),
    ),
)


def board(_: Plan) -> Board:
    """Return the board, which is the same for every plan."""
    return Board(
        board_slugs.RUNTIME,
        "Runtime",
        "What the API and its watchers cost",
        (API, GATEWAY_AND_POSTGRES, WATCHERS),
    )
