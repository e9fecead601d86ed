"""Table panels in Grafana's model: one table of several queries, and the format of columns."""

from typing import Any

from observability.generate.dashboards.grafana.vocabulary import (
    fixed_colour,
    null_text,
    ref_id,
)
from observability.lib.json_object import Json
from observability.lib.panels import Kind, Panel, Query

NO_VALUE = "–"
GAUGE = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}


def column_properties(panel: Panel, query: Query) -> Json:
    """Return the properties of a query's column."""
    properties: Json = {"unit": query.unit or panel.unit, "noValue": NO_VALUE}
    if query.decimals is not None:
        properties["decimals"] = query.decimals
    if query.gauge:
        gauge = {"custom.cellOptions": GAUGE, "min": 0, "max": 1}
        return properties | gauge | {"mappings": null_text(NO_VALUE)}
    return properties | {"color": fixed_colour("text")}


def transformations(panel: Panel) -> list[Json]:
    """Return the transformations that make one table of the panel's queries.

    They join the queries by the key, drop other fields, and name the values by the legends.
    """
    if panel.kind != Kind.TABLE:
        return []
    keys = panel.key.split(",")
    titles = column_titles(panel)
    fields = [*keys, *titles]
    steps = [
        transformation("filterFieldsByName", include={"names": fields}),
        transformation(
            "organize",
            renameByName=titles,
            indexByName={field: index for index, field in enumerate(fields)},
            excludeByName={},
        ),
    ]
    if len(panel.queries) > 1:
        steps.insert(0, transformation("joinByField", byField=keys[0], mode="outer"))
    return steps


def column_titles(panel: Panel) -> dict[str, str]:
    """Return Grafana's name of each query's value → the title of its column."""
    titles = {
        f"Value #{ref_id(number)}": query.legend
        for number, query in enumerate(panel.queries)
        if query.legend
    }
    if len(panel.queries) == 1 and titles:
        titles["Value"] = panel.queries[0].legend  # as Grafana calls the value of a single query
    return titles


def transformation(name: str, **settings: Any) -> Json:
    """Return one transformation."""
    return {"id": name, "options": settings}
