"""Tables of several queries."""

from tests.observability.generate.dashboards.support import Json, field_overrides, find_panel


def test_queries_are_joined_by_the_key(dashboards: dict[str, Json]) -> None:
    """Several instant queries become one table with a column each, named by its legend."""
    table = find_panel(dashboards["overview"], "SLOs")
    join, keep, rename = table["transformations"]
    assert (join["id"], join["options"]["byField"]) == ("joinByField", "slo")
    assert keep["id"] == "filterFieldsByName"
    assert rename["options"]["renameByName"] == {
        "Value #A": "objective",
        "Value #B": "measured",
        "Value #C": "budget left",
        "Value #D": "burn",
        "Value #E": "data",
    }
    assert all(target["instant"] and target["format"] == "table" for target in table["targets"])


def test_columns_have_their_own_format(dashboards: dict[str, Json]) -> None:
    """99.95 and 99.99 % are not rounded to 100; a budget is a gauge, a burn rate a factor."""
    columns = field_overrides(dashboards["overview"], "SLOs")
    assert columns["objective"]["decimals"] == columns["measured"]["decimals"] == 3
    assert columns["budget left"]["custom.cellOptions"]["type"] == "gauge"
    assert columns["burn"]["unit"] == "suffix:×"
