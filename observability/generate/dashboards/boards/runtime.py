"""The runtime board: what the API and its watchers cost."""

from observability.generate.dashboards.shared_panels import worker_resources
from observability.lib.panel_builders import lines
from observability.lib.panel_queries import query
from observability.lib.panels import BAD, Board, Row, Unit
from observability.spec import board_slugs
from observability.spec.plan import GATEWAY_SOURCE, Plan

# The native stack has neither gateway nor PostgreSQL.
IN_CONTAINERS = {"expects_data": False, "no_data_text": "only in containers"}
API = Row(
    "The API",
    (
        *worker_resources(width=6),
        lines(
            "Workers",
            "Number of processes that answer requests or run jobs.",
            Unit.NUMBER,
            query("<<WORKERS>>", "{{<<INSTANCE>>}}"),
            width=6,
        ),
        lines(
            "Rate limits in memory",
            "Requests that a worker counted by itself, because the shared store was unavailable.",
            Unit.REQUESTS,
            query("sum(rate(<<LIMITER_FALLBACKS>>_total[$__rate_interval]))", "in memory"),
            width=6,
            axis_soft_max=1,
        ),
    ),
)
GATEWAY_RESPONSES = (
    'sum by (<<CODE>>) (rate(<<GATEWAY_RESPONSES>>{<<PROXY>>="<<GATEWAY>>"}[$__rate_interval])) > 0'
)
GATEWAY_AND_POSTGRES = Row(
    "Gateway and PostgreSQL (compose stack)",
    (
        lines(
            "Responses of the gateway",
            "Responses to callers by status class, including those of the gateway itself.",
            Unit.REQUESTS,
            query(GATEWAY_RESPONSES, "{{<<CODE>>}}"),
            width=8,
            stacked=True,
            **IN_CONTAINERS,
        ),
        lines(
            "API replicas",
            "Replicas that the gateway finds ready, and alive.",
            Unit.NUMBER,
            query(
                'max by (<<PROXY>>) (<<GATEWAY_SERVERS>>{<<PROXY>>=~"ready|living"})',
                "{{<<PROXY>>}}",
            ),
            width=8,
            axis_soft_max=1,
            **IN_CONTAINERS,
        ),
        lines(
            "Connections to PostgreSQL",
            "Connections by state.",
            Unit.NUMBER,
            query("sum by (<<STATE>>) (<<POSTGRES_CONNECTIONS>>)", "{{<<STATE>>}}"),
            width=8,
            axis_soft_max=1,
            **IN_CONTAINERS,
        ),
    ),
)
# Prometheus' label has the path of the rule file before the name of the group.
RULE_SECONDS = (
    "max by (rule_group) "
    '(label_replace(<<RULE_SECONDS>>, "rule_group", "$1", "rule_group", ".*;(.*)"))'
)
WATCHERS = Row(
    "Prometheus and Alertmanager",
    (
        lines(
            "Scrapes",
            "Duration of the scrape of each target, by job.",
            Unit.SECONDS,
            query("max by (job) (<<SCRAPE_SECONDS>>)", "{{job}}"),
            width=8,
        ),
        lines(
            "Rules",
            "Evaluation time of each group of rules; it must stay below the group's interval.",
            Unit.SECONDS,
            query(RULE_SECONDS, "{{rule_group}}"),
            width=8,
        ),
        lines(
            "Series",
            "Series in memory, and samples per scrape.",
            Unit.NUMBER,
            query("<<HEAD_SERIES>>", "series"),
            query("sum(<<SCRAPE_SAMPLES>>)", "samples per scrape"),
            width=8,
        ),
        lines(
            "Memory of the servers",
            "Resident memory of Prometheus and Alertmanager.",
            Unit.BYTES,
            query("max by (job) (<<PROCESS_MEMORY>>)", "{{job}}"),
        ),
        lines(
            "Notifications",
            "Notifications delivered and failed, by integration.",
            Unit.PER_SECOND,
            query(
                "sum by (integration) (rate(<<NOTIFICATIONS>>[$__rate_interval])) > 0",
                "{{integration}}",
            ),
            query(
                "sum by (integration) (rate(<<NOTIFICATIONS_FAILED>>[$__rate_interval])) > 0",
                "{{integration}} failed",
                colour=BAD,
            ),
            expects_data=False,
        ),
    ),
)


def board(plan: Plan) -> Board:
    """Return the board, with the servers in containers where the catalogue has a gateway."""
    rows = [API, WATCHERS]
    if GATEWAY_SOURCE in {slo.source for slo in plan.slos}:
        rows.insert(1, GATEWAY_AND_POSTGRES)
    return Board(
        board_slugs.RUNTIME,
        "Runtime",
        "Resources that the API and its monitoring use",
        tuple(rows),
    )
