"""Grafana's provisioning: the data sources, and the folder of dashboards."""

from observability.generate.dashboards.grafana.vocabulary import Json
from observability.generate.yaml_text import generated_yaml
from observability.lib.panels import LOGS, METRICS, TRACES
from observability.lib.promql import selector
from observability.lib.templates import fill
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.quantities import format_duration

PROVISIONING = "grafana/provisioning"
MOUNTED_DASHBOARDS = "/etc/grafana/dashboards"  # where compose.yaml mounts the dashboards
URLS = {
    METRICS: "http://prometheus:9090",
    LOGS: "http://loki:3100",
    TRACES: "http://jaeger:16686",
}
TRACE_ID = names.LOG_IDS[1]
# In provisioning files "$$" stands for a dollar; one alone would name an environment variable.
TRACE_OF_LINE = {
    "name": "trace",
    "matcherType": "label",
    "matcherRegex": TRACE_ID,
    "datasourceUid": TRACES,
    "url": "$${__value.raw}",
    "urlDisplayLabel": "Open the trace",
}
LINES_OF_TRACE = '<<stream>> | <<trace_id>>="$${__trace.traceId}"'


def provisioning(plan: Plan) -> dict[str, str]:
    """Return path → text of the two provisioning files."""
    data_sources = [data_source(kind, url, plan) for kind, url in URLS.items()]
    provider = {
        "name": plan.service,
        "folder": plan.service,
        "folderUid": plan.service,
        "type": "file",
        "allowUiUpdates": False,
        "options": {"path": MOUNTED_DASHBOARDS},
    }
    return {
        f"{PROVISIONING}/datasources/datasources.yaml": document(datasources=data_sources),
        f"{PROVISIONING}/dashboards/dashboards.yaml": document(providers=[provider]),
    }


def document(**content: list[Json]) -> str:
    """Return a provisioning file as YAML."""
    return generated_yaml({"apiVersion": 1, **content})


def data_source(kind: str, url: str, plan: Plan) -> Json:
    """Return the data source of a type; its uid is the type, so that links can name it."""
    settings: dict[str, Json] = {
        METRICS: {"timeInterval": format_duration(plan.clock.scrape), "httpMethod": "POST"},
        LOGS: {"derivedFields": [TRACE_OF_LINE]},
        TRACES: {"tracesToLogsV2": lines_of_trace(plan)},
    }
    return {
        "name": kind.capitalize(),
        "uid": kind,
        "type": kind,
        "access": "proxy",
        "url": url,
        "isDefault": kind == METRICS,
        "jsonData": settings[kind],
    }


def lines_of_trace(plan: Plan) -> Json:
    """Return how Grafana finds the log lines of a trace."""
    stream = selector("", **{names.LOG_SERVICE: plan.service})
    return {
        "datasourceUid": LOGS,
        "spanStartTimeShift": "-5m",
        "spanEndTimeShift": "5m",
        "customQuery": True,
        "query": fill(LINES_OF_TRACE, stream=stream, trace_id=TRACE_ID),
    }
