"""The dashboards of a plan: the panels of each board, with their queries.

The package `grafana` turns them into Grafana's JSON; console and load report draw them as SVG.
"""

from dataclasses import replace
from decimal import Decimal

from observability.generate.dashboards import dependencies
from observability.generate.dashboards.panel_builders import (
    FINE_RATIO,
    GOOD_RESPONSES,
    RATE_INTERVAL,
    alert_annotations,
    budget_steps,
    burn_rates,
    failing_ratio,
    latency_lines,
    legend,
    lines,
    quantile_of,
    quantile_queries,
    rate,
    stat,
    sum_query,
    table,
    threshold_line,
    traffic,
    worker_resources,
)
from observability.lib.panels import (
    BAD,
    GOOD,
    LOGS,
    WARN,
    Board,
    Kind,
    Panel,
    Query,
    Row,
    Unit,
    Variable,
)
from observability.lib.promql import burn_rate, firing, quote, selector
from observability.lib.templates import fill
from observability.spec import names
from observability.spec.board_slugs import (
    JOBS,
    LOAD,
    LOG,
    OVERVIEW,
    ROUTES,
    RUNTIME,
    SLO,
)
from observability.spec.plan import (
    FRESHNESS,
    JOB_SOURCE,
    LATENCY,
    LONG_PACE,
    SHORT_WINDOW,
    Plan,
    Tier,
)
from observability.spec.quantities import format_decimal

# Shows a JSON line as a sentence with its most useful fields, and any other line as it is.
LINE_FORMAT = """
{{if .message}}{{.message}}
{{with .method}} {{.}}{{end}}
{{with .path}} {{.}}{{end}}
{{with .status}} {{.}}{{end}}
{{with .job}} {{.}}{{end}}
{{with .node}} {{.}}{{end}}
{{with .exc_info}} {{.}}{{end}}
{{with .duration_ms}} in {{.}} ms{{end}}
{{else}}{{__line__}}{{end}}
""".replace("\n", "")
STREAMS = '{<<LOG_SERVICE>>=<<service>>, <<LOG_PROGRAM>>=~"$program", <<LOG_LEVEL>>=~"$level"}'
SEARCH = """
<<streams>>
| <<request_id>>=~"$request.*"
|~ "(?i)$text"
| json
| drop __error__, __error_details__
| line_format `<<line_format>>`
""".strip().replace("\n", " ")


def boards(plan: Plan) -> tuple[Board, ...]:
    """Return every dashboard, in the order in which people read them."""
    return (
        overview(plan),
        slo(plan),
        routes(plan),
        dependencies.board(plan),
        runtime(plan),
        jobs(plan),
        logs(plan),
        load(plan),
    )


def slowest(plan: Plan) -> float:
    """Return the burn rate at which the slowest tier pages."""
    return min(
        float(c.factor)
        for tier in plan.tiers
        if tier.severity == plan.paging_severity
        for c in tier.conditions[:1]
        if c.factor
    )


def burn_steps(plan: Plan) -> tuple[tuple[float, str], ...]:
    """Return the colours of a burn rate: good up to 1, bad from the slowest burn that pages."""
    return (0.0, GOOD), (1.0, WARN), (slowest(plan), BAD)


def overview(plan: Plan) -> Board:
    period, left = plan.period.name, names.BUDGET_LEFT
    loud = firing(
        severity="~"
        + "|".join(
            severity for severity in plan.policy.severities if severity != plan.heartbeat_severity
        )
    )
    now = Row(
        "Now",
        (
            stat(
                "Paging",
                "Alerts that somebody is being called for.",
                Unit.NUMBER,
                f"count({firing(severity=plan.paging_severity)}) or vector(0)",
                (0, GOOD),
                (1, BAD),
            ),
            stat(
                "Broken SLOs",
                f"Promises that are broken over {period}.",
                Unit.NUMBER,
                f"count({left} < 0) or vector(0)",
                (0, GOOD),
                (1, BAD),
            ),
            stat(
                "Least budget",
                f"The smallest of all SLOs over {period}.",
                Unit.RATIO,
                f"min({left})",
                *budget_steps(),
            ),
            stat(
                "Requests",
                "Requests that the API answered, of all routes.",
                Unit.REQUESTS,
                f"sum({rate(names.HTTP_REQUESTS + '_total')})",
            ),
            stat(
                "Failing",
                "Share of requests that end in 5xx.",
                Unit.RATIO,
                failing_ratio(".*"),
                (0, GOOD),
                (0.001, WARN),
                (0.01, BAD),
            ),
            stat(
                "p95",
                "95 of 100 good answers took no longer than this.",
                Unit.SECONDS,
                quantile_of(Decimal("0.95"), names.HTTP_DURATION, route="~.*", **GOOD_RESPONSES),
                *latency_steps(plan),
            ),
        ),
    )
    about = (
        f"Every promise with what was measured over {period}; budget left is 100 % untouched, "
        "negative when the promise is broken. "
        "Burn is of the last 5 minutes: 1 spends the budget exactly within the period."
    )
    promises = (
        table(
            "SLOs",
            about,
            Unit.RATIO,
            Query(
                f"max by ({names.SLO}) ({names.OBJECTIVE})", "goal", Unit.RATIO, decimals=FINE_RATIO
            ),
            Query(
                f"max by ({names.SLO}) (1 - {names.error_ratio(period)})",
                "measured",
                Unit.RATIO,
                decimals=FINE_RATIO,
            ),
            Query(f"max by ({names.SLO}) ({left})", "budget left", Unit.RATIO, gauge=True),
            Query(f"max by ({names.SLO}) ({burn_rate(SHORT_WINDOW)})", "burn", Unit.TIMES),
            width=16,
            height=20,
            steps=budget_steps(),
            key=names.SLO,
            link=SLO,
            sort_by=("-burn", "budget left"),
        ),
        table(
            "Firing",
            "What fires now; the watchdog, which always does, is left out.",
            Unit.NUMBER,
            Query(f"count by (alertname, {names.SEVERITY}, {names.SLO}) ({loud})", "alerts"),
            width=8,
            height=10,
            key=f"alertname,{names.SEVERITY},{names.SLO}",
            expects_data=False,
            no_data_text="nothing fires",
        ),
        burn_rates(width=8, height=10),
    )
    return Board(
        OVERVIEW,
        "Overview",
        "What is promised, what is kept, and what is paging",
        (now, Row("Promises", promises), Row("Traffic", traffic(".*"))),
        annotations=alert_annotations(plan),
    )


def latency_steps(plan: Plan) -> tuple[tuple[float, str], ...]:
    edges = sorted(
        {float(slo.threshold.seconds) for slo in plan.slos if slo.sli == LATENCY and slo.threshold}
    )
    return (0.0, GOOD), *((edge, WARN if edge != edges[-1] else BAD) for edge in edges)


def slo(plan: Plan) -> Board:
    mine = f'{{{names.SLO}="$slo"}}'
    objective, left = names.OBJECTIVE + mine, names.BUDGET_LEFT + mine
    budget = f"on ({names.SLO}) (1 - {objective})"
    windows = [w for w in plan.windows if w.pace != LONG_PACE]
    slow = windows[-1].name
    facts = Row(
        "Promise",
        (
            stat(
                "Goal",
                "The promised share of good events.",
                Unit.RATIO,
                objective,
                decimals=FINE_RATIO,
            ),
            stat(
                "Measured",
                f"The share of good events over {plan.period.name}.",
                Unit.RATIO,
                f"1 - {names.error_ratio(plan.period.name)}{mine}",
                decimals=FINE_RATIO,
            ),
            stat(
                "Budget left",
                "1 is untouched, 0 spent, less than 0 a broken promise.",
                Unit.RATIO,
                left,
                *budget_steps(),
            ),
            stat(
                "Burn rate",
                "Of the last 5 minutes; 1 spends the budget exactly within the period.",
                Unit.TIMES,
                f"{names.error_ratio(SHORT_WINDOW)}{mine} / {budget}",
                *burn_steps(plan),
                expects_data=False,
            ),
            stat(
                "Budget gone in",
                f"At the pace of the last {slow}; a dash while nothing burns.",
                Unit.SECONDS,
                f"clamp_min({left}, 0) * {budget} * {format_decimal(plan.period.seconds)}"
                f" / on ({names.SLO}) ({names.error_ratio(slow)}{mine} > 0)",
                expects_data=False,
                no_data_text="–",
            ),
            stat(
                "Events",
                "Events per second over the last 5 minutes.",
                Unit.PER_SECOND,
                names.total_rate(SHORT_WINDOW) + mine,
                expects_data=False,
            ),
        ),
    )
    burn_lines = [
        Query(f"{names.error_ratio(w.name)}{mine} / {budget}", f"last {w.name}") for w in windows
    ]
    limits = (limit(plan, tier, objective, budget) for tier in factors(plan))
    history = Row(
        "Budget and burn",
        (
            lines(
                "Budget burn-down",
                f"What is left of the budget of {plan.period.name}; below 0 the promise is broken.",
                Unit.RATIO,
                Query(left, "budget left"),
                Query("vector(0)", "spent", is_threshold=True, colour=BAD),
                axis_max=1,
                axis_soft_max=1,
            ),
            lines(
                "Burn rates and the tiers' lines",
                "Bad share ÷ budget in each window. "
                "A tier fires when its windows are above its line for long enough (policy.yaml).",
                Unit.TIMES,
                *burn_lines,
                *limits,
                expects_data=False,
                axis_soft_max=slowest(plan),
            ),
            lines(
                "Events and bad events",
                "Events per second, and those that broke the promise "
                "(seconds, for freshness and probes).",
                Unit.PER_SECOND,
                Query(names.total_rate(SHORT_WINDOW) + mine, "all"),
                Query(names.bad_rate(SHORT_WINDOW) + mine, "bad", colour=BAD),
                expects_data=False,
            ),
            table(
                "Next steps",
                "What the person on call does first; the runbook has more.",
                Unit.TEXT,
                Query(names.NEXT_STEPS_INFO + mine, ""),
                key=names.NEXT_STEPS,
            ),
        ),
    )
    return Board(
        SLO,
        "SLO detail",
        "One promise: its budget, how fast it burns, and which alerts that means",
        (facts, history),
        (Variable("slo", "SLO", f"label_values({names.OBJECTIVE}, {names.SLO})"),),
        alert_annotations(
            plan, *sorted({tier.severity for tier in plan.tiers}), **{names.SLO: "$slo"}
        ),
        time_from="now-6h",
    )


def factors(plan: Plan) -> list[Tier]:
    """Return the tiers whose line is a multiple of the budget."""
    return [tier for tier in plan.tiers if tier.conditions[0].factor]


def limit(plan: Plan, tier: Tier, objective: str, budget: str) -> Query:
    """Return the line of the burn rate above which the tier may fire for the chosen SLO."""
    share = f"{format_decimal(tier.conditions[0].factor or Decimal(0))} * (1 - {objective})"
    expr = f"clamp_max({share}, {format_decimal(plan.policy.max_threshold)}) / {budget}"
    return Query(
        expr,
        f"{tier.name} {tier.severity}s",
        is_threshold=True,
        colour=BAD if tier.severity == plan.paging_severity else WARN,
    )


def routes(plan: Plan) -> Board:
    per = legend(names.ROUTE)
    unhandled = selector(names.HTTP_EXCEPTIONS + "_total", route="~$route")
    codes = f"sum by ({names.CODE}) ({rate(names.HTTP_REQUESTS + '_total', route='~$route')})"
    worst = selector(names.HTTP_REQUESTS + "_total", code="~[45]..", route="~$route")
    durations = quantile_queries(
        names.HTTP_DURATION, over=SHORT_WINDOW, by=names.ROUTE, route="~.*", **GOOD_RESPONSES
    )
    everything = (
        table(
            "Routes",
            "Rate, errors and duration of every route over the last minutes.",
            Unit.NUMBER,
            Query(
                f"sum by ({names.ROUTE}) ({rate(names.HTTP_REQUESTS + '_total', SHORT_WINDOW)})",
                "requests/s",
                Unit.REQUESTS,
            ),
            Query(failing_ratio(".*", over=SHORT_WINDOW, by=names.ROUTE), "failing", Unit.RATIO),
            *(replace(query, unit=Unit.SECONDS) for query in durations),
            width=16,
            height=11,
            key=names.ROUTE,
            link=ROUTES,
            sort_by=("-requests/s",),
        ),
        table(
            "Top errors",
            "Which answers of 4xx and 5xx there were most of, over the last hour.",
            Unit.NUMBER,
            Query(
                f"topk(10, sum by ({names.ROUTE}, {names.CODE}) (increase({worst}[1h])) >= 1)",
                "answers",
                decimals=0,
            ),
            width=8,
            height=11,
            key=f"{names.ROUTE},{names.CODE}",
            expects_data=False,
            no_data_text="none",
        ),
    )
    detail = (
        lines(
            "Rate by status",
            "Requests answered, by exact status.",
            Unit.REQUESTS,
            Query(codes, legend(names.CODE)),
            width=8,
            stacked=True,
        ),
        lines(
            "Errors",
            "Share of requests that ended in 5xx.",
            Unit.RATIO,
            Query(failing_ratio("$route", by=names.ROUTE), per),
            width=8,
        ),
        lines(
            "Unhandled exceptions",
            "So far, by class; the log has their tracebacks.",
            Unit.NUMBER,
            Query(
                f"sum by ({names.ROUTE}, {names.TYPE}) ({unhandled}) > 0",
                legend(names.ROUTE, names.TYPE),
            ),
            width=8,
            expects_data=False,
            no_data_text="none",
        ),
        lines(
            "Duration",
            "Good answers, from dispatch to answer; the dashed lines are what was promised.",
            Unit.SECONDS,
            *quantile_queries(names.HTTP_DURATION, route="~$route", **GOOD_RESPONSES),
            *latency_lines(plan),
        ),
        Panel(
            "Duration, every answer",
            "How many answers took how long.",
            Kind.HEATMAP,
            Unit.SECONDS,
            (
                Query(
                    "sum by (le) (increase("
                    f"{selector(names.HTTP_DURATION + '_bucket', route='~$route')}[{RATE_INTERVAL}]))",
                    "{{le}}",
                ),
            ),
        ),
    )
    chosen = Variable(
        "route", "Route", f"label_values({names.HTTP_DURATION}_count, {names.ROUTE})", multi=True
    )
    return Board(
        ROUTES,
        "Routes",
        "Rate, errors and duration (RED) of every route",
        (Row("All routes", everything), Row("Chosen: $route", detail)),
        (chosen,),
        alert_annotations(plan, **{names.SUBJECT: "~$route"}),
    )


def runtime(_: Plan) -> Board:
    job, group, process = legend("job"), legend("rule_group"), legend(names.INSTANCE)
    elsewhere = {
        "expects_data": False,
        "no_data_text": "in containers alone",
    }  # the native stack has neither
    return Board(
        RUNTIME,
        "Runtime",
        "What the API and its watchers cost",
        (
            Row(
                "The API",
                (
                    *worker_resources(width=6),
                    lines(
                        "Workers",
                        "Processes that answer requests or sync.",
                        Unit.NUMBER,
                        Query(names.WORKERS, process),
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
            ),
            Row(
                "Gateway and PostgreSQL, in containers",
                (
                    lines(
                        "Answers at the gateway",
                        "What callers got, by class; what the gateway itself answered is in it.",
                        Unit.REQUESTS,
                        Query(
                            f"sum by ({names.CODE}) "
                            f"({rate(names.GATEWAY_RESPONSES, proxy=names.GATEWAY)}) > 0",
                            legend(names.CODE),
                        ),
                        width=8,
                        stacked=True,
                        **elsewhere,
                    ),
                    lines(
                        "Replicas of the API",
                        "As many as the gateway finds to be ready, and to live.",
                        Unit.NUMBER,
                        Query(
                            f"max by ({names.PROXY}) ({names.GATEWAY_SERVERS})", legend(names.PROXY)
                        ),
                        width=8,
                        axis_soft_max=1,
                        **elsewhere,
                    ),
                    lines(
                        "Connections to PostgreSQL",
                        "By what they are doing.",
                        Unit.NUMBER,
                        sum_query(names.POSTGRES_CONNECTIONS, names.STATE),
                        width=8,
                        axis_soft_max=1,
                        **elsewhere,
                    ),
                ),
            ),
            Row(
                "Prometheus and Alertmanager",
                (
                    lines(
                        "Scrapes",
                        "How long each target takes to answer; "
                        "a scrape that is slow costs somebody.",
                        Unit.SECONDS,
                        Query(f"max by (job) ({names.SCRAPE_SECONDS})", job),
                        width=8,
                    ),
                    lines(
                        "Rules",
                        "How long each group of rules takes; it must stay below its interval.",
                        Unit.SECONDS,
                        Query(
                            f"max by (rule_group) (label_replace({names.RULE_SECONDS}, "
                            '"rule_group", "$1", "rule_group", ".*;(.*)"))',
                            group,
                        ),
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
                        Query(f"max by (job) ({names.PROCESS_MEMORY})", job),
                    ),
                    lines(
                        "Notifications",
                        "Delivered and failed notifications, by integration.",
                        Unit.PER_SECOND,
                        Query(
                            f"sum by (integration) ({rate(names.NOTIFICATIONS)}) > 0",
                            "{{integration}}",
                        ),
                        Query(
                            f"sum by (integration) ({rate(names.NOTIFICATIONS_FAILED)}) > 0",
                            "{{integration}} failed",
                            colour=BAD,
                        ),
                        expects_data=False,
                    ),
                ),
            ),
        ),
    )


def jobs(plan: Plan) -> Board:
    task, limits = (
        legend(names.JOB),
        map(threshold_line, plan.slos_by_threshold(JOB_SOURCE, FRESHNESS)),
    )
    probes = f"sum by ({names.ROUTE}, {names.OUTCOME}) ({rate(names.PROBES + '_total')})"
    return Board(
        JOBS,
        "Nodes and jobs",
        "Whether readings arrive: age of the last sync, how far behind it is, and what was stored",
        (
            Row(
                "Jobs",
                (
                    lines(
                        "Age of the last success",
                        "How long ago each job last succeeded.",
                        Unit.SECONDS,
                        Query(f"time() - max by ({names.JOB}) ({names.JOB_LAST_SUCCESS})", task),
                        *limits,
                    ),
                    lines(
                        "Sync lag",
                        "Age of the newest reading of the node that is furthest behind.",
                        Unit.SECONDS,
                        Query(f"time() - min by ({names.JOB}) ({names.JOB_REACHED})", task),
                    ),
                    lines(
                        "Runs",
                        "Runs by outcome, per minute.",
                        Unit.NUMBER,
                        Query(
                            f"60 * sum by ({names.JOB}, {names.OUTCOME}) "
                            f"({rate(names.JOB_RUNS + '_total', SHORT_WINDOW)})",
                            legend(names.JOB, names.OUTCOME),
                        ),
                    ),
                    lines(
                        "Readings stored",
                        "New readings per second that the job stored.",
                        Unit.PER_SECOND,
                        Query(
                            f"sum by ({names.JOB}) "
                            f"({rate(names.JOB_STORED + '_total', SHORT_WINDOW)})",
                            task,
                        ),
                    ),
                    lines(
                        "Waiting and failed",
                        "Deliveries in the outbox, and work that failed for good.",
                        Unit.NUMBER,
                        Query(f"max({names.DELIVERIES_PENDING})", "deliveries waiting"),
                        Query(
                            f"max by ({names.JOB}) ({names.DEAD_LETTERS})",
                            f"dead letters, {task}",
                            colour=BAD,
                        ),
                        width=24,
                        axis_soft_max=5,
                    ),
                ),
            ),
            Row(
                "From outside",
                (
                    lines(
                        "Probes",
                        "Probes per second, by route and outcome.",
                        Unit.PER_SECOND,
                        Query(probes, legend(names.ROUTE, names.OUTCOME)),
                    ),
                    lines(
                        "Age of the last answer",
                        "How long ago each probed route last answered.",
                        Unit.SECONDS,
                        Query(
                            f"time() - max by ({names.ROUTE}) ({names.PROBE_LAST_SUCCESS})",
                            legend(names.ROUTE),
                        ),
                    ),
                ),
            ),
        ),
    )


def logs(plan: Plan) -> Board:
    streams = fill(STREAMS, service=quote(plan.service))
    request_id = names.LOG_IDS[0]
    search = fill(SEARCH, streams=streams, request_id=request_id, line_format=LINE_FORMAT)

    def volume(title: str, label: str) -> Panel:
        query = Query(f"sum by ({label}) (rate({streams}[$__auto]))", legend(label))
        return lines(title, "Lines per second.", Unit.PER_SECOND, query, stacked=True, source=LOGS)

    about = (
        "Newest first; a line unfolds to its fields: request_id finds all lines of the same "
        "request, trace_id opens its trace."
    )
    return Board(
        LOG,
        "Logs",
        "Every line that the processes wrote, by level, program and request",
        (
            Row(
                "How many",
                (
                    volume("Lines by level", names.LOG_LEVEL),
                    volume("Lines by program", names.LOG_PROGRAM),
                ),
            ),
            Row(
                "Which",
                (
                    Panel(
                        "Lines",
                        about,
                        Kind.LOGS,
                        Unit.TEXT,
                        (Query(search, ""),),
                        width=24,
                        height=18,
                        source=LOGS,
                    ),
                ),
            ),
        ),
        (
            Variable("program", "Program", values=names.LOG_PROGRAMS, multi=True),
            Variable(
                "level",
                "Level",
                values=(*reversed(names.LOG_LEVELS), names.LOG_UNKNOWN),
                multi=True,
            ),
            Variable("request", "Request id"),
            Variable("text", "Text"),
        ),
    )


def load(plan: Plan) -> Board:
    return Board(
        LOAD,
        "Load run",
        "The server's side of a load run: choose the run's time, as its report links it",
        (
            Row("Answers", traffic(".*")),
            Row(
                "Duration and cost",
                (
                    lines(
                        "Duration",
                        "Good answers of all routes; dashed is what was promised.",
                        Unit.SECONDS,
                        *quantile_queries(names.HTTP_DURATION, **GOOD_RESPONSES),
                        *(
                            replace(q, expr=q.expr.replace("$route", ".*"))
                            for q in latency_lines(plan)
                        ),
                    ),
                    lines(
                        "p95 by route",
                        "95 of 100 good answers of the route took no longer than this.",
                        Unit.SECONDS,
                        Query(
                            quantile_of(
                                Decimal("0.95"),
                                names.HTTP_DURATION,
                                by=names.ROUTE,
                                route="~.*",
                                **GOOD_RESPONSES,
                            )
                            + " > 0",
                            legend(names.ROUTE),
                        ),
                    ),
                    *worker_resources(width=12),
                    lines(
                        "Database time",
                        "How long successful statements took.",
                        Unit.SECONDS,
                        *quantile_queries(
                            names.DEPENDENCY_DURATION, dependency="database", outcome="ok"
                        ),
                    ),
                    burn_rates(),
                ),
            ),
        ),
        annotations=alert_annotations(plan),
        time_from="now-15m",
    )
