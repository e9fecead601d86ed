"""Conventions of every dashboard, over the JSON that Grafana loads."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, product

import pytest

from observability.generate.dashboards.grafana.dashboard import SCHEMA_VERSION
from observability.generate.dashboards.grafana.panels import COLUMNS
from observability.lib.panels import GREY, LOGS, METRICS, PALETTE, Unit
from observability.spec import board_slugs, names
from tests.observability.generate.dashboards.support import Json

BUILT_IN = {"__rate_interval", "__auto", "__range"}  # variables of Grafana
COLOURS = {*PALETTE, GREY, "text"}
LINK_TO_OTHER_BOARDS = {"type": "dashboards", "includeVars": True, "keepTime": True}
STREAM_LABELS = {names.LOG_SERVICE, names.LOG_PROGRAM, names.LOG_LEVEL}
STREAM_SELECTOR = re.compile(r"\{(.*?)\}")
LABEL_MATCHER = re.compile(r"(\w+)=~?")
LINKED_UID = re.compile(r"/d/([\w.-]+)")
VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")


@pytest.fixture(params=board_slugs.ALL)
def dashboard(request: pytest.FixtureRequest, dashboards: dict[str, Json]) -> Json:
    """Return each dashboard in turn."""
    return dashboards[request.param]


def panels_with_queries(dashboard: Json) -> list[Json]:
    """Return the panels without the headings of rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def overridden(panel: Json, name: str) -> Iterator[object]:
    """Yield the values that the panel's overrides give to a property."""
    for rule in panel["fieldConfig"]["overrides"]:
        for entry in rule["properties"]:
            if entry["id"] == name:
                yield entry["value"]


def stream_labels(expr: str) -> list[str]:
    """Return the labels of the first stream selector in a LogQL expression."""
    selector = STREAM_SELECTOR.search(expr)
    return LABEL_MATCHER.findall(selector[1]) if selector else []


def cells(panel: Json) -> set[tuple[int, int]]:
    """Return the cells of the grid that a panel covers, as column and row."""
    place = panel["gridPos"]
    columns = range(place["x"], place["x"] + place["w"])
    rows = range(place["y"], place["y"] + place["h"])
    return set(product(columns, rows))


def test_a_dashboard_has_the_current_schema_and_a_description(dashboard: Json) -> None:
    """Grafana would migrate an older schema, so that people see another board than the file."""
    assert dashboard["schemaVersion"] == SCHEMA_VERSION
    assert dashboard["description"]


def test_a_dashboard_links_to_the_others(dashboard: Json, dashboards: dict[str, Json]) -> None:
    """The links keep variables and time, and every link leads to a board that exists."""
    assert any(link.items() >= LINK_TO_OTHER_BOARDS.items() for link in dashboard["links"])
    uids = {other["uid"] for other in dashboards.values()}
    assert set(LINKED_UID.findall(json.dumps(dashboard))) <= uids


def test_panels_do_not_overlap_or_exceed_the_grid(dashboard: Json) -> None:
    """Grafana would move such panels."""
    for one, other in combinations(dashboard["panels"], 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])
    for panel in dashboard["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= COLUMNS, panel["title"]


@pytest.mark.parametrize("key", ["id", "title"])
def test_ids_and_titles_of_panels_are_unique(dashboard: Json, key: str) -> None:
    """Links name a panel by its id, people by its title."""
    counts = Counter(panel[key] for panel in dashboard["panels"])
    assert [value for value, count in counts.items() if count > 1] == []


def test_a_panel_says_what_it_shows(dashboard: Json) -> None:
    """It has a title, a description, a query and a text for no data."""
    for panel in panels_with_queries(dashboard):
        assert panel["title"]
        assert panel["description"], panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]


def test_units_and_colours_are_those_of_the_boards(dashboard: Json) -> None:
    """People with any colour vision can tell the colours of the palette apart."""
    for panel in panels_with_queries(dashboard):
        defaults = panel["fieldConfig"]["defaults"]
        assert {defaults["unit"], *overridden(panel, "unit")} <= set(Unit), panel["title"]
        colours = {step["color"] for step in defaults["thresholds"]["steps"]}
        colours |= {colour["fixedColor"] for colour in overridden(panel, "color")}
        assert colours <= COLOURS, panel["title"]


def test_queries_use_variables_that_the_board_defines(dashboard: Json) -> None:
    """An undefined variable would stay in the query as it is."""
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    for panel in panels_with_queries(dashboard):
        for target in panel["targets"]:
            assert set(VARIABLE.findall(target["expr"])) <= variables | BUILT_IN, panel["title"]


def test_queries_ask_the_data_source_of_their_panel(dashboard: Json) -> None:
    """Queries to Loki select streams by labels that streams have."""
    for panel in panels_with_queries(dashboard):
        source = panel["datasource"]["type"]
        assert source in {METRICS, LOGS}
        for target in panel["targets"]:
            assert target["datasource"]["type"] == source, panel["title"]
            if source == LOGS:
                assert set(stream_labels(target["expr"])) <= STREAM_LABELS
