"""Provisioning: the data sources and the folder of dashboards that Grafana starts with."""

from typing import Any

import yaml

from observability.generate.dashboards.grafana.provisioning import provisioning
from observability.spec.plan import Plan


def data_sources(plan: Plan) -> list[dict[str, Any]]:
    """Return the provisioned data sources."""
    text = provisioning(plan)["grafana/provisioning/datasources/datasources.yaml"]
    sources: list[dict[str, Any]] = yaml.safe_load(text)["datasources"]
    return sources


def test_data_sources_have_fixed_names(plan: Plan) -> None:
    """Data sources have the names that boards use, and the scrape interval."""
    sources = data_sources(plan)
    assert {source["uid"] for source in sources} >= {"prometheus", "loki"}
    assert next(s for s in sources if s["uid"] == "prometheus")["jsonData"]["timeInterval"] == "5s"


def test_lines_lead_to_their_trace_and_spans_back(plan: Plan) -> None:
    """Loki links trace_id to Jaeger; Jaeger queries Loki for the lines of a trace."""
    sources = data_sources(plan)
    more = {source["uid"]: source["jsonData"] for source in sources}
    (derived,) = more["loki"]["derivedFields"]
    assert (derived["matcherType"], derived["matcherRegex"], derived["datasourceUid"]) == (
        "label",
        "trace_id",
        "jaeger",
    )
    assert derived["url"] == "$${__value.raw}"  # one dollar would be a variable of the environment
    back = more["jaeger"]["tracesToLogsV2"]
    assert (back["datasourceUid"], back["customQuery"]) == ("loki", True)
    assert back["query"] == '{service="evara-api"} | trace_id="$${__trace.traceId}"'


def test_the_folder_has_a_fixed_name(plan: Plan) -> None:
    """Links to the folder outlive Grafana's database."""
    text = provisioning(plan)["grafana/provisioning/dashboards/dashboards.yaml"]
    [provider] = yaml.safe_load(text)["providers"]
    assert provider["folderUid"] == "evara-api"
