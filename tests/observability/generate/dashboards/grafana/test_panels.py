"""The places of panels."""

from tests.observability.generate.dashboards.support import Json, find_panel


def test_panels_fill_gaps_from_the_left(dashboards: dict[str, Json]) -> None:
    """Beside a tall table two shorter panels stand one above the other."""
    table, firing, burn_rates = (
        find_panel(dashboards["overview"], title)["gridPos"]
        for title in ("SLOs", "Firing", "Burn rates")
    )
    assert firing["x"] == burn_rates["x"] == table["w"]
    assert firing["y"] == table["y"]
    assert burn_rates["y"] == table["y"] + firing["h"]
