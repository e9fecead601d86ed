"""Dashboards as Grafana loads them: layout, columns, colours, and where data comes from."""

import json
from typing import Any

import pytest

from observability.generate.dashboards.grafana import files
from observability.spec.plan import Plan


@pytest.fixture(scope="module")
def dashboards(plan: Plan) -> dict[str, Any]:
    """Board name → dashboard."""
    rendered = files.render(plan)
    return {
        path.split("/")[-1].removesuffix(".json"): json.loads(text)
        for path, text in rendered.items()
        if path.endswith(".json")
    }


def panel(board: dict[str, Any], title: str) -> dict[str, Any]:
    return next(entry for entry in board["panels"] if entry["title"] == title)


def test_uids_are_stable_and_speak(dashboards: dict[str, Any]) -> None:
    """A board's uid is the service and the board, so that links outlive every edit."""
    assert {board["uid"] for board in dashboards.values()} >= {
        "evara-api-overview",
        "evara-api-slo",
        "evara-api-load",
    }


def test_panels_fill_gaps_from_the_left(dashboards: dict[str, Any]) -> None:
    """Beside a tall table two shorter panels stand one above the other."""
    table, firing, burning = (
        panel(dashboards["overview"], title)["gridPos"]
        for title in ("SLOs", "Firing", "Burn rates")
    )
    assert (firing["x"], burning["x"]) == (table["w"], table["w"])
    assert (firing["y"], burning["y"]) == (table["y"], table["y"] + firing["h"])


def test_tables_join_their_questions_by_the_key(dashboards: dict[str, Any]) -> None:
    """Several instant questions become one table with a column each, named and in its own unit."""
    table = panel(dashboards["overview"], "SLOs")
    assert [step["id"] for step in table["transformations"]] == [
        "joinByField",
        "filterFieldsByName",
        "organize",
    ]
    assert table["transformations"][0]["options"]["byField"] == "slo"
    assert table["transformations"][2]["options"]["renameByName"] == {
        "Value #A": "goal",
        "Value #B": "measured",
        "Value #C": "budget left",
        "Value #D": "burn",
    }
    assert all(target["instant"] and target["format"] == "table" for target in table["targets"])
    looks = {
        rule["matcher"]["options"]: {p["id"]: p["value"] for p in rule["properties"]}
        for rule in table["fieldConfig"]["overrides"]
    }
    assert looks["budget left"]["custom.cellOptions"]["type"] == "gauge"
    assert looks["burn"]["unit"] == "suffix:×"


def test_rows_lead_to_the_board_of_their_key(dashboards: dict[str, Any]) -> None:
    """A click on an SLO opens its board, with its name and the present time range."""
    rules = panel(dashboards["overview"], "SLOs")["fieldConfig"]["overrides"]
    urls = [
        link["url"]
        for rule in rules
        for pair in rule["properties"]
        if pair["id"] == "links"
        for link in pair["value"]
    ]
    assert urls == ["/d/evara-api-slo?var-slo=${__value.raw}&${__url_time_range}"]


def test_limits_are_dashed(dashboards: dict[str, Any]) -> None:
    """A promised threshold is a thin dashed line in the colour of trouble."""
    rules = panel(dashboards["routes"], "Duration")["fieldConfig"]["overrides"]
    limit = next(
        rule for rule in rules if rule["matcher"] == {"id": "byFrameRefID", "options": "D"}
    )
    looks = {pair["id"]: pair["value"] for pair in limit["properties"]}
    assert looks["custom.lineStyle"]["fill"] == "dash"
    assert looks["color"]["fixedColor"] == "#D55E00"


def test_the_lowest_step_keeps_its_null(dashboards: dict[str, Any]) -> None:
    """Grafana wants the first threshold without a number; other empty keys are left out."""
    steps = panel(dashboards["overview"], "Paging")["fieldConfig"]["defaults"]["thresholds"][
        "steps"
    ]
    assert [step["value"] for step in steps] == [None, 1]
    assert "maxDataPoints" not in panel(dashboards["overview"], "Paging")


def test_variables_offer_what_they_should(dashboards: dict[str, Any]) -> None:
    """Routes may be chosen together, SLOs one at a time, logs by fixed values and by text."""
    routes = {entry["name"]: entry for entry in dashboards["routes"]["templating"]["list"]}
    assert routes["route"]["includeAll"]
    assert routes["route"]["allValue"] == ".*"
    assert {entry["name"]: entry["multi"] for entry in dashboards["slo"]["templating"]["list"]}[
        "slo"
    ] is False
    logs = {entry["name"]: entry["type"] for entry in dashboards["logs"]["templating"]["list"]}
    assert logs == {
        "loki": "datasource",
        "program": "custom",
        "level": "custom",
        "request": "textbox",
        "text": "textbox",
    }


def test_alerts_are_annotations(dashboards: dict[str, Any]) -> None:
    """The detail of an SLO marks when its pages and tickets fired."""
    marks = {
        entry["name"]: entry["target"]["expr"] for entry in dashboards["slo"]["annotations"]["list"]
    }
    assert marks["Pages"] == 'ALERTS{alertstate="firing", severity="page", slo="$slo"}'
    assert 'severity="ticket"' in marks["Tickets"]


def test_traces_are_searched_by_service(dashboards: dict[str, Any]) -> None:
    """Jaeger answers 400 to a search that names no service."""
    url = next(link["url"] for link in dashboards["overview"]["links"] if link["title"] == "Traces")
    assert json.loads(url.partition("panes=")[2])["t"]["queries"][0]["service"] == "evara-api"


def test_many_series_are_listed_largest_first(dashboards: dict[str, Any]) -> None:
    """Legends by route or SLO are tables, at the right of a wide panel; others are one line."""
    legends = {
        title: panel(dashboards["overview"], title)["options"]["legend"]
        for title in ("Requests by route", "Burn rates")
    }
    assert {legend["displayMode"] for legend in legends.values()} == {"table"}
    assert (legends["Requests by route"]["placement"], legends["Burn rates"]["placement"]) == (
        "right",
        "bottom",
    )
    assert legends["Requests by route"]["sortDesc"]
    assert panel(dashboards["routes"], "Duration")["options"]["legend"]["displayMode"] == "list"


def test_what_burns_comes_first_and_the_idle_last(dashboards: dict[str, Any]) -> None:
    """Grafana sorts what has no value below what has one when the largest come first."""
    table = panel(dashboards["overview"], "SLOs")
    assert table["options"]["sortBy"] == [
        {"displayName": "burn", "desc": True},
        {"displayName": "budget left", "desc": False},
    ]


def test_no_value_is_neither_good_nor_bad(dashboards: dict[str, Any]) -> None:
    """Words for a missing value stand in the colour of text."""
    (mapping,) = panel(dashboards["overview"], "Least budget")["fieldConfig"]["defaults"][
        "mappings"
    ]
    assert mapping["options"] == {
        "match": "null",
        "result": {"text": "nothing yet", "color": "text"},
    }
    assert (
        panel(dashboards["overview"], "Firing")["fieldConfig"]["defaults"]["noValue"]
        == "nothing fires"
    )


def test_stacked_areas_have_no_line(dashboards: dict[str, Any]) -> None:
    """The line of an empty series on top of the pile would look like all of it."""
    assert (
        panel(dashboards["routes"], "Rate by status")["fieldConfig"]["defaults"]["custom"][
            "lineWidth"
        ]
        == 0
    )
    assert (
        panel(dashboards["routes"], "Duration")["fieldConfig"]["defaults"]["custom"]["lineWidth"]
        == 2
    )


def test_shares_of_nothing_lie_on_the_ground(dashboards: dict[str, Any]) -> None:
    """An axis of shares goes to 1 % at least; Grafana would end one of zeros at 10 000 %."""
    assert (
        panel(dashboards["overview"], "Failing requests by route")["fieldConfig"]["defaults"][
            "custom"
        ]["axisSoftMax"]
        == 0.01
    )


def test_texts_are_wrapped_and_have_no_head(dashboards: dict[str, Any]) -> None:
    """The next steps are read whole."""
    steps = panel(dashboards["slo"], "Next steps")
    assert steps["fieldConfig"]["defaults"]["custom"]["cellOptions"]["wrapText"]
    assert not steps["options"]["showHeader"]


def test_promises_are_shown_to_the_last_nine(dashboards: dict[str, Any]) -> None:
    """99.95 and 99.99 % are not rounded to 100."""
    rules = panel(dashboards["overview"], "SLOs")["fieldConfig"]["overrides"]
    looks = {
        rule["matcher"]["options"]: {p["id"]: p["value"] for p in rule["properties"]}
        for rule in rules
    }
    assert looks["goal"]["decimals"] == looks["measured"]["decimals"] == 3
    assert panel(dashboards["slo"], "Goal")["fieldConfig"]["defaults"]["decimals"] == 3


def test_series_keep_their_colours(dashboards: dict[str, Any]) -> None:
    """Routes by name where routes are drawn, outcomes where outcomes are, and nothing else."""

    def named(board: str, title: str) -> set[str]:
        rules = panel(dashboards[board], title)["fieldConfig"]["overrides"]
        return {rule["matcher"]["options"] for rule in rules if rule["matcher"]["id"] == "byName"}

    assert "nodes.list" in named("overview", "Requests by route")
    assert named("dependencies", "database: calls") == {"ok", "error"}
    assert named("load", "Duration") == {"p50", "p90", "p99"}
