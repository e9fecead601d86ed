"""The server's side of a load run, as Prometheus recorded it."""

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from observability.generate.dashboards import colours
from observability.generate.dashboards.boards import load as load_board
from observability.lib import charts
from observability.lib.http import Unreachable
from observability.lib.json_object import Json
from observability.lib.prometheus import ServicePrometheus
from observability.load import impact, scrapes, server_counts
from observability.load.scrapes import ScrapeTimes
from observability.load.server_counts import Increase
from observability.spec.plan import Plan

Picture = dict[str, str]


@dataclass
class Recording:
    """The server's counts during a run, or the reason why they are missing."""

    increase: Increase | None = None
    unreachable: str = ""  # why Prometheus, which watches the host, could not tell
    unwatched: str = ""  # why no Prometheus here can know anything of the host
    impact: Json = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)

    def start(self, prometheus: ServicePrometheus, plan: Plan) -> ScrapeTimes | None:
        """Return the scrapes before the run; None where Prometheus does not answer."""
        try:
            return scrapes.wait_for_scrapes(prometheus, plan, time.time())
        except Unreachable as error:
            self.unreachable = str(error)
            return None

    def finish(self, prometheus: ServicePrometheus, plan: Plan, before: ScrapeTimes) -> None:
        """Record what grew since `before`, as far as Prometheus answers."""
        try:
            after = scrapes.wait_for_scrapes(prometheus, plan, time.time())
            self.increase = server_counts.measure_increase(prometheus, plan, before, after)
            self.impact = impact.measure_impact(prometheus, plan, self.increase)
            self.pictures = list(draw_panels(prometheus, plan, self.increase))
        except Unreachable as error:
            self.unreachable = str(error)


def draw_panels(prometheus: ServicePrometheus, plan: Plan, increase: Increase) -> Iterator[Picture]:
    """Yield the panels of the `load` board as data URLs."""
    colour_by_series = colours.series_colours(plan)
    for panel in load_board.board(plan).panels:
        svg = charts.svg(panel, prometheus, increase.start, increase.end, colour_by_series)
        encoded = base64.b64encode(svg.encode()).decode()
        yield {
            "title": panel.title,
            "description": panel.description,
            "url": f"data:image/svg+xml;base64,{encoded}",
        }
