"""Names of every metric, label, recorded series, alert and scrape job that this project uses.

No other module writes such a name as a literal (tests/observability/spec/test_names.py holds that),
so that renaming one here renames it everywhere in Python. `make check` then lists the expressions
of the catalogue that still have the old name; tests/rules has it in its cases.
"""

# --- what the API and its helpers expose ---

HTTP_DURATION = "evara_http_request_duration_seconds"  # histogram: route, status (class)
HTTP_REQUESTS = "evara_http_requests"  # counter (exposed with _total): route, code (exact)
HTTP_EXCEPTIONS = "evara_http_unhandled_exceptions"  # counter (exposed with _total): route, type
DEPENDENCY_DURATION = "evara_dependency_call_duration_seconds"  # histogram: dependency, outcome
JOB_RUNS = "evara_job_runs"  # counter (exposed with _total): job, outcome
JOB_LAST_SUCCESS = "evara_job_last_success_timestamp_seconds"  # gauge: job
TRACE_SPANS = "evara_trace_spans"  # counter (exposed with _total): outcome
DELIVERIES_PENDING = "evara_deliveries_pending"  # gauge
DEAD_LETTERS = "evara_job_dead_letters"  # gauge: job
POOL = "evara_database_connections"  # gauge: state
LIMITER_FALLBACKS = "evara_limiter_fallbacks"  # counter (exposed with _total)
RETRIES = "evara_dependency_retries"  # counter (exposed with _total): dependency
REFUSED = "evara_dependency_refused_calls"  # counter (exposed with _total): dependency, reason
BREAKER = "evara_breaker_state"  # gauge: dependency; 0 closed, 1 half open, 2 open
CACHE_ANSWERS = "evara_cache_answers"  # counter (exposed with _total): result
SHARED_FAILURES = "evara_shared_store_failures"  # counter (exposed with _total)
PROBES = "evara_probes"  # counter (exposed with _total): route, outcome
PROBE_DURATION = "evara_probe_duration_seconds"  # histogram: route
PROBE_LAST_SUCCESS = "evara_probe_last_success_timestamp_seconds"  # gauge: route
INSTANCES_DECLARED = "evara_instances_declared"  # gauge: program
INSTANCES_PRESENT = "evara_instances_present"  # gauge: program; those that run and answer
WORKER_CPU = "evara_worker_cpu_seconds"  # counter (exposed with _total): role
WORKER_MEMORY = "evara_worker_resident_memory_bytes"  # gauge: role
WORKERS = "evara_worker_processes"  # gauge: role

HISTOGRAMS = (HTTP_DURATION, DEPENDENCY_DURATION, PROBE_DURATION)
COUNTERS = (
    HTTP_REQUESTS,
    HTTP_EXCEPTIONS,
    JOB_RUNS,
    LIMITER_FALLBACKS,
    TRACE_SPANS,
    PROBES,
    WORKER_CPU,
    RETRIES,
    REFUSED,
    CACHE_ANSWERS,
    SHARED_FAILURES,
)
GAUGES = (
    DELIVERIES_PENDING,
    DEAD_LETTERS,
    INSTANCES_DECLARED,
    INSTANCES_PRESENT,
    JOB_LAST_SUCCESS,
    POOL,
    PROBE_LAST_SUCCESS,
    WORKER_MEMORY,
    WORKERS,
    BREAKER,
)
EMITTED = {  # metric → its kind
    **dict.fromkeys(HISTOGRAMS, "histogram"),
    **dict.fromkeys(COUNTERS, "counter"),
    **dict.fromkeys(GAUGES, "gauge"),
}
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",), "gauge": ("",)}

# The prober exposes these; the API and its workers expose all others.
PROBER_METRICS = (
    PROBES,
    PROBE_DURATION,
    PROBE_LAST_SUCCESS,
    INSTANCES_DECLARED,
    INSTANCES_PRESENT,
)

# Series of the watchers themselves that guards and symptoms may read.
UP = "up"
ALERTS = "ALERTS"  # alertname, alertstate, labels of the alert: 1 while it is pending or firing
RULE_FAILURES = "prometheus_rule_evaluation_failures_total"
RULE_SECONDS = "prometheus_rule_group_last_duration_seconds"  # rule_group: path;name
RULE_METRICS = (RULE_FAILURES, RULE_SECONDS)
HEAD_SERIES = "prometheus_tsdb_head_series"
SCRAPE_SECONDS = "scrape_duration_seconds"
SCRAPE_SAMPLES = "scrape_samples_scraped"
PROCESS_MEMORY = "process_resident_memory_bytes"  # of the watchers; workers have WORKER_MEMORY
NOTIFICATIONS = "alertmanager_notifications_total"
NOTIFICATIONS_FAILED = "alertmanager_notifications_failed_total"
# proxy, code (class): answers to callers, those that the gateway itself makes included
GATEWAY_RESPONSES = "haproxy_frontend_http_responses_total"
GATEWAY_SERVERS = "haproxy_backend_active_servers"  # proxy
GATEWAY_REFUSED = "haproxy_frontend_denied_connections_total"  # proxy
GATEWAY_METRICS = (GATEWAY_RESPONSES, GATEWAY_SERVERS, GATEWAY_REFUSED)
# state; defined, like the other evara_postgres series, in generate/postgres.py
POSTGRES_CONNECTIONS = "evara_postgres_connections_open"
FOREIGN = frozenset(  # series that others expose and rules may read
    {
        UP,
        ALERTS,
        RULE_FAILURES,
        RULE_SECONDS,
        HEAD_SERIES,
        SCRAPE_SECONDS,
        SCRAPE_SAMPLES,
        PROCESS_MEMORY,
        NOTIFICATIONS,
        NOTIFICATIONS_FAILED,
        "prometheus_notifications_dropped_total",
        "prometheus_notifications_alertmanagers_discovered",
        GATEWAY_RESPONSES,
        GATEWAY_SERVERS,
        GATEWAY_REFUSED,
        POSTGRES_CONNECTIONS,
        "evara_postgres_backup_checked_timestamp_seconds",
        "evara_postgres_replication_connected",
        "evara_postgres_replication_lag_seconds",
        "pg_up",
        "redis_up",
    }
)

# --- messages of log lines that `make up` reads; fields: job, subject, error ---

LOG_JOB_DONE = "job done"
LOG_JOB_FAILED = "job failed"
LOG_DELIVERED = "delivered"
LOG_DELIVERY_FAILED = "delivery failed"

# --- labels ---

SERVICE = "service"  # of everything that rules record and of every alert
ENVIRONMENT = "environment"  # the same, where the catalogue declares one
ROUTE = "route"
STATUS = "status"
CODE = "code"
DEPENDENCY = "dependency"
OUTCOME = "outcome"
TYPE = "type"  # class of an exception
JOB = "task"  # `job` is Prometheus' own label for the scrape
STATE = "state"
REASON = "reason"
RESULT = "result"
SLO = "slo"
SLI = "sli"
OWNER = "owner"
SEVERITY = "severity"
ALERT_NAME = "alertname"
TIER = "tier"
RULE_GROUP = "rule_group"
SUBJECT = "subject"
SOURCE = "source"  # of an SLO's events
LIMIT = "limit"  # the threshold or the freshness, where an SLO has one
INSTANCE = "instance"
SCRAPE_JOB = "job"
PROXY = "proxy"  # a frontend or backend of the gateway

GATEWAY = "gateway"  # the frontend that callers reach, and the subject of its SLO

UNMATCHED = "unmatched"  # the route label of every URL and method that the catalogue does not know
STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx")
OUTCOMES = ("ok", "error")
NO_TYPE = "none"  # the zero series that every route has
OTHER = "other"  # values of a label beyond a limit
DATABASE = "database"  # the dependency whose calls are statements

# --- logs ---
# Few labels make few streams; everything else is structured metadata or in the line.

LOG_SERVICE = SERVICE
LOG_PROGRAM = "program"  # which process wrote the line
LOG_LEVEL = "level"  # one of LOG_LEVELS
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_UNKNOWN = "unknown"  # of lines that say none
LOG_IDS = ("request_id", "trace_id")  # structured metadata
LOG_PROGRAMS = (  # of every service; the catalogue declares more
    *("api", "worker", "prober", "console", "prometheus", "alertmanager"),
    *("metrics", "supervisord"),  # of the native stack alone
    # of the compose stack alone
    *("gateway", "postgres", "postgres-replica", "backup", "valkey", "grafana", "jaeger"),
    "mailpit",
)

# --- recorded series ---
# All of them have the labels `service` and, where it is declared, `environment`. The prefix is not
# `slo:`, which Sloth records, or a metric's name, which Pyrra records.

RECORDED = "service_slo:"  # the prefix of all of them
# slo, sli, subject, owner, job (that is scraped to measure it): promised share of good events, 0..1
OBJECTIVE = "service_slo:objective:ratio"
# slo, instance, source, sli, limit: events so far, and those that broke the promise
TOTAL = "service_slo:total:count"
BAD = "service_slo:bad:count"
FRESH = "service_slo:fresh:bool"  # slo, sli, limit: 1 while the last success is recent, else 0
MEASURED = "service_slo:measured:bool"  # slo: 1 while the SLO has data; no sample while it has none
THIN = ":30s"  # suffix of the copies at one sample per 30 s that long windows are computed from
# subject, address, and the labels that this names: 1, for each way in which a metric that has no
# label `route` spells the method and path of a route
ROUTE_INFO = "service_slo:route:info"
ADDRESS = "address"  # which labels of the metric the series above has
EXCLUDED_CODES = "excluded_codes"  # label of an objective: status codes that count neither way
NEXT_STEPS = "next_steps"  # label of the series below, and annotation of every alert
NEXT_STEPS_INFO = "service_slo:next_steps:info"  # slo, next_steps: 1; alert texts read the label
BUDGET_LEFT = "service_slo:budget_left:ratio"  # slo: 1 = untouched, 0 = spent, below 0 = missed

# Where the catalogue declares maintenance. Of a window: when its events count again, Unix time,
# since its last start; and 1 while they do not.
MAINTENANCE_UNTIL = "service_slo:maintenance_until:timestamp_seconds"  # starts, reason
IN_MAINTENANCE = "service_slo:in_maintenance:bool"  # starts, reason
STARTS = "starts"  # of the first window of an entry
SECTION = "section"  # of the events between two windows: when the first of the two ended
EXCLUDED = "service_slo:excluded:seconds"  # and the period: its seconds of maintenance
SECTION_INFO = "service_slo:section:info"  # section: 1; no sample during maintenance

# Rules and alerts have these themselves, so no other label may have such a name.
ALERT_LABELS = (
    *(SERVICE, ENVIRONMENT, SLO, SLI, SUBJECT, OWNER, SOURCE, LIMIT, INSTANCE, SCRAPE_JOB),
    *(SEVERITY, TIER, ALERT_NAME, "alertstate", EXCLUDED_CODES, NEXT_STEPS, RULE_GROUP, "le"),
)


def muted(severity: str) -> str:
    """Return the label of an SLO's objective that says that its alerts of a severity are off."""
    return f"muted_{severity}"


def total_rate(window: str) -> str:
    """Return the recorded series of events (for freshness, of seconds) per second over `window`."""
    return f"service_slo:total:rate{window}"


def bad_rate(window: str) -> str:
    """Return the recorded series of bad events per second over `window`."""
    return f"service_slo:bad:rate{window}"


def error_ratio(window: str) -> str:
    """Return the recorded series of bad ÷ total over `window`, 0..1; none without events."""
    return f"service_slo:error:ratio{window}"


def covered(window: str) -> str:
    """Return the recorded series of the seconds of `window` in which the SLO was measured."""
    return f"service_slo:covered:seconds{window}"


# Rule groups in the order in which they feed each other; their full names begin with the scope.
CONSTANTS_GROUP = "slo_constants"
FINE_GROUP = "slo_fine"
THIN_GROUP = "slo_thin"
LONG_GROUP = "slo_long"
BURN_GROUP = "slo_alerts"
SLOW_BURN_GROUP = "slo_slow_alerts"
ALERT_GROUP = "alerts"
GROUPS = (
    CONSTANTS_GROUP,
    FINE_GROUP,
    THIN_GROUP,
    LONG_GROUP,
    BURN_GROUP,
    SLOW_BURN_GROUP,
    ALERT_GROUP,
)
LOG_GROUP = "log_alerts"  # the one group that Loki evaluates

# --- alerts ---

BURN_ALERT = "ErrorBudgetBurn"
UNMEASURED_ALERT = "SLOUnmeasured"
COUNT_ALERT = "SLOCountMismatch"
RULES_ALERT = "RuleEvaluationFailing"
WATCHDOG_ALERT = "Watchdog"
PROGRAM_ALERT = "ProgramMissing"  # of the catalogue; drills that stop a program allow it
TEST_ALERT = "PipelineTest"  # `up` sends it to Alertmanager; no rule has it
GUARDS = (UNMEASURED_ALERT, COUNT_ALERT, RULES_ALERT, WATCHDOG_ALERT)

# --- dashboards ---


BOARD_UID_LENGTH = 40  # Grafana takes no longer one


def board_uid(scope: str, slug: str) -> str:
    """Return the stable uid of a dashboard; scopes are short enough for BOARD_UID_LENGTH.

    Grafana allows no dot. Scopes have no double underscore.
    """
    return f"{scope.replace('.', '__')}-{slug}"


# --- scrape jobs ---
# Those of the stacks of this repository; a catalogue may declare others.

SCRAPE_API = "api"
SCRAPE_PROBER = "prober"
SCRAPE_PROMETHEUS = "prometheus"
SCRAPE_GATEWAY = "gateway"
