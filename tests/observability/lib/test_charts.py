"""Charts: same data, same picture; gaps stay, units are readable, hostile labels are harmless."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from observability.lib import charts
from observability.lib.panels import BAD, BLUE, GREY, YELLOW, Kind, Panel, Query, Unit

START, END, STEP = 1_000_000.0, 1_000_900.0, 10.0
Series = tuple[dict[str, str], list[tuple[float, float]]]


class Recorded:
    """A Prometheus that knows some answers, and what it was asked."""

    def __init__(self, **answers: Sequence[Series]):
        self.answers, self.asked = answers, list[tuple[str, float, float, float]]()

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        self.asked.append((expr, start, end, step))
        return list(self.answers.get(expr, []))


def level(value: float, *, first: float = START, last: float = END, **labels: str) -> Series:
    return labels, [
        (START + n * STEP, value) for n in range(91) if first <= START + n * STEP <= last
    ]


def panel(
    *queries: Query, unit: Unit = Unit.SECONDS, kind: Kind = Kind.LINES, stacked: bool = False
) -> Panel:
    return Panel("Title", "", kind, unit, queries, stacked=stacked)


def picture(asked: Panel, prometheus: Recorded, *, dark: bool = False, width: int = 640) -> str:
    return charts.svg(asked, prometheus, START, END, dark=dark, width=width)  # type: ignore[arg-type]


def words(drawn: str) -> list[str]:
    return [
        element.text or ""
        for element in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314
    ]


def paths(drawn: str, colour: str) -> list[str]:
    """The shapes in a colour that are not keys of the legend."""
    plot = drawn[: drawn.index('id="legend_1"')]
    return re.findall(rf'<path d="([^"]*)"[^>]*stroke: {colour.lower()}', plot)


def test_a_line_is_drawn_with_its_legend_and_unit() -> None:
    """Labels fill the legend, the axis has the panel's unit, and the title is left out."""
    drawn = picture(
        panel(Query("a", "{{route}} p50")), Recorded(a=[level(0.2, route="nodes.list")])
    )
    assert "nodes.list p50" in words(drawn)
    assert "200 ms" in words(drawn)
    assert "Title" not in drawn
    assert len(paths(drawn, BLUE)) == 1
    assert len(drawn) < 10_000


def test_the_same_data_is_the_same_picture() -> None:
    """No date, no random id: the bytes are equal, and light and dark are not."""
    asked, prometheus = panel(Query("a", "a")), Recorded(a=[level(1.0)])
    assert picture(asked, prometheus) == picture(asked, prometheus)
    assert picture(asked, prometheus) != picture(asked, prometheus, dark=True)
    assert "dc:date" not in picture(asked, prometheus)


def test_a_gap_stays_a_gap() -> None:
    """Moments without a sample, and those that are not a number, interrupt the line."""
    labels, samples = level(1.0)
    holes = [
        (at, math.nan if 30 < n < 40 else value)
        for n, (at, value) in enumerate(samples)
        if not 60 < n < 70
    ]
    [path] = paths(picture(panel(Query("a", "a")), Recorded(a=[(labels, holes)])), BLUE)
    assert path.count("M") == 3


def test_nothing_to_draw_is_said() -> None:
    """No series, or series without a value, give words and no legend; limits alone are no data."""
    for answers in ({}, {"a": [level(math.nan)]}, {"limit": [level(1.0)]}):
        assert "no data in this span" in words(
            picture(
                panel(Query("a", "a"), Query("limit", "limit", is_threshold=True)),
                Recorded(**answers),
            )
        )


def test_where_nothing_happened_nothing_is_missing() -> None:
    """A panel that is empty in a healthy stack says so; its data are not missing."""
    said = words(picture(replace(panel(Query("a", "a")), expects_data=False), Recorded()))
    assert said[-1] == "nothing to show: none of it happened in this span"


def test_limits_are_named_at_their_ends() -> None:
    """A drawn threshold has its name beside it in its colour; close ones share a line of text."""
    limits = (
        Query(name, name.upper(), is_threshold=True, colour=BAD) for name in ("t1", "t2", "far")
    )
    asked = panel(Query("a", "a"), *limits)
    drawn = picture(
        asked, Recorded(a=[level(1.0)], t1=[level(2.0)], t2=[level(2.01)], far=[level(3600.0)])
    )
    assert [words(drawn).count(name) for name in ("T1", "T2", "T1 · T2", "FAR ↑", "FAR")] == [
        1,
        1,
        1,
        1,
        0,
    ]
    assert len(re.findall(rf'<text style="[^"]*9px[^"]*fill: {BAD.lower()}"', drawn)) == 1


def test_a_near_limit_is_dashed_and_a_far_one_is_named() -> None:
    """A limit far above the data would flatten it: an arrow in the legend says where it is."""
    limits = (
        Query(name, f"promised: {name}", is_threshold=True, colour=BAD) for name in ("near", "far")
    )
    asked = panel(Query("a", "a"), *limits)
    drawn = picture(asked, Recorded(a=[level(1.0)], near=[level(2.0)], far=[level(3600.0)]))
    assert {"promised: near", "promised: far ↑"} <= set(words(drawn))
    assert len(paths(drawn, BAD)) == 1
    assert re.search(rf'stroke-dasharray[^"]*stroke: {BAD.lower()}', drawn)


def test_a_line_keeps_its_colour_on_every_picture() -> None:
    """Colours by name are used; yellow becomes grey on white, where it cannot be seen."""
    asked, prometheus = (
        panel(Query("a", "{{n}}")),
        Recorded(a=[level(1.0, n="one"), level(2.0, n="two")]),
    )
    own = {"one": BAD, "two": YELLOW}
    light, dark = (
        charts.svg(asked, prometheus, START, END, dark=dark, colours=own) for dark in (False, True)
    )  # type: ignore[arg-type]
    assert [len(paths(light, colour)) for colour in (BAD, GREY, YELLOW)] == [1, 1, 0]
    assert [len(paths(dark, colour)) for colour in (BAD, GREY, YELLOW)] == [1, 0, 1]


def test_many_lines_are_counted_instead_of_listed() -> None:
    """The legend names the largest, and says how many more there are."""
    drawn = picture(
        panel(Query("a", "{{n}}")), Recorded(a=[level(float(n), n=f"line-{n}") for n in range(14)])
    )
    assert {"line-13", "line-5", "and 5 more"} <= set(words(drawn))
    assert "line-4" not in words(drawn)


def test_stacked_areas_reach_their_sum() -> None:
    """Values of a moment stand on top of each other, and the axis ends above their sum."""
    asked = panel(Query("a", "{{code}}"), unit=Unit.REQUESTS, stacked=True)
    assert {"0/s", "2/s", "4/s"} <= set(
        words(picture(asked, Recorded(a=[level(3.0, code="200"), level(2.0, code="500")])))
    )
    assert "4/s" not in words(picture(asked, Recorded(a=[level(3.0, code="200")])))


def test_a_histogram_is_drawn_by_bucket() -> None:
    """Cumulative buckets become cells; edges are labelled, and the last one is open."""
    buckets = [
        level(count, le=edge)
        for edge, count in (("0.1", 5.0), ("0.2", 5.0), ("1.0", 9.0), ("+Inf", 10.0))
    ]
    drawn = picture(panel(Query("a", "{{le}}"), kind=Kind.HEATMAP), Recorded(a=buckets))
    assert {"100 ms", "200 ms", "1 s", "more"} <= set(words(drawn))
    assert drawn.count("<image") == 1


def test_one_question_of_each_query_on_a_steady_grid() -> None:
    """Start and end are multiples of the step; the rate interval is never shorter than it."""
    prometheus = Recorded()
    charts.svg(
        panel(Query("rate(x[$__rate_interval])", "a")),
        prometheus,
        1e6 + 1.5,
        1e6 + 86_400,
        dark=False,
    )  # type: ignore[arg-type]
    [(expr, start, end, step)] = prometheus.asked
    assert (start % step, end % step) == (0, 0)
    assert step == 540
    assert expr == "rate(x[540s])"


def test_hostile_labels_stay_text() -> None:
    """A label is shown as it is; dollars start no formula."""
    evil = '<script>alert("1")</script> & $\\frac{1}$'
    drawn = picture(panel(Query("a", "{{x}}")), Recorded(a=[level(1.0, x=evil)]))
    assert evil in words(drawn)
    assert "<script" not in drawn


@pytest.mark.parametrize("width", [320, 640, 1280])
def test_the_picture_is_as_wide_as_asked(width: int) -> None:
    """Width is in pixels."""
    assert f'width="{width}"' in picture(
        panel(Query("a", "a")), Recorded(a=[level(1.0)]), width=width
    )


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (0.2, Unit.SECONDS, "200 ms"),
        (0.0, Unit.SECONDS, "0 s"),
        (90.0, Unit.SECONDS, "1.5 min"),
        (180_000.0, Unit.SECONDS, "2.08 d"),
        (0.000_02, Unit.SECONDS, "20 µs"),
        (0.35, Unit.RATIO, "35 %"),
        (0.9995, Unit.RATIO, "99.95 %"),
        (-1.5, Unit.RATIO, "-150 %"),
        (1200.0, Unit.NUMBER, "1.2 k"),
        (0.0, Unit.NUMBER, "0"),
        (12.5, Unit.REQUESTS, "12.5/s"),
        (64e6, Unit.BYTES, "64 MB"),
        (14.4, Unit.TIMES, "14.4×"),
        (math.nan, Unit.RATIO, "–"),
        (None, Unit.RATIO, "–"),
    ],
)
def test_values_are_written_for_people(value: float | None, unit: Unit, written: str) -> None:
    """Thousands, units and signs as they are read."""
    assert charts.text(value, unit) == written
