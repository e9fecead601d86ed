"""Grafana's provisioning: the data sources, and the folder of dashboards."""

from observability.generate.yaml_text import HEADER
from observability.lib import scope
from observability.lib.promql import selector
from observability.lib.templates import fill
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.quantities import format_duration

FOLDER = "grafana/provisioning"
DASHBOARDS = """\
apiVersion: 1
providers:
- name: <<scope>>
  folder: <<scope>>
  folderUid: <<scope>>
  type: file
  allowUiUpdates: false
  options: {path: /etc/grafana/dashboards} # where compose.services.yaml mounts the dashboards
"""
# The uid of a data source is its type, so that links can name it. "$$" stands for a dollar; one
# alone would name an environment variable.
DATA_SOURCES = """\
apiVersion: 1
datasources:
- name: Prometheus
  uid: prometheus
  type: prometheus
  access: proxy
  url: http://prometheus:9090
  isDefault: true
  jsonData: {timeInterval: <<interval>>, httpMethod: POST}
- name: Loki
  uid: loki
  type: loki
  access: proxy
  url: http://loki:3100
  isDefault: false
  jsonData:
    derivedFields:
    - name: trace
      matcherType: label
      matcherRegex: <<trace_id>>
      datasourceUid: jaeger
      url: $${__value.raw}
      urlDisplayLabel: Open the trace
- name: Jaeger
  uid: jaeger
  type: jaeger
  access: proxy
  url: http://jaeger:16686
  isDefault: false
  jsonData:
    tracesToLogsV2:
      datasourceUid: loki
      spanStartTimeShift: -5m
      spanEndTimeShift: 5m
      customQuery: true
      query: '<<stream>> | <<trace_id>>="$${__trace.traceId}"'
"""


def provisioning(plan: Plan) -> dict[str, str]:
    """Return path → text of the two provisioning files."""
    data_sources = fill(
        DATA_SOURCES,
        interval=format_duration(plan.clock.scrape),
        trace_id=names.LOG_IDS[1],
        stream=selector("", **scope.own_labels(plan)),
    )
    dashboards = fill(DASHBOARDS, scope=plan.scope)
    return {
        f"{FOLDER}/datasources/datasources.yaml": HEADER + data_sources,
        f"{FOLDER}/dashboards/dashboards.yaml": HEADER + dashboards,
    }
