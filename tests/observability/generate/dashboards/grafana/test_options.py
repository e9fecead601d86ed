"""Legends and sorting."""

from tests.observability.generate.dashboards.support import Json, find_panel


def legend(dashboard: Json, title: str) -> Json:
    """Return the legend of a panel."""
    options: Json = find_panel(dashboard, title)["options"]
    entry: Json = options["legend"]
    return entry


def test_many_series_are_listed_largest_first(dashboards: dict[str, Json]) -> None:
    """Legends by route or SLO are tables, at the right of a wide panel; others are one line."""
    wide = legend(dashboards["overview"], "Requests by route")
    narrow = legend(dashboards["overview"], "Burn rates")
    assert (wide["displayMode"], wide["placement"]) == ("table", "right")
    assert (narrow["displayMode"], narrow["placement"]) == ("table", "bottom")
    assert wide["sortDesc"]
    assert legend(dashboards["routes"], "Duration")["displayMode"] == "list"


def test_the_fastest_burn_comes_first_and_idle_slos_last(dashboards: dict[str, Json]) -> None:
    """Sorted in descending order, Grafana puts rows without a value last."""
    assert find_panel(dashboards["overview"], "SLOs")["options"]["sortBy"] == [
        {"displayName": "burn", "desc": True},
        {"displayName": "budget left", "desc": False},
    ]


def test_a_table_of_texts_has_no_header(dashboards: dict[str, Json]) -> None:
    """A single column of next steps needs no title."""
    assert not find_panel(dashboards["slo"], "Next steps")["options"]["showHeader"]
