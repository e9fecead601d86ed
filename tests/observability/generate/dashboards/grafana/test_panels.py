"""The places of panels."""

from tests.observability.generate.dashboards.support import Json, find_panel


def test_panels_fill_gaps_from_the_left(dashboards: dict[str, Json]) -> None:
    """Two short panels fill the space beside a tall table."""
    table, firing, burn_rates = (
        find_panel(dashboards["overview"], title)["gridPos"]
        for title in ("SLOs", "Firing", "Burn rates")
    )
    assert firing["x"] == burn_rates["x"] == table["w"]
    assert firing["y"] == table["y"]
    assert burn_rates["y"] == table["y"] + firing["h"]
