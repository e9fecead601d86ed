"""Colours, units, thresholds and texts of a panel's series."""

from tests.observability.generate.dashboards.support import (
    Json,
    field_defaults,
    field_overrides,
    find_panel,
)


def test_a_key_links_to_its_board(dashboards: dict[str, Json]) -> None:
    """A click on an SLO opens its board, with its name and the present time range."""
    [link] = field_overrides(dashboards["overview"], "SLOs")["slo"]["links"]
    assert link["url"] == "/d/evara-api-slo?var-slo=${__value.raw}&${__url_time_range}"


def test_thresholds_are_dashed(dashboards: dict[str, Json]) -> None:
    """A threshold is a dashed line in the colour for bad values."""
    overrides = field_overrides(dashboards["routes"], "Duration", matcher="byFrameRefID")
    threshold = overrides["D"]
    assert threshold["custom.lineStyle"]["fill"] == "dash"
    assert threshold["color"]["fixedColor"] == "#D55E00"


def test_the_lowest_step_keeps_its_null(dashboards: dict[str, Json]) -> None:
    """Grafana requires the first step without a number; other empty keys are left out."""
    defaults = field_defaults(dashboards["overview"], "Paging")
    assert [step["value"] for step in defaults["thresholds"]["steps"]] == [None, 1]
    assert "maxDataPoints" not in find_panel(dashboards["overview"], "Paging")


def test_a_missing_value_is_neither_good_nor_bad(dashboards: dict[str, Json]) -> None:
    """The text for a missing value has the colour of text."""
    [mapping] = field_defaults(dashboards["overview"], "Smallest budget left")["mappings"]
    result = {"text": "no data", "color": "text"}
    assert mapping["options"] == {"match": "null", "result": result}
    assert field_defaults(dashboards["overview"], "Firing")["noValue"] == "no alert is firing"


def test_stacked_areas_have_no_line(dashboards: dict[str, Json]) -> None:
    """The line of an empty series on top of the others would look like their sum."""
    stacked = field_defaults(dashboards["routes"], "Rate by status")
    lines = field_defaults(dashboards["routes"], "Duration")
    assert stacked["custom"]["lineWidth"] == 0
    assert lines["custom"]["lineWidth"] == 2


def test_the_axis_of_a_ratio_reaches_one_per_cent(dashboards: dict[str, Json]) -> None:
    """Grafana would end the axis of zeros at 10 000 %."""
    defaults = field_defaults(dashboards["overview"], "Failing requests by route")
    assert defaults["custom"]["axisSoftMax"] == 0.01


def test_texts_are_wrapped(dashboards: dict[str, Json]) -> None:
    """Cells of text are wrapped."""
    assert field_defaults(dashboards["slo"], "Next steps")["custom"]["cellOptions"]["wrapText"]


def test_an_objective_has_three_decimals(dashboards: dict[str, Json]) -> None:
    """99.95 and 99.99 % are not rounded to 100."""
    assert field_defaults(dashboards["slo"], "Objective")["decimals"] == 3


def test_series_keep_their_colours(dashboards: dict[str, Json]) -> None:
    """Outcomes where outcomes are drawn; of routes, Grafana chooses the colour by the name."""
    assert not field_overrides(dashboards["overview"], "Requests by route")
    by_route = field_defaults(dashboards["overview"], "Requests by route")
    assert by_route["color"] == {"mode": "palette-classic-by-name"}
    assert set(field_overrides(dashboards["dependencies"], "database: calls")) == {"ok", "error"}
    assert set(field_overrides(dashboards["load"], "Duration")) == {"p50", "p90", "p99"}
