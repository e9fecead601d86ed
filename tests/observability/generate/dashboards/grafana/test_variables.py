"""The variables of dashboards."""

from tests.observability.generate.dashboards.support import Json


def variables(dashboard: Json) -> dict[str, Json]:
    """Return the variables by name."""
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def test_routes_are_chosen_together_and_slos_one_at_a_time(dashboards: dict[str, Json]) -> None:
    """All routes together match every route."""
    route = variables(dashboards["routes"])["route"]
    assert route["includeAll"]
    assert route["allValue"] == ".*"
    assert variables(dashboards["slo"])["slo"]["multi"] is False


def test_logs_are_chosen_by_values_and_by_text(dashboards: dict[str, Json]) -> None:
    """The data source is a hidden variable, so that boards work in any Grafana."""
    types = {name: entry["type"] for name, entry in variables(dashboards["logs"]).items()}
    assert types == {
        "loki": "datasource",
        "program": "custom",
        "level": "custom",
        "request": "textbox",
        "text": "textbox",
    }
