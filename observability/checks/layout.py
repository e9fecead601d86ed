"""Rules for the places of a dashboard's panels."""

from collections import Counter
from itertools import combinations, product

from observability.checks.panels import FIX, Findings, Json
from observability.generate.dashboards.grafana.panels import COLUMNS


def layout_findings(panels: list[Json]) -> Findings:
    """Yield panels that overlap, exceed the columns, or share an id or a title.

    Grafana moves panels that overlap or stick out, so that people see another layout than the
    reviewed one. Titles and ids are how links and this check name a panel.
    """
    for one, other in combinations(panels, 2):
        if cells(one) & cells(other):
            yield f"panels {one['title']!r} and {other['title']!r} overlap", FIX
    for panel in panels:
        last_column, _ = max(cells(panel))
        if last_column >= COLUMNS:
            yield f"panel {panel['title']!r} sticks out to the right", FIX
    yield from repetitions(panels, "id")
    yield from repetitions(panels, "title")


def cells(panel: Json) -> set[tuple[int, int]]:
    """Return the cells of the board's grid that a panel covers, as column and row."""
    place = panel["gridPos"]
    left = place["x"]
    top = place["y"]
    columns = range(left, left + place["w"])
    rows = range(top, top + place["h"])
    return set(product(columns, rows))


def repetitions(panels: list[Json], key: str) -> Findings:
    """Yield the values of a key that several panels have."""
    counts = Counter(panel[key] for panel in panels)
    for value, count in counts.items():
        if count > 1:
            yield f"has {count} panels with the {key} {value!r}", FIX
